#include "common/observe/status_board.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace terse {
namespace {

using nlohmann::json;

constexpr const char* kColumns[] = {"seconds",
                                    "step",
                                    "train_loss",
                                    "train_accuracy",
                                    "learning_rate",
                                    "steps_per_second",
                                    "bits_per_element_up",
                                    "bits_per_element_down",
                                    "compute",
                                    "encode",
                                    "wait",
                                    "decode",
                                    "apply",
                                    "total",
                                    "residual_norm_ratio"};

json NumberOf(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? *found : json();
}

std::string TextOf(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>()
                                                     : std::string();
}

double Plain(const json& object, const char* key) {
  const json number = NumberOf(object, key);
  return number.is_null() ? 0 : number.get<double>();
}

}  // namespace

StatusBoard::StatusBoard(const std::string& job_name,
                         const std::string& job_yaml, json machine) {
  state_ = {{"job", {{"name", job_name}, {"yaml", job_yaml}}},
            {"machine", std::move(machine)},
            {"phase", "joining"},
            {"columns", kColumns},
            {"evaluations", json::array()},
            {"workers", json::array()},
            {"tensors", json::array()}};
  observed_ = json::object();
}

void StatusBoard::Say(const json& event, const std::string& text) {
  events_.push_back({{"time", NumberOf(event, "time")},
                     {"kind", TextOf(event, "event")},
                     {"text", text}});
  if (events_.size() > kEventsMax) events_.pop_front();
}

void StatusBoard::AddRow(const json& event) {
  state_["progress"] = event;
  std::vector<json> row;
  const auto times = event.find("time_ms");
  for (const char* column : kColumns) {
    json value = NumberOf(event, column);
    if (value.is_null() && times != event.end()) {
      value = NumberOf(*times, column);
    }
    row.push_back(std::move(value));
  }
  rows_.push_back(std::move(row));
  if (rows_.size() <= kRowsMax) return;
  size_t kept = 0;
  for (size_t i = 1; i < rows_.size(); i += 2) {
    rows_[kept++] = std::move(rows_[i]);
  }
  rows_.resize(kept);
}

void StatusBoard::AddObservation(const json& event) {
  const auto tensors = event.find("tensors");
  if (tensors == event.end() || !tensors->is_array()) return;
  observed_step_ = static_cast<int64_t>(Plain(event, "step"));
  for (const json& tensor : *tensors) {
    json& known = observed_[TextOf(tensor, "name")];
    // Worker 0 and the shards tell their parts at different times.
    known.update(tensor);
    known["step"] = observed_step_;
  }
}

void StatusBoard::SetWorkers(const json& list) {
  if (!list.is_array()) return;
  state_["workers"] = list;
}

void StatusBoard::SetWorkerState(const json& event, const char* state) {
  const json rank = NumberOf(event, "rank");
  if (TextOf(event, "role") != "worker" || rank.is_null()) return;
  json& workers = state_["workers"];
  for (json& worker : workers) {
    if (worker.value("rank", -1) != rank) continue;
    worker["state"] = state;
    return;
  }
  workers.push_back({{"rank", rank}, {"state", state}, {"step", 0}});
}

void StatusBoard::OnEvent(const json& event) {
  if (!event.is_object()) return;
  std::lock_guard lock(mutex_);
  const std::string kind = TextOf(event, "event");
  const std::string who = absl::StrCat(TextOf(event, "role"), " ",
                                       absl::StrCat(Plain(event, "rank")));
  if (kind == "progress") {
    AddRow(event);
  } else if (kind == "workers") {
    SetWorkers(event.value("workers", json()));
  } else if (kind == "observation") {
    AddObservation(event);
  } else if (kind == "joined" || kind == "ready") {
    SetWorkerState(event, kind == "joined" ? "joining" : "ready");
    Say(event, absl::StrCat(who, kind == "joined" ? " joined" : " is ready"));
  } else if (kind == "goodbye") {
    SetWorkerState(event, "finished");
    Say(event, absl::StrCat(who, " has finished"));
  } else if (kind == "start") {
    state_["phase"] = "training";
    state_["start"] = event;
    if (event.contains("tensors")) state_["tensors"] = event["tensors"];
    state_["start"].erase("tensors");
    Say(event, absl::StrFormat("started: %.0f steps, %.0f an epoch",
                               Plain(event, "steps_total"),
                               Plain(event, "steps_per_epoch")));
  } else if (kind == "evaluation") {
    state_["evaluations"].push_back(event);
    Say(event, absl::StrFormat("step %.0f: test accuracy %.2f %%, loss %.4f",
                               Plain(event, "step"),
                               100 * Plain(event, "test_accuracy"),
                               Plain(event, "test_loss")));
  } else if (kind == "finish") {
    state_["phase"] = "finished";
    Say(event,
        absl::StrFormat("finished after %.1f s", Plain(event, "seconds")));
  } else if (kind == "abort") {
    state_["phase"] = "failed";
    state_["reason"] = TextOf(event, "reason");
    Say(event, absl::StrCat("failed: ", TextOf(event, "reason")));
  } else if (kind == "lost") {
    SetWorkerState(event, "lost");
    Say(event, absl::StrFormat("%s was lost at step %.0f: %s", who,
                               Plain(event, "step"), TextOf(event, "reason")));
  } else if (kind == "checkpoint" && event.contains("error")) {
    Say(event, absl::StrFormat("no checkpoint of step %.0f: %s",
                               Plain(event, "step"), TextOf(event, "error")));
  } else if (kind == "checkpoint") {
    state_["checkpoint"] = event;
    Say(event,
        absl::StrFormat("checkpoint of step %.0f", Plain(event, "step")));
  }
}

json StatusBoard::Status(double after_seconds, int64_t observed_step) const {
  std::lock_guard lock(mutex_);
  json status = state_;
  json& rows = status["rows"] = json::array();
  for (const std::vector<json>& row : rows_) {
    if (row[0].is_number() && row[0].get<double>() > after_seconds) {
      rows.push_back(row);
    }
  }
  status["events"] = events_;
  status["observed_step"] = observed_step_;
  if (observed_step_ != observed_step) status["observed"] = observed_;
  return status;
}

}  // namespace terse
