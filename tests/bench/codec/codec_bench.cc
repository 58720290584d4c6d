// Speed of the codecs on 64 MiB of Gaussian fp32 in blocks of 2^18, beside
// memcpy of the same bytes and `y += x` on floats in the same run:
//   bench_codec [--kernel_target=NAME] [google-benchmark's flags]
// Prints google-benchmark's rows, then a table of ratios to memcpy and axpy.
// With --benchmark_enable_random_interleaving=true and repetitions the medians
// compare under load too.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/codec/factory.h"
#include "common/kernels/target.h"
#include "google/protobuf/text_format.h"

namespace terse {
namespace {

constexpr size_t kElements = size_t{1} << 24;
constexpr size_t kBlocks = kElements / kBlockElementsMax;

struct BenchCodec {
  const char* name;
  const char* options;
};

constexpr BenchCodec kCodecs[] = {
    {"none", "kind: NONE"},
    {"fp16", "kind: FP16"},
    {"terngrad", "kind: TERNGRAD"},
    {"qsgd4", "kind: QSGD"},
    {"qsgd8", "kind: QSGD levels: 127"},
    {"dorefa4", "kind: DOREFA"},
    {"dorefa8", "kind: DOREFA bits: 8"},
    {"bf16", "kind: BF16"},
    {"sign", "kind: SIGN"},
    {"uniform8", "kind: UNIFORM bits: 8"},
    {"natural", "kind: NATURAL"},
    {"topk1%", "kind: TOPK"},
    {"randomk1%", "kind: RANDOMK"},
    {"tern_ent", "kind: TERNGRAD coding: ENTROPY"},
    {"qsgd4_ent", "kind: QSGD coding: ENTROPY"},
};

std::vector<float> Gaussians() {
  std::vector<float> values(kElements);
  for (size_t i = 0; i < kElements; i += 2) {
    const double u1 = (RandomBits(1, i) + 0.5) * 0x1p-32;
    const double angle = 2 * M_PI * RandomBits(1, i + 1) * 0x1p-32;
    const double radius = 0.01 * std::sqrt(-2 * std::log(u1));
    values[i] = static_cast<float>(radius * std::cos(angle));
    values[i + 1] = static_cast<float>(radius * std::sin(angle));
  }
  return values;
}

struct Fixture {
  std::vector<float> values = Gaussians();
  std::vector<float> target = std::vector<float>(kElements);
  std::vector<float> residual = std::vector<float>(kElements);
  std::vector<std::vector<std::byte>> payloads =
      std::vector<std::vector<std::byte>>(kBlocks);

  std::span<const float> Block(size_t b) const {
    return std::span(values).subspan(b * kBlockElementsMax, kBlockElementsMax);
  }
};

Fixture& Shared() {
  static auto* const fixture = new Fixture;
  return *fixture;
}

void Finish(benchmark::State& state, double bits_per_element) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(kElements * sizeof(float)));
  if (bits_per_element > 0) state.counters["bits"] = bits_per_element;
}

void Memcpy(benchmark::State& state) {
  Fixture& f = Shared();
  for (auto _ : state) {
    std::memcpy(f.target.data(), f.values.data(), kElements * sizeof(float));
    benchmark::ClobberMemory();
  }
  Finish(state, 0);
}

void Axpy(benchmark::State& state) {
  Fixture& f = Shared();
  for (auto _ : state) {
    float* const y = f.target.data();
    const float* const x = f.values.data();
#pragma GCC ivdep
    for (size_t i = 0; i < kElements; ++i) y[i] += x[i];
    benchmark::ClobberMemory();
  }
  Finish(state, 0);
}

std::unique_ptr<Codec> Make(const BenchCodec& codec) {
  GradientCodec options;
  google::protobuf::TextFormat::ParseFromString(codec.options, &options);
  return *MakeCodec(options);
}

double EncodeAll(const Codec& codec, bool error_feedback) {
  Fixture& f = Shared();
  size_t bytes = 0;
  for (size_t b = 0; b < kBlocks; ++b) {
    EncodeArgs args{.key = 1, .first_index = b * kBlockElementsMax};
    if (error_feedback) {
      args.residual = std::span(f.residual)
                          .subspan(b * kBlockElementsMax, kBlockElementsMax);
    }
    f.payloads[b].resize(codec.MaxEncodedBytes(kBlockElementsMax));
    bytes += *codec.Encode(f.Block(b), args, f.payloads[b]);
  }
  return 8.0 * static_cast<double>(bytes) / kElements;
}

