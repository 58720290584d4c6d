#include "server/last_statistics.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "proto/wire.pb.h"
#include "server/buffer_means.h"

namespace terse {

LastStatistics::LastStatistics(const Plan& plan, uint32_t shard,
                               uint32_t versions)
    : plan_(plan),
      blocks_(plan.BlocksOf(shard, /*buffers=*/true)),
      versions_(versions) {}

absl::Status LastStatistics::Add(uint32_t worker, uint64_t version,
                                 uint32_t block, Buffer payload) {
  if (versions_.empty()) {
    return absl::InvalidArgumentError("statistics that nobody asked for");
  }
  if (payload.size() != plan_.blocks[block].count * sizeof(float)) {
    return absl::DataLossError(absl::StrCat(
        "statistics of block ", block, " have ", payload.size(), " bytes"));
  }
  Version& kept = versions_[version % versions_.size()];
  if (kept.version > version) return absl::OkStatus();
  if (kept.version < version) kept = {.version = version};
  std::vector<std::optional<Buffer>>& payloads = kept.payloads[block];
  payloads.resize(plan_.workers);
  payloads[worker] = std::move(payload);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Frame>> LastStatistics::Of(uint32_t worker,
                                                      uint64_t version,
                                                      bool or_means) const {
  std::vector<Frame> frames;
  for (const uint32_t block : blocks_) {
    const std::vector<std::optional<Buffer>>* payloads = nullptr;
    for (const Version& kept : versions_) {
      const auto found = kept.payloads.find(block);
      if (kept.version == version && found != kept.payloads.end()) {
        payloads = &found->second;
      }
    }
    const bool own = payloads != nullptr && (*payloads)[worker];
    if (payloads == nullptr || (!own && !or_means)) {
      return WithExitCode(absl::UnavailableError(absl::StrCat(
                              "nobody has the statistics of worker ", worker,
                              " in version ", version, " any more")),
                          ExitCode::kPeerNeverCame);
    }
    Buffer values = own ? *(*payloads)[worker]
                        : MeanOf(*payloads, plan_.blocks[block].count);
    frames.push_back(MakeFrame(wire::KEPT, version, block, std::move(values)));
  }
  return frames;
}

}  // namespace terse
