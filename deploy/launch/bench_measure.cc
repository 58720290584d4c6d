#include "deploy/launch/bench_measure.h"

#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/codec/factory.h"
#include "common/codec/level_codec.h"
#include "common/codec/level_sums.h"
#include "common/frame/frame.h"
#include "common/kernels/float_format.h"
#include "common/kernels/target.h"

namespace terse {
namespace {

using Nanoseconds = std::chrono::duration<double, std::nano>;

uint64_t EncodeKey(uint64_t seed, uint64_t step) {
  return DrawKey(Draw::kEncode, {seed, step, 0, 0});
}

template <typename Floats>
Floats Block(Floats floats, size_t b) {
  const size_t first = b * kBlockElementsMax;
  return floats.subspan(first,
                        std::min(kBlockElementsMax, floats.size() - first));
}

// Kernels run on `name` as long as it lives.
class TargetScope {
 public:
  explicit TargetScope(const std::string& name) : before_(KernelTargetName()) {
    TERSE_CHECK(ForceKernelTarget(name));
  }
  ~TargetScope() { ForceKernelTarget(before_); }

 private:
  const std::string before_;
};

// The values in blocks, and what is made of them.
class Bench {
 public:
  Bench(const Codec& codec, std::span<const float> values, uint64_t seed,
        ThreadPool& pool)
      : codec_(codec),
        values_(values),
        key_(EncodeKey(seed, 0)),
        pool_(pool),
        target_(values.size()),
        payloads_((values.size() + kBlockElementsMax - 1) / kBlockElementsMax),
        bytes_(payloads_.size()),
        failures_(payloads_.size()) {
    // Zeroing touches every page before a clock runs.
    pool_.Run(payloads_.size(), [&](size_t b) {
      payloads_[b].resize(codec_.MaxEncodedBytes(Block(values_, b).size()));
    });
  }

  void AllowFeedback() { residual_.resize(values_.size()); }

  absl::Status Encode(bool feedback) {
    pool_.Run(payloads_.size(), [&](size_t b) {
      EncodeArgs args = {.key = key_, .first_index = b * kBlockElementsMax};
      if (feedback) args.residual = Block(std::span(residual_), b);
      const auto bytes = codec_.Encode(Block(values_, b), args, payloads_[b]);
      failures_[b] = bytes.status();
      if (bytes.ok()) bytes_[b] = *bytes;
    });
    for (const absl::Status& status : failures_) {
      TERSE_RETURN_IF_ERROR(status);
    }
    return absl::OkStatus();
  }

  void DecodeAdd() {
    pool_.Run(payloads_.size(), [&](size_t b) {
      codec_.DecodeAdd(
          std::span<const std::byte>(payloads_[b]).first(bytes_[b]), 1,
          Block(std::span(target_), b));
    });
  }

  void Memcpy() {
    ForPieces([&](size_t first, size_t count) {
      std::memcpy(&target_[first], &values_[first], count * sizeof(float));
    });
  }

  void Axpy() {
    ForPieces([&](size_t first, size_t count) {
      DecodeAddFloats(FloatFormat::kBinary32,
                      reinterpret_cast<const uint8_t*>(&values_[first]), count,
                      1, &target_[first]);
    });
  }

  // Encodes what kBenchWorkers workers would send with a scale they share;
  // keeps `codec`.
  absl::Status AllowIntegerAdd(const LevelCodec& codec) {
    level_codec_ = &codec;
    level_payloads_.resize(blocks());
    for (size_t b = 0; b < blocks(); ++b) {
      const auto values = Block(values_, b);
      for (uint64_t worker = 0; worker < kBenchWorkers; ++worker) {
        std::vector<std::byte> payload(codec.MaxEncodedBytes(values.size()));
        TERSE_ASSIGN_OR_RETURN(
            const size_t bytes,
            codec.Encode(values,
                         {.key = EncodeKey(worker, 1),
                          .first_index = b * kBlockElementsMax},
                         payload));
        payload.resize(bytes);
        level_payloads_[b].push_back(std::move(payload));
      }
    }
    return absl::OkStatus();
  }

  bool adds_integers() const { return level_codec_ != nullptr; }

  void ClearSums() {
    level_sums_.clear();
    for (size_t b = 0; b < blocks(); ++b) {
      level_sums_.emplace_back(*level_codec_, kBenchWorkers,
                               Block(values_, b).size());
    }
  }

  // Into sums that are clear.
  void IntegerAdd() {
    pool_.Run(blocks(), [&](size_t b) {
      for (const std::vector<std::byte>& payload : level_payloads_[b]) {
        level_sums_[b].Add(*level_codec_, payload);
      }
    });
  }

  void ClearTarget() { std::fill(target_.begin(), target_.end(), 0.0f); }
  std::span<const float> target() const { return target_; }