void Encode(benchmark::State& state, const BenchCodec& bench, bool feedback) {
  const auto codec = Make(bench);
  Fixture& f = Shared();
  std::fill(f.residual.begin(), f.residual.end(), 0.0f);
  double bits = 0;
  for (auto _ : state) bits = EncodeAll(*codec, feedback);
  Finish(state, bits);
}

void DecodeAdd(benchmark::State& state, const BenchCodec& bench) {
  const auto codec = Make(bench);
  Fixture& f = Shared();
  for (size_t b = 0; b < kBlocks; ++b) {
    f.payloads[b].resize(codec->MaxEncodedBytes(kBlockElementsMax));
    f.payloads[b].resize(*codec->Encode(f.Block(b), {}, f.payloads[b]));
  }
  for (auto _ : state) {
    for (size_t b = 0; b < kBlocks; ++b) {
      codec->DecodeAdd(f.payloads[b], 0.5f,
                       std::span(f.target).subspan(b * kBlockElementsMax,
                                                   kBlockElementsMax));
    }
  }
  Finish(state, 0);
}

void ValidateAll(benchmark::State& state, const BenchCodec& bench) {
  const auto codec = Make(bench);
  Fixture& f = Shared();
  for (size_t b = 0; b < kBlocks; ++b) {
    f.payloads[b].resize(codec->MaxEncodedBytes(kBlockElementsMax));
    f.payloads[b].resize(*codec->Encode(f.Block(b), {}, f.payloads[b]));
  }
  for (auto _ : state) {
    for (size_t b = 0; b < kBlocks; ++b) {
      if (!codec->Validate(f.payloads[b], kBlockElementsMax).ok()) {
        state.SkipWithError("a payload was refused");
      }
    }
  }
  Finish(state, 0);
}

// Keeps the median (or the only) CPU time of each benchmark, which a busy
// machine disturbs less than the time on the wall.
class RatioReporter : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      const bool median =
          run.run_type == Run::RT_Aggregate && run.aggregate_name == "median";
      const bool single =
          run.run_type == Run::RT_Iteration && run.repetitions == 1;
      if (median || single) {
        times_[run.run_name.function_name] = run.GetAdjustedCPUTime();
      }
    }
  }

  void PrintRatios() const {
    std::printf("\n%-10s %8s %11s %12s %10s   (kernel target %s)\n", "codec",
                "encode", "encode+ef", "decode-add", "validate",
                KernelTargetName().c_str());
    std::printf("%-10s %8s %11s %12s %10s\n", "", "/memcpy", "/memcpy", "/axpy",
                "/memcpy");
    for (const BenchCodec& codec : kCodecs) {
      const std::string name = codec.name;
      std::printf("%-10s %8.2f %11.2f %12.2f %10.2f\n", codec.name,
                  Ratio("memcpy", "encode/" + name),
                  Ratio("memcpy", "encode_ef/" + name),
                  Ratio("axpy", "decode_add/" + name),
                  Ratio("memcpy", "validate/" + name));
    }
  }

 private:
  double Ratio(const std::string& yardstick, const std::string& name) const {
    const auto a = times_.find(yardstick);
    const auto b = times_.find(name);
    if (a == times_.end() || b == times_.end()) return std::nan("");
    return a->second / b->second;
  }

  std::map<std::string, double> times_;
};

void RegisterAll() {
  const auto unit = benchmark::kMillisecond;
  benchmark::RegisterBenchmark("memcpy", Memcpy)->Unit(unit);
  benchmark::RegisterBenchmark("axpy", Axpy)->Unit(unit);
  for (const BenchCodec& codec : kCodecs) {
    const std::string name = codec.name;
    benchmark::RegisterBenchmark(("encode/" + name).c_str(), Encode, codec,
                                 false)
        ->Unit(unit);
    benchmark::RegisterBenchmark(("encode_ef/" + name).c_str(), Encode, codec,
                                 true)
        ->Unit(unit);
    benchmark::RegisterBenchmark(("decode_add/" + name).c_str(), DecodeAdd,
                                 codec)
        ->Unit(unit);
    benchmark::RegisterBenchmark(("validate/" + name).c_str(), ValidateAll,
                                 codec)
        ->Unit(unit);
  }
}

int Main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const std::string flag = "--kernel_target=";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind(flag, 0) != 0 ||
        !ForceKernelTarget(argument.substr(flag.size()))) {
      std::fprintf(stderr, "%s: unknown flag or kernel target\n", argv[i]);
      return 2;
    }
  }
  RegisterAll();
  RatioReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  reporter.PrintRatios();
  return 0;
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) { return terse::Main(argc, argv); }
