#include "tests/sim/chaos.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/config/job.h"
#include "tests/sim/sim_job.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

constexpr char kJob[] = R"(
name: chaos
model: {mlp: {hidden: [20, 12], batch_norm: true}}
data: {kind: noise, shape: [1, 6, 6], train_samples: 400, test_samples: 23}
train: {steps: 1, batch_size: 20, evaluate_every_epochs: 1}
compress: {small_tensor_elements: 30}
cluster:
  step_timeout_seconds: 20
  join_timeout_seconds: 20
  peer_timeout_seconds: 5
checkpoint: {every_seconds: 0}
)";

// Draws in a row from one seed.
class Draws {
 public:
  explicit Draws(uint64_t seed)
      : key_(DrawKey(Draw::kSimulate, {seed, 0xC4A05})) {}
  uint64_t Below(uint64_t bound) { return RandomBits(key_, next_++) % bound; }
  const char* Of(const std::vector<const char*>& choices) {
    return choices[Below(choices.size())];
  }

 private:
  const uint64_t key_;
  uint64_t next_ = 0;
};

// Of jobs with SimModelOptions::counts.
const std::vector<std::string>& CountingMethod() {
  static const auto& method = *new std::vector<std::string>{
      "compress.gradient=none", "quantize.weights=none",
      "optimizer={kind: sgd, learning_rate: 1}", "clip.global_norm=0"};
  return method;
}

std::vector<std::string> DrawJob(Draws& draws) {
  return {
      absl::StrCat("seed=", draws.Below(1000)),
      absl::StrCat("train.steps=", 4 + draws.Below(20)),
      absl::StrCat("cluster.workers=", 1 + draws.Below(4)),
      absl::StrCat("checkpoint.every_steps=", draws.Below(6)),
      absl::StrCat("checkpoint.keep_last=", 1 + draws.Below(3)),
      absl::StrCat("checkpoint.keep_best=", draws.Of({"true", "false"})),
      absl::StrCat("compress.gradient=",
                   draws.Of({"none", "terngrad", "{kind: qsgd, levels: 3}",
                             "{kind: terngrad, scale: shared}",
                             "{kind: topk, ratio: 0.1, error_feedback: true}",
                             "{kind: topk, ratio: 0.1, error_feedback: true, "
                             "momentum_correction: 0.9}",
                             "{kind: sign, error_feedback: true}"})),
      absl::StrCat("compress.down=", draws.Of({"auto", "weights", "sum"})),
      absl::StrCat(
          "quantize.weights=",
          draws.Of({"none", "none", "binaryconnect", "bwn", "ttq",
                    "binaryconnect_stochastic", "{kind: dorefa, bits: 2}"})),
      absl::StrCat("optimizer=",
                   draws.Of({"{kind: sgd, learning_rate: 0.05}",
                             "{kind: sgd, learning_rate: 0.05, momentum: 0.9}",
                             "{kind: adam, learning_rate: 0.01}"})),
      absl::StrCat("clip.global_norm=", draws.Of({"0", "0", "0.5"})),
  };
}

// What a crash may do to files that nobody has synced, and time to those that
// somebody has.
void Damage(Draws& draws, const std::string& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) return;
  const fs::path& victim = files[draws.Below(files.size())];
  const uint64_t bytes = fs::file_size(victim);
  if (bytes == 0) return;  // It was struck before.
  switch (draws.Below(3)) {
    case 0:
      fs::remove(victim);
      return;
    case 1:
      fs::resize_file(victim, draws.Below(bytes + 1));
      return;
    default:
      std::fstream file(victim,
                        std::ios::in | std::ios::out | std::ios::binary);
      const uint64_t place = draws.Below(bytes);
      file.seekg(place);
      const char changed = file.get() ^ (1 << draws.Below(8));
      file.seekp(place);
      file.put(changed);
  }
}

class Chaos {
 public:
  Chaos(uint64_t seed, const std::string& scratch)
      : seed_(seed), draws_(seed), scratch_(scratch) {}

