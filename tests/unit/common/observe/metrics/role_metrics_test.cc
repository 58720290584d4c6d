#include "common/observe/prometheus/role_metrics.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using testing::HasSubstr;

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream stream(path);
  EXPECT_TRUE(stream) << path;
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(RoleMetricsTest, AWorkersStepIsCounted) {
  RoleMetrics metrics(MetricsRole::kWorker, "1.0", "avx2");
  StepMetrics step;
  step.times.set_total_ns(2'000'000);
  step.times.set_encode_ns(1'000'000);
  step.samples = 50;
  step.wire_bytes_up = 100;
  step.wire_bytes_down = 50;
  step.raw_bytes = 1600;
  step.payload_bytes["terngrad"] = 90;
  metrics.OnStep(step);
  step.wire_bytes_up = 200;
  step.raw_bytes = 3200;
  step.payload_bytes["terngrad"] = 180;
  metrics.OnStep(step);
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("terse_wire_bytes_total{direction=\"up\"} 200"));
  EXPECT_THAT(text,
              HasSubstr("terse_push_bytes_total{codec=\"terngrad\"} 180"));
  EXPECT_THAT(text, HasSubstr("terse_bits_per_element{direction=\"up\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("terse_encode_seconds_count 2"));
  EXPECT_THAT(text, HasSubstr("terse_samples_total 100"));
  EXPECT_THAT(text, HasSubstr("kernels=\"avx2\""));
}

TEST(RoleMetricsTest, TheCoordinatorsEventsAreCounted) {
  RoleMetrics metrics(MetricsRole::kCoordinator, "1.0", "avx2");
  const absl::Time now = absl::FromUnixSeconds(1234);
  metrics.OnEvent({{"event", "start"}, {"steps_total", 40}}, now);
  metrics.OnEvent({{"event", "progress"}, {"step", 4}, {"train_loss", 0.5}},
                  now);
  metrics.OnEvent({{"event", "workers"},
                   {"workers",
                    {{{"rank", 0}, {"state", "training"}, {"lag_steps", 0}},
                     {{"rank", 1}, {"state", "training"}, {"lag_steps", 3}}}}},
                  now);
  metrics.OnEvent({{"event", "checkpoint"}, {"step", 4}}, now);
  metrics.OnEvent({{"event", "checkpoint"}, {"step", 8}, {"error", "full"}},
                  now + absl::Seconds(1));
  metrics.OnFrame(absl::Milliseconds(1), ShardProgress{.version = 9});
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("terse_job_steps 40"));
  EXPECT_THAT(text, HasSubstr("terse_train_loss 0.5"));
  EXPECT_THAT(text, HasSubstr("terse_workers{state=\"training\"} 2"));
  EXPECT_THAT(text, HasSubstr("terse_worker_staleness_steps{worker=\"1\"} 3"));
  EXPECT_THAT(
      text, HasSubstr("terse_checkpoint_last_success_timestamp_seconds 1234"));
  EXPECT_THAT(text, HasSubstr("terse_checkpoint_last_success_step 4"));
  EXPECT_THAT(text, HasSubstr("terse_checkpoint_failures_total 1"));
  EXPECT_THAT(text, HasSubstr("terse_weights_version 9"));
}

TEST(RoleMetricsTest, WorkersAreCountedByTheirStates) {
  RoleMetrics metrics(MetricsRole::kCoordinator, "1.0", "avx2");
  const auto tell = [&](const char* event, const char* role, int rank) {
    metrics.OnEvent({{"event", event}, {"role", role}, {"rank", rank}},
                    absl::UnixEpoch());
  };
  EXPECT_THAT(metrics.Text(), HasSubstr("terse_workers{state=\"joining\"} 0"));
  metrics.SetWorkersWanted(4);
  EXPECT_THAT(metrics.Text(), HasSubstr("terse_workers_wanted 4"));
  for (int rank = 0; rank < 4; ++rank) tell("joined", "worker", rank);
  tell("ready", "worker", 1);
  tell("goodbye", "worker", 2);
  tell("lost", "worker", 3);
  tell("lost", "server", 0);
  const std::string text = metrics.Text();
  for (const char* state : {"joining", "ready", "finished", "lost"}) {
    EXPECT_THAT(text, HasSubstr(std::string("terse_workers{state=\"") + state +
                                "\"} 1"));
  }
  EXPECT_THAT(text, HasSubstr("terse_workers{state=\"training\"} 0"));
}

// Names of metrics in a text, without what histograms put behind them.
std::set<std::string> NamesIn(const std::string& text) {
  static const std::regex name("terse_[a-z0-9_]+");
  std::set<std::string> names;
  for (std::sregex_iterator i(text.begin(), text.end(), name), end; i != end;
       ++i) {
    names.insert(
        std::regex_replace(i->str(), std::regex("_(bucket|sum|count)$"), ""));
  }
  return names;
}

// What the alerts and the dashboard ask for is there.
TEST(RoleMetricsTest, AlertsAndDashboardKnowTheirMetrics) {
  std::string all;
  for (const MetricsRole role : {MetricsRole::kCoordinator,
                                 MetricsRole::kServer, MetricsRole::kWorker}) {
    RoleMetrics metrics(role, "1.0", "avx2");
    StepMetrics step;
    step.payload_bytes["none"] = 1;
    if (role == MetricsRole::kWorker) metrics.OnStep(step);
    if (role == MetricsRole::kCoordinator) {
      metrics.OnEvent({{"event", "workers"}, {"workers", {{{"rank", 0}}}}},
                      absl::UnixEpoch());
    }
    all += metrics.Text();
  }
  const std::set<std::string> known = NamesIn(all);
  const std::filesystem::path folder =
      std::filesystem::path(TERSE_SOURCE_DIR) / "deploy/monitoring";
  for (const char* file : {"rules.yaml", "dashboard.json"}) {
    const std::set<std::string> asked = NamesIn(ReadAll(folder / file));
    EXPECT_GE(asked.size(), 4u) << file;
    for (const std::string& name : asked) {
      EXPECT_TRUE(known.contains(name)) << name << " in " << file;
    }
  }
}

}  // namespace
}  // namespace terse
