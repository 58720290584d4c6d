// Makes the codec a job asks for.
#ifndef TERSE_COMMON_CODEC_FACTORY_H_
#define TERSE_COMMON_CODEC_FACTORY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "common/codec/codec.h"
#include "common/codec/rows_codec.h"
#include "proto/job.pb.h"

namespace terse {

// Options that are not set take the defaults of proto/job.proto. `rows` are
// those of the tensor. Errors: InvalidArgument (an option out of range).
absl::StatusOr<std::unique_ptr<Codec>> MakeCodec(const GradientCodec& options,
                                                 const BlockRows& rows = {});

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_FACTORY_H_
