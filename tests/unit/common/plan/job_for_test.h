// Jobs for tests of the plan.
#ifndef TERSE_TESTS_UNIT_COMMON_PLAN_JOB_FOR_TEST_H_
#define TERSE_TESTS_UNIT_COMMON_PLAN_JOB_FOR_TEST_H_

#include <string>

#include "common/config/job.h"
#include "gtest/gtest.h"

namespace terse {

// The job of `yaml`, to which train.epochs is added.
inline Job JobOf(const std::string& yaml) {
  const absl::StatusOr<Job> job =
      ParseJob(yaml + "\ntrain: {epochs: 1}\n", "test", {});
  EXPECT_TRUE(job.ok()) << job.status();
  return job.ok() ? *job : Job();
}

// A job of this layer list, in YAML's flow style, on noise of this shape.
inline Job JobOfLayers(const std::string& layers, const std::string& shape) {
  return JobOf("model: {layers: " + layers +
               "}\ndata: {kind: noise, shape: " + shape + "}");
}

}  // namespace terse

#endif  // TERSE_TESTS_UNIT_COMMON_PLAN_JOB_FOR_TEST_H_
