#include "deploy/launch/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/string_view.h"
#include "deploy/launch/format.h"
#include "nlohmann/json.hpp"

namespace terse {
namespace {

using Change = ProgressState::Change;
using Phase = ProgressState::Phase;

template <typename Number>
void Read(const nlohmann::json& event, const char* key, Number& target) {
  const auto found = event.find(key);
  if (found == event.end() || !found->is_number()) return;
  // A negative count would wrap to a huge one.
  target = Number(std::max(0.0, found->get<double>()));
}

void ReadOptional(const nlohmann::json& event, const char* key,
                  std::optional<double>& target) {
  const auto found = event.find(key);
  if (found == event.end() || !found->is_number()) return;
  target = found->get<double>();
}

std::string ReadText(const nlohmann::json& event, const char* key) {
  const auto found = event.find(key);
  if (found == event.end() || !found->is_string()) return "";
  return found->get<std::string>();
}

void ReadProgress(const nlohmann::json& event, ProgressState& state) {
  Read(event, "seconds", state.seconds);
  Read(event, "step", state.step);
  Read(event, "epoch", state.epoch);
  ReadOptional(event, "train_loss", state.train_loss);
  ReadOptional(event, "train_accuracy", state.train_accuracy);
  ReadOptional(event, "train_bits_per_character",
               state.train_bits_per_character);
  Read(event, "steps_per_second", state.steps_per_second);
  Read(event, "wire_bytes_up", state.wire_bytes_up);
  Read(event, "wire_bytes_down", state.wire_bytes_down);
  Read(event, "bits_per_element_up", state.bits_per_element_up);
  Read(event, "bits_per_element_down", state.bits_per_element_down);
}

// A part of the status line; the highest `rank` goes first when it is too long.
struct Part {
  int rank;
  std::string text;
};

std::vector<Part> StatusParts(const ProgressState& state) {
  std::vector<Part> parts;
  const double share =
      state.steps_total > 0 ? double(state.step) / state.steps_total : 0;
  parts.push_back({3, absl::StrFormat("%3.0f %%", 100 * share)});
  parts.push_back(
      {0, absl::StrCat("step ", state.step, "/", state.steps_total)});
  parts.push_back({6, absl::StrFormat("epoch %.1f", state.epoch)});
  if (state.train_loss) {
    parts.push_back(
        {1, absl::StrCat("loss ", FormatNumber(*state.train_loss))});
  }
  if (state.train_accuracy) {
    parts.push_back(
        {8, absl::StrFormat("train %.1f %%", 100 * *state.train_accuracy)});
  }
  if (state.train_bits_per_character) {
    parts.push_back({1, absl::StrFormat("%.3f bits/character",
                                        *state.train_bits_per_character)});
  }
  if (state.test_bits_per_character) {
    parts.push_back(
        {4, absl::StrFormat("test %.3f", *state.test_bits_per_character)});
  }
  if (state.test_accuracy) {
    parts.push_back(
        {5, absl::StrFormat("test %.1f %%", 100 * *state.test_accuracy)});
  }
  if (state.steps_per_second > 0) {
    parts.push_back(
        {7, absl::StrCat(FormatNumber(state.steps_per_second), " steps/s")});
    const double steps_left = double(state.steps_total) - double(state.step);
    parts.push_back({2, absl::StrCat(FormatClock(std::max(0.0, steps_left) /
                                                 state.steps_per_second),
                                     " left")});
  }
  parts.push_back(
      {9, absl::StrCat("up ", FormatBytes(state.wire_bytes_up), " down ",
                       FormatBytes(state.wire_bytes_down))});
  parts.push_back({4, absl::StrFormat("bits/element up %.2f down %.2f",
                                      state.bits_per_element_up,
                                      state.bits_per_element_down)});
  return parts;
}

std::string JoinParts(const std::vector<Part>& parts) {
  return absl::StrJoin(parts, " | ", [](std::string* out, const Part& part) {
    out->append(part.text);
  });
}

// "worker 0", "workers 2-5": the ranks of `role` below `count` that are
// missing, in runs.
void AppendMissing(const ProgressState& state, const char* role, uint32_t count,
                   std::vector<std::string>& missing) {
  for (uint32_t first = 0; first < count; ++first) {
    if (state.joined.contains({role, first})) continue;
    uint32_t last = first;
    while (last + 1 < count && !state.joined.contains({role, last + 1})) ++last;
    missing.push_back(first == last
                          ? absl::StrCat(role, " ", first)
                          : absl::StrCat(role, "s ", first, "-", last));
    first = last;
  }
}

int Columns(FILE* target) {
  winsize size{};
  if (ioctl(fileno(target), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return size.ws_col;
  }
  return 80;
}

}  // namespace

Change ProgressState::Apply(std::string_view line) {
  const nlohmann::json event = nlohmann::json::parse(
      line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (!event.is_object()) return Change::kNothing;
  const std::string kind = ReadText(event, "event");
  if (kind == "joined" || kind == "lost") {
    uint32_t rank = 0;
    Read(event, "rank", rank);
    const std::pair<std::string, uint32_t> who(ReadText(event, "role"), rank);
    if (kind == "joined") {
      joined.insert(who);
    } else {
      joined.erase(who);
    }
    return Change::kSome;
  }
  if (kind == "start") {
    phase = Phase::kTraining;
    Read(event, "steps_total", steps_total);
    Read(event, "steps_per_epoch", steps_per_epoch);
    Read(event, "parameters", parameters);
    return Change::kStarted;
  }
  if (kind == "progress") {
    ReadProgress(event, *this);
    return Change::kSome;
  }
  if (kind == "evaluation" || kind == "finish") {
    Read(event, "seconds", seconds);
    Read(event, "step", step);
    Read(event, "epoch", epoch);
    ReadOptional(event, "test_loss", test_loss);
    ReadOptional(event, "test_accuracy", test_accuracy);
    ReadOptional(event, "test_bits_per_character", test_bits_per_character);
    if (kind == "evaluation") return Change::kEvaluation;
    phase = Phase::kFinished;
    return Change::kSome;
  }
  return Change::kNothing;
}

std::string StatusLine(const ProgressState& state, int columns) {
  std::vector<Part> parts;
  if (state.phase == Phase::kStarting) {
    parts.push_back({0, JoinLine(state)});
  } else {
    parts = StatusParts(state);
  }
  std::string line = JoinParts(parts);
  while (int(line.size()) > columns && parts.size() > 1) {
    parts.erase(std::max_element(
        parts.begin(), parts.end(),
        [](const Part& a, const Part& b) { return a.rank < b.rank; }));
    line = JoinParts(parts);
  }
  return line.substr(0, std::max(0, columns));
}

std::string PlainLine(const ProgressState& state) {
  if (state.phase == Phase::kStarting) return JoinLine(state);
  return JoinParts(StatusParts(state));
}

std::string EvaluationLine(const ProgressState& state) {
  std::string line = absl::StrFormat("epoch %s: test accuracy %s",
                                     absl::StrFormat("%.4g", state.epoch),
                                     FormatPercent(*state.test_accuracy));
  if (state.test_loss) {
    absl::StrAppend(&line, ", loss ", FormatNumber(*state.test_loss));
  }
  if (state.test_bits_per_character) {
    absl::StrAppend(&line, ", ",
                    absl::StrFormat("%.3f bits per character",
                                    *state.test_bits_per_character));
  }
  return line;
}

std::string JoinLine(const ProgressState& state) {
  std::vector<std::string> missing;
  AppendMissing(state, "server", state.servers, missing);
  AppendMissing(state, "worker", state.workers, missing);
  const uint32_t roles = state.servers + state.workers;
  if (roles == 0) return "starting";
  if (missing.empty()) return absl::StrCat("all ", roles, " roles joined");
  return absl::StrCat(state.joined.size(), " of ", roles,
                      " roles joined, waiting for ",
                      absl::StrJoin(missing, ", "));
}

bool ProgressPrinter::CanRedraw(FILE* target) {
  const char* terminal = std::getenv("TERM");
  return isatty(fileno(target)) != 0 && terminal != nullptr &&
         std::string_view(terminal) != "dumb";
}

bool ProgressPrinter::CanColour(FILE* target) {
  const char* no_colour = std::getenv("NO_COLOR");
  return CanRedraw(target) && (no_colour == nullptr || *no_colour == '\0');
}

void ProgressPrinter::Show(const ProgressState& state, Change change,
                           double now_seconds) {
  if (change == Change::kEvaluation && state.test_accuracy) {
    Say(EvaluationLine(state));
  }
  const double period = in_place_ ? kRedrawPeriodSeconds : kPlainPeriodSeconds;
  // A plain log says nothing of a start that takes no time.
  if (!shown_seconds_) {
    shown_seconds_ = in_place_ ? now_seconds - period : now_seconds;
  }
  if (now_seconds - *shown_seconds_ < period) return;
  shown_seconds_ = now_seconds;
  if (in_place_) {
    Draw(StatusLine(state, Columns(target_) - 1));
  } else {
    Say(PlainLine(state));
  }
}

void ProgressPrinter::Say(std::string_view line) {
  Clear();
  absl::FPrintF(target_, "%s\n", ToAbsl(line));
  std::fflush(target_);
  // The status line comes back with the next Show.
  if (in_place_) shown_seconds_.reset();
}

void ProgressPrinter::Clear() {
  if (!drawn_) return;
  drawn_ = false;
  std::fputs("\r\x1b[K", target_);
  std::fflush(target_);
}

void ProgressPrinter::Draw(const std::string& line) {
  const char* begin = colour_ ? "\x1b[1m" : "";
  const char* end = colour_ ? "\x1b[0m" : "";
  absl::FPrintF(target_, "\r%s%s%s\x1b[K", begin, line, end);
  std::fflush(target_);
  drawn_ = true;
}

}  // namespace terse
