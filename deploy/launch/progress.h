// Shows how a job gets on, from the events in its metrics.jsonl: one line
// redrawn in place on a terminal, plain lines elsewhere.
#ifndef TERSE_DEPLOY_LAUNCH_PROGRESS_H_
#define TERSE_DEPLOY_LAUNCH_PROGRESS_H_

#include <cstdint>
#include <cstdio>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace terse {

// What the events so far say.
struct ProgressState {
  enum class Phase { kStarting, kTraining, kFinished };
  enum class Change { kNothing, kSome, kEvaluation, kStarted };

  Phase phase = Phase::kStarting;
  uint32_t servers = 0;  // Set by the owner: roles that are to join.
  uint32_t workers = 0;
  std::set<std::pair<std::string, uint32_t>> joined;  // ("worker", 3)

  uint64_t steps_total = 0;
  uint64_t steps_per_epoch = 0;
  uint64_t parameters = 0;
  double seconds = 0;
  uint64_t step = 0;
  double epoch = 0;
  std::optional<double> train_loss;
  std::optional<double> train_accuracy;
  double steps_per_second = 0;
  double wire_bytes_up = 0;
  double wire_bytes_down = 0;
  double bits_per_element_up = 0;
  double bits_per_element_down = 0;
  std::optional<double> test_loss;
  std::optional<double> test_accuracy;
  std::optional<double> train_bits_per_character;  // Of text alone.
  std::optional<double> test_bits_per_character;

  // Takes in one line of metrics.jsonl. Lines that are no JSON object and
  // events of other kinds change nothing.
  Change Apply(std::string_view line);
};

// The line for a terminal of `columns`: what matters least is left out until it
// fits.
std::string StatusLine(const ProgressState& state, int columns);

// The same in full, for logs.
std::string PlainLine(const ProgressState& state);

// "epoch 3: test accuracy 95.30 %, loss 0.182"; of text also "2.140 bits per
// character".
std::string EvaluationLine(const ProgressState& state);

// "2 of 4 roles joined, waiting for worker 0, worker 3"; ranks that follow each
// other are "workers 1-7".
std::string JoinLine(const ProgressState& state);

class ProgressPrinter {
 public:
  static constexpr double kPlainPeriodSeconds = 5;
  static constexpr double kRedrawPeriodSeconds = 0.2;

  // Writes to `target` (standard error). `in_place`: it is a terminal that can
  // redraw a line; `colour`: it may be coloured.
  ProgressPrinter(FILE* target, bool in_place, bool colour)
      : target_(target), in_place_(in_place), colour_(colour) {}
  ~ProgressPrinter() { Clear(); }

  // Whether a FILE should be written to in place and coloured, from isatty and
  // the variables TERM and NO_COLOR.
  static bool CanRedraw(FILE* target);
  static bool CanColour(FILE* target);

  // Shows `state` if it is time to; `now_seconds` runs from any origin.
  void Show(const ProgressState& state, ProgressState::Change change,
            double now_seconds);
  // Says a line of its own, above the status line.
  void Say(std::string_view line);
  // Takes the status line away.
  void Clear();

 private:
  void Draw(const std::string& line);

  FILE* const target_;
  const bool in_place_;
  const bool colour_;
  bool drawn_ = false;
  std::optional<double> shown_seconds_;
};

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_PROGRESS_H_
