#include "common/cost/candidates.h"

#include "common/base/status.h"
#include "common/config/job.h"

namespace terse {
namespace {

GradientCodec CodecOf(const char* text) {
  const absl::StatusOr<GradientCodec> codec = ParseCodec(text);
  TERSE_CHECK(codec.ok());
  return *codec;
}

}  // namespace

std::vector<GradientCodec> Candidates(const Job& job) {
  const auto& given = job.compress().auto_().candidates();
  if (!given.empty()) return {given.begin(), given.end()};
  return {CodecOf("none"),
          CodecOf("fp16"),
          CodecOf("terngrad:scale=shared"),
          CodecOf("qsgd:levels=7,scale=shared"),
          CodecOf("topk:ratio=0.01,error_feedback=true"),
          CodecOf("powersgd:rank=1,error_feedback=true")};
}

Job WithGradient(const Job& job, const GradientCodec& gradient) {
  Job with = job;
  *with.mutable_compress()->mutable_gradient() = gradient;
  with.mutable_compress()->clear_auto_();
  return with;
}

Job WithChoicesUntil(const Job& job, uint64_t step) {
  Job until = job;
  auto& choices = *until.mutable_compress()->mutable_auto_()->mutable_choices();
  while (!choices.empty() && choices.rbegin()->step() > step) {
    choices.RemoveLast();
  }
  return until;
}

Job WithChoice(const Job& job, uint64_t step, const GradientCodec& gradient) {
  Job with = job;
  auto& choices = *with.mutable_compress()->mutable_auto_()->mutable_choices();
  while (!choices.empty() && choices.rbegin()->step() >= step) {
    choices.RemoveLast();
  }
  CodecChoice& choice = *choices.Add();
  choice.set_step(step);
  *choice.mutable_gradient() = gradient;
  return with;
}

}  // namespace terse
