// Random jobs that the reader accepts, for tests of properties.
#ifndef TERSE_TESTS_UNIT_COMMON_CONFIG_RANDOM_JOB_H_
#define TERSE_TESTS_UNIT_COMMON_CONFIG_RANDOM_JOB_H_

#include <cstdint>

#include "proto/job.pb.h"

namespace terse {

// A function of `seed`. Every field of proto/job.proto takes, over the seeds,
// its default, an end of its range and something between.
Job RandomJob(uint64_t seed);

}  // namespace terse

#endif  // TERSE_TESTS_UNIT_COMMON_CONFIG_RANDOM_JOB_H_
