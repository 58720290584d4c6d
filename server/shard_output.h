// Where what a shard does goes.
#ifndef TERSE_SERVER_SHARD_OUTPUT_H_
#define TERSE_SERVER_SHARD_OUTPUT_H_

#include <cstdint>
#include <functional>

#include "common/frame/frame.h"
#include "proto/wire.pb.h"

namespace terse {

struct ShardOutput {
  std::function<void(uint32_t worker, Frame frame)> send;
  // To the coordinator, which answers with OnReduced.
  std::function<void(uint64_t step, const wire::BlockStatistics&)> reduce;
  // What the shard has of its tensors after step `step`, if that is observed;
  // may be absent.
  std::function<void(uint64_t step, const wire::Observation&)> observe;
  // `block` has come to a version that its mirror is to have, which answers
  // with OnMirrored; empty: it has none. BSP only.
  std::function<void(uint32_t block)> mirror;
  // The first worker may begin the step that makes `version`: nothing of it has
  // been sent to anybody yet, in SSP and async nothing of the version before
  // either. May be empty.
  std::function<void(uint64_t version)> opened;
};

}  // namespace terse

#endif  // TERSE_SERVER_SHARD_OUTPUT_H_
