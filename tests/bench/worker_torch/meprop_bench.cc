// bench_meprop [SECONDS]: the time that backward takes in the linear layers of
// 784-500-500-10, in full and through the kept outputs alone (1706.06197), on
// one thread; one JSON line each.
#include <ATen/Functions.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "worker/torch/backward.h"
#include "worker/torch/functions.h"
#include "worker/torch/threads.h"

namespace terse {
namespace {

constexpr int64_t kWidths[] = {784, 500, 500, 10};

at::Tensor Random(at::IntArrayRef sizes, uint64_t key) {
  at::Tensor tensor = at::empty(sizes);
  float* to = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    to[i] = 2 * RandomUnit(key, static_cast<uint64_t>(i)) - 1;
  }
  return tensor;
}

struct LinearLayer {
  at::Tensor x, weight, upstream, memory;
};

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Seconds of one backward pass through all layers; of the last one in full.
double TimeBackward(std::vector<LinearLayer>& layers, KeptOutputs kept) {
  double seconds = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    LinearLayer& layer = layers[i];
    const bool keeps = kept.count > 0 && i + 1 < layers.size();
    const at::Tensor y =
        keeps ? KeepingLinear(layer.x, layer.weight, c10::nullopt, kept,
                              &layer.memory)
              : Linear(layer.x, layer.weight, c10::nullopt, &layer.memory);
    const double start = Now();
    y.backward(layer.upstream);
    seconds += Now() - start;
    layer.memory = std::exchange(layer.weight.mutable_grad(), at::Tensor());
    layer.x.mutable_grad().reset();
  }
  return seconds;
}

void Run(const std::string& name, int64_t batch, KeptOutputs kept,
         double seconds) {
  std::vector<LinearLayer> layers(std::size(kWidths) - 1);
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i] = {.x = Random({batch, kWidths[i]}, i),
                 .weight = Random({kWidths[i + 1], kWidths[i]}, 10 + i),
                 .upstream = Random({batch, kWidths[i + 1]}, 20 + i)};
    layers[i].weight.set_requires_grad(true);
    layers[i].x.set_requires_grad(i > 0);  // No gradient of the sample.
  }
  std::vector<double> times;
  const double end = Now() + seconds;
  while (Now() < end) times.push_back(TimeBackward(layers, kept));
  std::sort(times.begin(), times.end());
  std::printf(
      "{\"backward\": \"%s\", \"batch\": %d, \"passes\": %zu, "
      "\"median_us\": %.1f, \"min_us\": %.1f}\n",
      name.c_str(), static_cast<int>(batch), times.size(),
      1e6 * times[times.size() / 2], 1e6 * times[0]);
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) {
  terse::RestartWithPassiveOpenMp(argv);
  terse::ConfigureTorchThreads(1);
  const double seconds = argc > 1 ? std::atof(argv[1]) : 2;
  for (const int64_t batch : {10, 50, 100}) {
    terse::Run("dense", batch, {}, seconds);
    terse::Run("meprop 25", batch, {25, false}, seconds);
    terse::Run("meprop 25 unified", batch, {25, true}, seconds);
  }
  return EXIT_SUCCESS;
}