  size_t blocks() const { return payloads_.size(); }
  uint64_t PayloadBytes() const {
    uint64_t sum = 0;
    for (const size_t bytes : bytes_) sum += bytes;
    return sum;
  }

 private:
  // One piece a thread: a yardstick pays for no cutting.
  void ForPieces(const std::function<void(size_t, size_t)>& work) {
    const size_t pieces = pool_.threads();
    pool_.Run(pieces, [&](size_t p) {
      const size_t first = values_.size() * p / pieces;
      const size_t last = values_.size() * (p + 1) / pieces;
      if (last > first) work(first, last - first);
    });
  }

  const Codec& codec_;
  const std::span<const float> values_;
  const uint64_t key_;
  ThreadPool& pool_;
  std::vector<float> target_;
  std::vector<float> residual_;
  std::vector<std::vector<std::byte>> payloads_;
  std::vector<size_t> bytes_;
  std::vector<absl::Status> failures_;
  const LevelCodec* level_codec_ = nullptr;
  std::vector<std::vector<std::vector<std::byte>>> level_payloads_;
  std::vector<LevelSums> level_sums_;
};

// The codec of `options` whose levels add up as integers: itself, or the one
// with a shared scale; null if there is none.
std::unique_ptr<Codec> IntegerCodec(GradientCodec options) {
  options.set_scale(GradientCodec::SHARED);
  options.set_coding(GradientCodec::FIXED);
  absl::StatusOr<std::unique_ptr<Codec>> codec = MakeCodec(options);
  if (!codec.ok()) return nullptr;
  if (dynamic_cast<const LevelCodec*>(codec->get()) == nullptr) return nullptr;
  return *std::move(codec);
}

// Everything the codec makes of a block: equal digests, equal bits.
struct Digest {
  bool valid = false;
  std::array<uint32_t, 4> crcs = {};  // Of payload, decoded, with feedback:
                                      // payload and residual.
  bool operator==(const Digest&) const = default;
};

Digest DigestBlock(const Codec& codec, std::span<const float> values,
                   uint64_t key, uint64_t first_index) {
  std::vector<std::byte> payload(codec.MaxEncodedBytes(values.size()));
  std::vector<float> decoded(values.size());
  std::vector<float> residual(values.size());
  // A residual like that of a later round, a function of the values alone.
  for (size_t i = 0; i < values.size(); ++i) {
    residual[i] = 0.25f * values[values.size() - 1 - i];
  }
  Digest digest;
  const auto plain =
      codec.Encode(values, {.key = key, .first_index = first_index}, payload);
  if (!plain.ok()) return digest;
  const auto bytes = std::span<const std::byte>(payload).first(*plain);
  digest.valid = codec.Validate(bytes, values.size()).ok();
  if (!digest.valid) return digest;
  codec.DecodeAdd(bytes, 0.5f, decoded);
  digest.crcs[0] = Crc32c(bytes);
  digest.crcs[1] = Crc32c(std::as_bytes(std::span(decoded)));
  const auto feedback = codec.Encode(
      values, {.key = key, .first_index = first_index, .residual = residual},
      payload);
  digest.valid = feedback.ok();
  if (!digest.valid) return digest;
  digest.crcs[2] = Crc32c(std::span<const std::byte>(payload).first(*feedback));
  digest.crcs[3] = Crc32c(std::as_bytes(std::span(residual)));
  return digest;
}

double Norm(std::span<const float> values) {
  double squares = 0;
  for (const float value : values) squares += double{value} * value;
  return std::sqrt(squares);
}

// Samples of one operation, a time each iteration.
class Stopwatch {
 public:
  template <typename Work>
  void Time(bool count, const Work& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    const Nanoseconds passed = std::chrono::steady_clock::now() - begin;
    if (count) samples_.push_back(passed.count());
  }
  // Of each of `parts` equal parts.
  BenchTime Result(double parts = 1) const {
    return {Median(samples_) / parts, CoefficientOfVariation(samples_)};
  }

