// Samples held as bytes.
#ifndef TERSE_WORKER_DATA_BYTE_DATASET_H_
#define TERSE_WORKER_DATA_BYTE_DATASET_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "worker/data/dataset.h"

namespace terse {

// target[i] = pixels[i] * (2 / 255) - 1, from [0, 255] to [-1, 1].
// Requires: spans of equal length.
inline void PixelsToFloats(std::span<const uint8_t> pixels,
                           std::span<float> target) {
  TERSE_CHECK(pixels.size() == target.size());
  constexpr float kScale = 2.f / 255;
  constexpr size_t kGroup = 16;  // A constant count lets -O2 vectorize.
  const uint8_t* source = pixels.data();
  float* out = target.data();
  size_t left = pixels.size();
  for (; left >= kGroup; left -= kGroup, source += kGroup, out += kGroup) {
    for (size_t j = 0; j < kGroup; ++j) {
      out[j] = static_cast<float>(source[j]) * kScale - 1;
    }
  }
  for (size_t j = 0; j < left; ++j) {
    out[j] = static_cast<float>(source[j]) * kScale - 1;
  }
}

struct ByteSamples {
  std::vector<uint8_t> pixels;  // Sample after sample.
  std::vector<uint8_t> labels;
};

class ByteDataset final : public Dataset {
 public:
  ByteDataset(size_t sample_bytes, ByteSamples train, ByteSamples test)
      : sample_bytes_(sample_bytes),
        train_(std::move(train)),
        test_(std::move(test)) {}

  uint64_t size(Split split) const override { return Of(split).labels.size(); }

  void Read(Split split, uint64_t index, std::span<float> values,
            std::span<uint32_t> labels) const override {
    const ByteSamples& samples = Of(split);
    TERSE_CHECK(index < samples.labels.size() && labels.size() == 1);
    PixelsToFloats(
        std::span(samples.pixels).subspan(index * sample_bytes_, sample_bytes_),
        values);
    labels[0] = samples.labels[index];
  }

 private:
  const ByteSamples& Of(Split split) const {
    return split == Split::kTrain ? train_ : test_;
  }

  size_t sample_bytes_;
  ByteSamples train_;
  ByteSamples test_;
};

}  // namespace terse

#endif  // TERSE_WORKER_DATA_BYTE_DATASET_H_