  ChaosResult Run() {
    std::vector<std::string> overrides = DrawJob(draws_);
    DrawMode(overrides);
    result_.job = absl::StrJoin(overrides, " ");
    const absl::StatusOr<Job> job = ParseJob(kJob, "chaos", overrides);
    if (!job.ok()) return Violation(job.status().ToString());
    job_ = *job;
    // Modes that a combination does not have are refused, which is right.
    job_.mutable_cluster()->set_servers(bsp() ? 1 : servers_max_);
    SimJobResult calm = Attempt("calm", std::nullopt);
    if (!bsp() && ExitCodeOf(calm.status) == ExitCode::kBadJob) {
      servers_max_ = 1;  // Statistics over all servers.
      job_.mutable_cluster()->set_servers(1);
      calm = Attempt("calm", std::nullopt);
    }
    if (ExitCodeOf(calm.status) == ExitCode::kBadJob) return result_;
    if (!calm.status.ok()) return Violation(calm.status.ToString());
    calm_seconds_ = calm.seconds;
    const uint32_t losses = 1 + draws_.Below(4);
    for (uint32_t i = 0; i < losses; ++i) {
      DrawServers();
      const uint32_t processes = ProcessCount(job_);
      const SimJobOptions::Loss loss = {
          .process = static_cast<uint32_t>(draws_.Below(processes)),
          .after = calm.seconds * absl::Milliseconds(draws_.Below(1200)),
          .silent = draws_.Below(4) == 0};
      // A wire that breaks in place of a process.
      const bool cut = draws_.Below(4) == 0;
      if (cut) Trouble(std::nullopt);
      if (draws_.Below(4) == 0) damaged_per_million_ = draws_.Below(3000);
      const SimJobResult struck =
          Attempt("run", cut ? std::nullopt : std::optional(loss));
      if (!result_.violation.empty()) return result_;
      if (!struck.status.ok()) {
        ++result_.losses;
        if (ExitCodeOf(struck.status) != ExitCode::kPeerNeverCame) {
          return Violation(struck.status.ToString());
        }
      }
      const std::string miscounted = Miscounted();
      if (!miscounted.empty()) return Violation(miscounted);
      if (draws_.Below(4) == 0) Damage(draws_, scratch_ + "/run");
    }
    DrawServers();
    const SimJobResult last = Attempt("run", std::nullopt);
    if (!last.status.ok()) return Violation(last.status.ToString());
    const std::string broken = Broken(last);
    if (!broken.empty()) return Violation(broken);
    if (bsp()) return SameAs(calm, last);
    const std::string miscounted = Miscounted();
    if (!miscounted.empty()) return Violation(miscounted);
    return result_;
  }

 private:
  bool bsp() const { return job_.cluster().mode() == Cluster::BSP; }

  // A quarter of the jobs have workers with clocks of their own; half of these
  // count their steps.
  void DrawMode(std::vector<std::string>& overrides) {
    if (draws_.Below(4) != 0) return;
    // Each worker's gradient is an update here: learned scales diverge at the
    // rate of a mean.
    overrides.insert(overrides.end(),
                     {"compress.down=auto", "optimizer.learning_rate=0.01"});
    if (draws_.Below(2) == 0) {
      overrides.push_back("cluster.mode=async");
    } else {
      overrides.push_back("cluster.mode=ssp");
      overrides.push_back(
          absl::StrCat("cluster.staleness_steps_max=", draws_.Below(4)));
    }
    counts_ = draws_.Below(2) == 0;
    if (!counts_) return;
    const std::vector<std::string>& method = CountingMethod();
    overrides.insert(overrides.end(), method.begin(), method.end());
  }

  void DrawServers() {
    const auto servers = static_cast<uint32_t>(1 + draws_.Below(servers_max_));
    job_.mutable_cluster()->set_servers(servers);
    if (!bsp()) return;
    job_.mutable_cluster()->set_replicas(
        servers > 1 ? static_cast<uint32_t>(draws_.Below(2)) : 0);
  }

  // What is wrong with the steps in a checkpoint; empty: nothing.
  std::string Miscounted() const {
    std::vector<std::string> passed_over;
    const auto newest = NewestCheckpoint(scratch_ + "/run", passed_over);
    return counts_ && newest ? WrongCounts(job_, *newest) : "";
  }

  ChaosResult SameAs(const SimJobResult& calm, const SimJobResult& last) {
    for (const char* what : {"weights_sha256", "test_accuracy", "test_loss"}) {
      if (last.report[what] != calm.report[what]) {
        return Violation(absl::StrCat(what, " is ", last.report[what].dump(),
                                      ", in the calm run ",
                                      calm.report[what].dump()));
      }
    }
    return result_;
  }

  ChaosResult Violation(const std::string& what) {
    result_.violation = what;
    return result_;
  }

  void Trouble(std::optional<absl::Duration> stall) {
    troubles_.push_back(
        {.worker =
             static_cast<uint32_t>(draws_.Below(job_.cluster().workers())),
         .shard = static_cast<uint32_t>(draws_.Below(job_.cluster().servers())),
         .after = calm_seconds_ * absl::Milliseconds(draws_.Below(1200)),
         .stall = stall});
  }

