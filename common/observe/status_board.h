// What is known of a job, gathered from the coordinator's events: what the
// status page, `terse status` and `terse report` show.
#ifndef TERSE_COMMON_OBSERVE_STATUS_BOARD_H_
#define TERSE_COMMON_OBSERVE_STATUS_BOARD_H_

#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace terse {

// Safe to use from any thread.
class StatusBoard {
 public:
  // Points of a curve that are kept; beyond, every other one is dropped.
  static constexpr size_t kRowsMax = 2000;
  // Events people read (joined, evaluation, ...); older ones are dropped.
  static constexpr size_t kEventsMax = 300;

  // `job`: name, and the YAML that can be run again. `machine`: MachineJson().
  StatusBoard(const std::string& job_name, const std::string& job_yaml,
              nlohmann::json machine);

  // Takes in an event; `time`, seconds since 1970, may be in it. Events and
  // fields it does not know change nothing.
  void OnEvent(const nlohmann::json& event);

  // Everything; rows of curves only after `after_seconds`, histograms only if
  // they are not of `observed_step`.
  nlohmann::json Status(double after_seconds, int64_t observed_step) const;
  nlohmann::json Status() const { return Status(-1, -1); }

 private:
  void AddRow(const nlohmann::json& event);
  void AddObservation(const nlohmann::json& event);
  void SetWorkers(const nlohmann::json& list);
  void SetWorkerState(const nlohmann::json& event, const char* state);
  void Say(const nlohmann::json& event, const std::string& text);

  mutable std::mutex mutex_;
  nlohmann::json state_;
  std::vector<std::vector<nlohmann::json>> rows_;  // By time.
  std::deque<nlohmann::json> events_;
  nlohmann::json observed_;  // By tensor name.
  int64_t observed_step_ = -1;
};

}  // namespace terse

#endif  // TERSE_COMMON_OBSERVE_STATUS_BOARD_H_