 private:
  std::vector<double> samples_;
};

absl::Status Time(Bench& bench, const BenchSettings& settings, BenchRow& row) {
  Stopwatch memcpy, axpy, encode, feedback, decode, integers;
  absl::Status status;
  const uint32_t rounds = settings.warmup_iterations + settings.iterations;
  for (uint32_t round = 0; round < rounds && status.ok(); ++round) {
    const bool count = round >= settings.warmup_iterations;
    {
      const TargetScope best("auto");
      memcpy.Time(count, [&] { bench.Memcpy(); });
      axpy.Time(count, [&] { bench.Axpy(); });
    }
    // What feedback makes is encoded first, so that the payloads in place are
    // those without it.
    if (settings.error_feedback) {
      feedback.Time(count, [&] { status.Update(bench.Encode(true)); });
    }
    encode.Time(count, [&] { status.Update(bench.Encode(false)); });
    if (status.ok()) decode.Time(count, [&] { bench.DecodeAdd(); });
    if (bench.adds_integers()) {
      bench.ClearSums();
      integers.Time(count, [&] { bench.IntegerAdd(); });
    }
  }
  row.memcpy = memcpy.Result();
  row.axpy = axpy.Result();
  row.encode = encode.Result();
  row.decode_add = decode.Result();
  if (settings.error_feedback) row.encode_feedback = feedback.Result();
  if (bench.adds_integers()) row.integer_add = integers.Result(kBenchWorkers);
  return status;
}

}  // namespace

absl::StatusOr<BenchRow> MeasureCodec(const GradientCodec& options,
                                      std::span<const float> values,
                                      const BenchSettings& settings,
                                      ThreadPool& pool) {
  TERSE_ASSIGN_OR_RETURN(const std::unique_ptr<Codec> codec,
                         MakeCodec(options, kBenchRows));
  const TargetScope target(settings.kernel_target);
  BenchRow row;
  row.describe = codec->Describe();
  row.target = KernelTargetName();
  row.elements = values.size();

  Bench bench(*codec, values, settings.seed, pool);
  if (settings.error_feedback) bench.AllowFeedback();
  const std::unique_ptr<Codec> integer_codec = IntegerCodec(options);
  if (integer_codec != nullptr) {
    TERSE_RETURN_IF_ERROR(
        bench.AllowIntegerAdd(dynamic_cast<const LevelCodec&>(*integer_codec)));
  }
  TERSE_RETURN_IF_ERROR(Time(bench, settings, row));
  row.payload_bytes = bench.PayloadBytes();
  row.wire_bytes = row.payload_bytes + bench.blocks() * kFrameHeaderBytes;

  bench.ClearTarget();
  bench.DecodeAdd();
  row.fidelity = CompareDecoded(values, bench.target());
  row.entropy_bits = SymbolEntropyBits(options, values, bench.target());
  if (options.kind() == GradientCodec::TOPK ||
      options.kind() == GradientCodec::THRESHOLD) {
    row.index_bits_over_choose = IndexBitsOverChoose(bench.target());
  }
  row.wrong = CountWrong(*codec, values, settings.seed, pool);
  if (settings.error_feedback) {
    TERSE_ASSIGN_OR_RETURN(row.residual_ratios,
                           ResidualRatios(options, values, settings.seed));
  }
  return row;
}

uint64_t CountWrong(const Codec& codec, std::span<const float> values,
                    uint64_t seed, ThreadPool& pool) {
  const size_t blocks =
      (values.size() + kBlockElementsMax - 1) / kBlockElementsMax;
  const auto digests = [&] {
    std::vector<Digest> all(blocks);
    pool.Run(blocks, [&](size_t b) {
      all[b] = DigestBlock(codec, Block(values, b), EncodeKey(seed, 0),
                           b * kBlockElementsMax);
    });
    return all;
  };
  const std::vector<Digest> fast = digests();
  const TargetScope scalar("scalar");
  const std::vector<Digest> plain = digests();
  uint64_t wrong = 0;
  for (size_t b = 0; b < blocks; ++b) {
    if (fast[b].valid && fast[b] == plain[b]) continue;
    wrong += Block(values, b).size();
  }
  return wrong;
}

absl::StatusOr<std::array<double, kResidualRounds.size()>> ResidualRatios(
    const GradientCodec& options, std::span<const float> values,
    uint64_t seed) {
  // Odd, and near the golden section of a block.
  constexpr size_t kShift = 162013;
  // What a codec does to keep the mean is not for error feedback.
  GradientCodec with_feedback = options;
  with_feedback.set_error_feedback(options.kind() != GradientCodec::MAJORITY);
  with_feedback.clear_rescale();
  TERSE_ASSIGN_OR_RETURN(const std::unique_ptr<Codec> codec,
                         MakeCodec(with_feedback, kBenchRows));
  values = values.first(std::min(values.size(), kResidualElementsMax));
  std::array<double, kResidualRounds.size()> ratios = {};
  const double norm = Norm(values);
  if (norm == 0) return ratios;
  std::vector<float> gradient(values.size());
  std::vector<float> residual(values.size());
  std::vector<std::byte> payload(codec->MaxEncodedBytes(values.size()));
  size_t next = 0;
  for (int round = 1; round <= kResidualRounds.back(); ++round) {
    std::rotate_copy(values.begin(),
                     values.begin() + round * kShift % values.size(),
                     values.end(), gradient.begin());
    TERSE_RETURN_IF_ERROR(
        codec
            ->Encode(gradient,
                     {.key = EncodeKey(seed, round), .residual = residual},
                     payload)
            .status());
    if (round == kResidualRounds[next]) ratios[next++] = Norm(residual) / norm;
  }
  return ratios;
}

}  // namespace terse