  // What must hold at the end of any run, whatever was lost on the way.
  std::string Broken(const SimJobResult& result) const {
    for (const std::string& digest : result.worker_sha256) {
      if (digest != result.worker_sha256[0]) return "the replicas differ";
    }
    uint64_t lead_max = 1;
    if (!bsp()) lead_max = job_.train().steps();
    if (job_.cluster().mode() == Cluster::SSP) {
      lead_max = job_.cluster().staleness_steps_max();
    }
    if (result.lead_max > lead_max) {
      return absl::StrCat("a worker was ", result.lead_max, " steps ahead");
    }
    if (result.report["steps"] != job_.train().steps()) {
      return "it ended at another step";
    }
    // Of each worker: two versions and an evaluation down; a gradient up; what
    // it keeps, up and down.
    const uint64_t parameters = result.report["parameters"];
    // Of a server's state: weights and Adam's two moments, to a mirror and
    // back.
    const uint64_t bound =
        job_.cluster().workers() *
            (parameters * sizeof(float) * 8 + (1 << 16)) +
        job_.cluster().replicas() * parameters * sizeof(float) * 3 * 4;
    if (result.bytes_under_way_max > bound) {
      return absl::StrCat(result.bytes_under_way_max,
                          " bytes were under way, the bound is ", bound);
    }
    return "";
  }

  SimJobResult Attempt(const std::string& folder,
                       std::optional<SimJobOptions::Loss> loss) {
    SimJobOptions options;
    options.network.seed = MixKey({seed_, ++attempts_});
    options.network.slowness_max = 1 + draws_.Below(4);
    options.model = {
        .train_samples = 400, .test_samples = 23, .counts = counts_};
    options.checkpoint_directory = absl::StrCat(scratch_, "/", folder);
    options.tick_ms = 20;
    if (loss) options.losses = {*loss};
    if (loss && job_.cluster().replicas() > 0 && draws_.Below(2) == 0) {
      // A server more, soon after or before.
      options.losses.push_back(
          {.process =
               static_cast<uint32_t>(draws_.Below(job_.cluster().servers())),
           .after =
               loss->after * 0.001 * static_cast<double>(draws_.Below(2000))});
    }
    options.moves = draws_.Below(2) == 0;
    options.repeats_per_mille = calm_seconds_ > 0 ? draws_.Below(100) : 0;
    // Shorter than any timeout: nobody may notice.
    for (uint64_t i = calm_seconds_ > 0 ? draws_.Below(3) : 0; i > 0; --i) {
      Trouble(absl::Milliseconds(draws_.Below(5000)));
    }
    options.troubles = std::exchange(troubles_, {});
    options.network.damaged_per_million =
        std::exchange(damaged_per_million_, 0);
    if (draws_.Below(2) == 0) {
      options.replace_after = absl::Milliseconds(1 + draws_.Below(500));
    }
    std::vector<std::string> passed_over;
    options.resume =
        NewestCheckpoint(options.checkpoint_directory, passed_over);
    if (options.resume) ++result_.resumed;
    SimJobResult result = RunSimJob(job_, options);
    result_.steps += result.steps;
    result_.frames += result.frames;
    result_.overtakes += result.overtakes_within + result.overtakes_across;
    result_.residuals_checked += result.residuals_checked;
    const SimDamage& damage = result.damage;
    result_.damaged_frames += damage.frames;
    if (damage.taken > 0 || damage.found + damage.unread != damage.frames) {
      Violation(absl::StrCat("of ", damage.frames, " damaged frames ",
                             damage.taken, " were taken for whole ones, and ",
                             damage.found, " were found"));
    }
    return result;
  }

  const uint64_t seed_;
  Draws draws_;
  const std::string scratch_;
  Job job_;
  uint32_t servers_max_ = 3;
  bool counts_ = false;  // SimModelOptions::counts.
  uint64_t attempts_ = 0;
  double calm_seconds_ = 0;                       // 0: not known yet.
  std::vector<SimJobOptions::Trouble> troubles_;  // Of the next attempt.
  uint64_t damaged_per_million_ = 0;              // Of the next attempt.
  ChaosResult result_;
};

}  // namespace

ChaosResult RunChaos(uint64_t seed, const std::string& scratch) {
  std::error_code error;
  fs::remove_all(scratch, error);
  const ChaosResult result = Chaos(seed, scratch).Run();
  fs::remove_all(scratch, error);
  return result;
}

}  // namespace terse
