#include "server/buffer_means.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "proto/wire.pb.h"

namespace terse {

Buffer MeanOf(std::span<const std::optional<Buffer>> payloads, size_t count) {
  Buffer mean = Buffer::Allocate(count * sizeof(float));
  const std::span<float> sums(
      reinterpret_cast<float*>(mean.mutable_bytes().data()), count);
  std::fill(sums.begin(), sums.end(), 0.0f);
  size_t there = 0;
  for (const std::optional<Buffer>& payload : payloads) {
    if (!payload) continue;
    ++there;
    const std::byte* source = payload->bytes().data();
    for (size_t i = 0; i < count; ++i) {
      float value;
      std::memcpy(&value, source + i * sizeof(float), sizeof(float));
      sums[i] += value;
    }
  }
  for (float& sum : sums) sum /= static_cast<float>(there);
  return mean;
}

absl::Status BufferMeans::Add(uint32_t worker, uint64_t version, uint32_t block,
                              Buffer payload) {
  if (payload.size() != plan_.blocks[block].count * sizeof(float)) {
    return absl::DataLossError(absl::StrCat("buffer block ", block, " has ",
                                            payload.size(), " bytes"));
  }
  Part& part = parts_[{version, block}];
  part.payloads.resize(workers_);
  if (part.closed || part.payloads[worker]) return absl::OkStatus();
  part.payloads[worker] = std::move(payload);
  CloseIfComplete(version, block, part);
  return absl::OkStatus();
}

void BufferMeans::CloseComplete() {
  for (auto& [key, part] : parts_) {
    if (!part.closed) CloseIfComplete(key.first, key.second, part);
  }
}

void BufferMeans::ForEachSince(uint64_t version, const Publish& send) const {
  for (const auto& [key, part] : parts_) {
    if (key.first >= version && part.mean) send(*part.mean);
  }
}

void BufferMeans::CloseIfComplete(uint64_t version, uint32_t block,
                                  Part& part) {
  size_t received = 0;
  for (uint32_t w = 0; w < workers_; ++w) {
    if (!part.payloads[w] && attendance_.present(w)) return;
    received += part.payloads[w].has_value();
  }
  if (received == 0) return;
  Buffer mean = MeanOf(part.payloads, plan_.blocks[block].count);
  for (std::optional<Buffer>& payload : part.payloads) payload.reset();
  part.closed = true;
  for (auto& [key, other] : parts_) {
    if (key.first < version) other.mean.reset();
  }
  part.mean = MakeFrame(wire::MEAN_BUFFERS, version, block, std::move(mean));
  publish_(*part.mean);
}

}  // namespace terse
