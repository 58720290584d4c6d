// bench_worker_torch [SECONDS [THREADS]]: forward and backward passes per
// second of the networks that the examples train, one JSON line each.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "worker/torch/threads.h"
#include "worker/torch/torch_model.h"

namespace terse {
namespace {

struct Case {
  std::string name;
  std::vector<uint32_t> hidden;
  uint32_t batch_size = 0;
  bool batch_norm = false;
  float dropout = 0;
  ActivationQuantization::Kind activations = ActivationQuantization::NONE;
};

Job MakeJob(const Case& test) {
  Job job;
  job.mutable_data()->set_kind(Data::NOISE);
  for (const uint32_t side : {1, 28, 28}) job.mutable_data()->add_shape(side);
  Mlp* mlp = job.mutable_model()->mutable_mlp();
  for (const uint32_t width : test.hidden) mlp->add_hidden(width);
  mlp->set_batch_norm(test.batch_norm);
  mlp->set_dropout(test.dropout);
  job.mutable_quantize()->mutable_activations()->set_kind(test.activations);
  job.mutable_train()->set_batch_size(test.batch_size);
  return job;
}

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Median, smallest and largest of five slices' steps per second.
int Run(const Case& test, double seconds, uint32_t threads) {
  const Job job = MakeJob(test);
  auto spec = MakeModelSpec(job);
  auto dataset = OpenDataset(job.data(), "", job.seed());
  if (!spec.ok() || !dataset.ok()) return EXIT_FAILURE;
  auto model = MakeTorchModel({.job = job,
                               .spec = *spec,
                               .dataset = *std::move(dataset),
                               .threads = threads});
  if (!model.ok()) {
    std::fprintf(stderr, "%s\n", model.status().ToString().c_str());
    return EXIT_FAILURE;
  }
  for (uint32_t t = 0; t < spec->tensors.size(); ++t) {
    if (spec->tensors[t].role != TensorSpec::Role::kWeight) continue;
    uint64_t i = 0;
    for (float& value : (*model)->Values(t)) {
      value = 0.04f * (2 * RandomUnit(t, i++) - 1);
    }
  }
  uint64_t step = 0;
  const auto take_step = [&] {
    const absl::Status status = (*model)->ComputeGradient(
        step++, [](const LossSums&) {},
        [](uint32_t, std::span<const float>) { return absl::OkStatus(); });
    if (!status.ok()) std::abort();
  };
  for (int i = 0; i < 5; ++i) take_step();
  std::vector<double> rates;
  for (int slice = 0; slice < 5; ++slice) {
    const double start = Now();
    int steps = 0;
    while (Now() - start < seconds / 5) {
      take_step();
      ++steps;
    }
    rates.push_back(steps / (Now() - start));
  }
  std::sort(rates.begin(), rates.end());
  std::printf(
      "{\"network\": \"%s\", \"batch\": %u, \"threads\": %u, "
      "\"steps_per_s\": %.1f, \"min\": %.1f, \"max\": %.1f}\n",
      test.name.c_str(), test.batch_size, threads, rates[2], rates[0],
      rates[4]);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) {
  terse::RestartWithPassiveOpenMp(argv);
  const double seconds = argc > 1 ? std::atof(argv[1]) : 5;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 1;
  const std::vector<terse::Case> cases = {
      {"784-1024-1024-1024-10", {1024, 1024, 1024}, 100},
      {"784-4096-4096-10", {4096, 4096}, 32},
      {"784-1024-1024-1024-10 batch norm", {1024, 1024, 1024}, 100, true},
      {"784-1024-1024-1024-10 batch norm, dropout, bnn",
       {1024, 1024, 1024},
       100,
       true,
       0.5f,
       terse::ActivationQuantization::BNN},
      {"784-512-512-10 batch norm", {512, 512}, 100, true},
  };
  int result = EXIT_SUCCESS;
  for (const terse::Case& test : cases) {
    result |= terse::Run(test, seconds, static_cast<uint32_t>(threads));
  }
  return result;
}
