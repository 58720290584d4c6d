#include "common/config/check.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace terse {
namespace {

// The name of a run's folder and of its lines in a log.
absl::Status CheckName(const Job& job, const ErrorAtPath& error_at) {
  constexpr size_t kNameBytesMax = 128;
  const std::string& name = job.name();
  if (name.empty()) return error_at("name", "is empty");
  if (name.size() > kNameBytesMax) {
    return error_at("name",
                    absl::StrCat("is longer than ", kNameBytesMax, " bytes"));
  }
  for (const char c : name) {
    if (c == '/' || c == 0x7f || static_cast<unsigned char>(c) < 0x20) {
      return error_at("name", "holds a slash or a control character");
    }
  }
  if (name[0] == '.') return error_at("name", "begins with a dot");
  return absl::OkStatus();
}

absl::Status CheckModel(const Job& job, const ErrorAtPath& error_at) {
  const bool has_layers = job.model().layers_size() > 0;
  if (job.model().has_mlp() == has_layers) {
    return error_at("model", has_layers ? "gives both mlp and layers; keep one"
                                        : "gives neither mlp nor layers");
  }
  return absl::OkStatus();
}

absl::Status CheckData(const Job& job, const ErrorAtPath& error_at) {
  const Data& data = job.data();
  if (data.kind() != Data::NOISE) return absl::OkStatus();
  if (data.shape_size() != 1 && data.shape_size() != 3) {
    return error_at("data.shape",
                    absl::StrCat("noise needs the shape of a sample: "
                                 "[channels, height, width] or [features], not "
                                 "a list of ",
                                 data.shape_size()));
  }
  return absl::OkStatus();
}

absl::Status CheckOptimizer(const Job& job, const ErrorAtPath& error_at) {
  const Optimizer& optimizer = job.optimizer();
  if (optimizer.nesterov() && optimizer.momentum() == 0) {
    return error_at("optimizer.nesterov", "needs a momentum above 0");
  }
  const Schedule& schedule = optimizer.schedule();
  const std::string path = "optimizer.schedule";
  if (schedule.kind() == Schedule::STEP) {
    if (schedule.milestones_epochs_size() == 0) {
      return error_at(path, "kind step needs milestones_epochs");
    }
    for (int i = 1; i < schedule.milestones_epochs_size(); ++i) {
      if (schedule.milestones_epochs(i) > schedule.milestones_epochs(i - 1)) {
        continue;
      }
      return error_at(absl::StrCat(path, ".milestones_epochs.", i),
                      "milestones must rise");
    }
  }
  if (schedule.kind() == Schedule::EXPONENTIAL &&
      schedule.final_learning_rate() == 0) {
    return error_at(path + ".final_learning_rate",
                    "kind exponential never comes to 0; give a number above 0");
  }
  return absl::OkStatus();
}

absl::Status CheckTrain(const Job& job, const ErrorAtPath& error_at) {
  if (job.train().has_epochs() == job.train().has_steps()) {
    return error_at("train", job.train().has_epochs()
                                 ? "gives both epochs and steps; keep one"
                                 : "gives neither epochs nor steps");
  }
  return absl::OkStatus();
}

// A server's state is mirrored where all servers are in step, and workers can
// come back to the process that takes a lost one's place.
absl::Status CheckReplicas(const Job& job, const ErrorAtPath& error_at) {
  const Cluster& cluster = job.cluster();
  if (cluster.replicas() == 0) return absl::OkStatus();
  const char* needs = nullptr;
  if (cluster.servers() < 2) {
    needs =
        "cluster.servers of 2 or more, not colocated: another one keeps "
        "what a server has";
  } else if (cluster.mode() != Cluster::BSP) {
    needs = "cluster.mode bsp";
  } else if (cluster.transport() != Cluster::GRPC) {
    needs = "cluster.transport grpc: over the others nobody comes back";
  } else if (cluster.backup_workers() > 0 ||
             cluster.on_worker_loss() == Cluster::CONTINUE) {
    needs =
        "cluster.on_worker_loss wait and no backup workers: a step that "
        "closes without somebody cannot be made again";
  } else if (job.compress().gradient().kind() == GradientCodec::FASTEST) {
    needs = "a compress.gradient other than auto";
  }
  if (needs == nullptr) return absl::OkStatus();
  return error_at("cluster.replicas", absl::StrCat("needs ", needs));
}

template <typename Rules>
absl::Status CheckRules(const Rules& rules, const std::string& path,
                        const ErrorAtPath& error_at) {
  for (int i = 0; i < rules.size(); ++i) {
    if (rules[i].match().empty()) {
      return error_at(absl::StrCat(path, ".", i, ".match"),
                      "is empty; '*' matches everything");
    }
  }
  return absl::OkStatus();
}

// What `auto` may choose from, and what it has chosen.
absl::Status CheckAuto(const Job& job, const ErrorAtPath& error_at) {
  const Compress& compress = job.compress();
  for (int i = 0; i < compress.rules_size(); ++i) {
    if (compress.rules(i).gradient().kind() != GradientCodec::FASTEST) continue;
    return error_at(absl::StrCat("compress.rules.", i, ".gradient"),
                    "auto is for compress.gradient alone");
  }
  const auto named = [&](int i, const GradientCodec& codec, const char* list) {
    return codec.kind() == GradientCodec::FASTEST
               ? error_at(absl::StrCat("compress.auto.", list, ".", i),
                          "auto cannot be one of its own choices")
               : absl::OkStatus();
  };
  for (int i = 0; i < compress.auto_().candidates_size(); ++i) {
    TERSE_RETURN_IF_ERROR(
        named(i, compress.auto_().candidates(i), "candidates"));
  }
  const auto& choices = compress.auto_().choices();
  for (int i = 0; i < choices.size(); ++i) {
    TERSE_RETURN_IF_ERROR(named(i, choices[i].gradient(), "choices"));
    if (i == 0 ? choices[i].step() != 0
               : choices[i].step() <= choices[i - 1].step()) {
      return error_at(absl::StrCat("compress.auto.choices.", i, ".step"),
                      "the first step is 0, and steps rise");
    }
  }
  if (compress.gradient().kind() == GradientCodec::FASTEST &&
      job.cluster().mode() != Cluster::BSP) {
    return error_at("compress.gradient",
                    "auto needs cluster.mode bsp: a change of codec is a "
                    "checkpoint that the job goes on from");
  }
  return absl::OkStatus();
}

absl::Status CheckQuantize(const Quantize& quantize,
                           const ErrorAtPath& error_at) {
  TERSE_RETURN_IF_ERROR(
      CheckRules(quantize.rules(), "quantize.rules", error_at));
  TERSE_RETURN_IF_ERROR(CheckRules(quantize.activation_rules(),
                                   "quantize.activation_rules", error_at));
  return CheckRules(quantize.backward_rules(), "quantize.backward_rules",
                    error_at);
}

}  // namespace

absl::Status CheckJob(const Job& job, const ErrorAtPath& error_at) {
  TERSE_RETURN_IF_ERROR(CheckName(job, error_at));
  TERSE_RETURN_IF_ERROR(CheckModel(job, error_at));
  TERSE_RETURN_IF_ERROR(CheckData(job, error_at));
  TERSE_RETURN_IF_ERROR(CheckQuantize(job.quantize(), error_at));
  TERSE_RETURN_IF_ERROR(
      CheckRules(job.compress().rules(), "compress.rules", error_at));
  TERSE_RETURN_IF_ERROR(CheckAuto(job, error_at));
  TERSE_RETURN_IF_ERROR(CheckOptimizer(job, error_at));
  TERSE_RETURN_IF_ERROR(CheckReplicas(job, error_at));
  return CheckTrain(job, error_at);
}

}  // namespace terse
