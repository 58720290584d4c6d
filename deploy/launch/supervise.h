// Runs the processes of a job on this machine: one log file each, all of them
// stopped when one fails or a signal comes, none left behind in any case.
#ifndef TERSE_DEPLOY_LAUNCH_SUPERVISE_H_
#define TERSE_DEPLOY_LAUNCH_SUPERVISE_H_

#include <signal.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "deploy/launch/process.h"

namespace terse {

struct Role {
  std::string name;      // For people: "worker 1".
  std::string log_path;  // Takes standard output and error, and is appended to.
  ProcessSpec process;
  std::string host;  // Where an agent runs it; empty: here.
  // The job is over when this one ends well: the others get the grace period
  // to end too.
  bool coordinator = false;
};

// Keeps the last lines of a stream of bytes.
class LastLines {
 public:
  static constexpr size_t kLinesMax = 20;
  static constexpr size_t kLineBytesMax = 2000;  // Longer ones are cut.

  void Append(std::string_view bytes);
  // A last line without its end counts as one.
  std::vector<std::string> Lines() const;

 private:
  std::deque<std::string> lines_;
  std::string open_line_;
};

// How a job ended.
struct Outcome {
  int exit_code = 0;
  std::string message;  // Why, over several lines; empty if all went well. With
                        // exit code 0: who had to be stopped at the end.
  // The role that was lost (killed, crashed, hung, cut off) and what came to
  // it, in one line; empty where another start would end the same way.
  std::string lost_role;
  std::string loss;
};

class Supervisor {
 public:
  using SteadyTime = std::chrono::steady_clock::time_point;
  using Milliseconds = std::chrono::milliseconds;
  // Called between events; returns how long it can wait for the next call. An
  // error stops the job.
  using Tick = std::function<absl::StatusOr<Milliseconds>()>;
  // Says one line to people.
  using Say = std::function<void(std::string_view)>;
  // Takes what roles write, line by line.
  using Tee = std::function<void(const Role&, std::string_view line)>;

  // Takes over SIGINT, SIGTERM, SIGHUP and SIGQUIT (those that are not ignored)
  // and SIGCHLD of this thread until it is destroyed. `grace` is the time
  // between SIGTERM and SIGKILL.
  // After a role has failed the others, who know, get `failure_grace` of it.
  static absl::StatusOr<std::unique_ptr<Supervisor>> Create(
      Milliseconds grace, Say say,
      Milliseconds failure_grace = Milliseconds::max());
  // Kills and reaps whatever still runs.
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // For roles that are started later.
  void set_tee(Tee tee) { tee_ = std::move(tee); }

  // What the loss of a role means: the job's end, or that the others run on and
  // it is started again by itself, or not at all.
  struct Loss {
    bool job_goes_on = false;
    std::optional<Milliseconds> replaced_after;
    std::optional<Role> replacement;  // None: the same again.
  };
  // Asked when a role is lost before anything else has failed, with what came
  // to it, and whether it was ended, as by a signal, or ended by itself.
  using Lose =
      std::function<Loss(const Role&, const std::string& what, bool was_ended)>;
  void set_lose(Lose lose) { lose_ = std::move(lose); }

  // Errors: those of StartProcess; exit code 74 (the log cannot be written).
  absl::Status Start(const Role& role);

  // Ends the process of the role of that name at once, as if something else
  // had, if it was started before `start_max`; false: there is none.
  bool Kill(const std::string& name, SteadyTime start_max);

  // Returns when every role has ended. The exit code is 0 if all ended with 0,
  // else that of the first that failed (1 if a signal killed it), 130 after
  // SIGINT or SIGQUIT, 143 after SIGTERM or SIGHUP.
  Outcome Run(const Tick& tick);

 private:
  enum class Cause { kNone, kRoleFailed, kSignal, kTickFailed, kStragglers };

  struct Child {
    Role role;
    Process process;
    int log = -1;
    bool log_failed = false;
    LastLines last_lines;
    std::string tee_line;  // Its begin, for the tee.
    bool ended = false;
    int wait_status = 0;
    bool ended_after_stop = false;
    bool given_up = false;  // The others run on.
    bool killed = false;
    SteadyTime start_time;
    SteadyTime end_time;
  };

  Supervisor(Milliseconds grace, Milliseconds failure_grace, Say say);
  absl::Status OpenSignals();
  bool AnyRuns() const;
  void Stop(Cause cause);
  void KillAll(int signal);
  void AskAllToEnd();
  void WaitForEvents(Milliseconds timeout);
  void HandleSignals();
  void HandleSignal(int number);
  void CopyOutput(Child& child);
  void TeeOutput(Child& child, std::string_view bytes);
  void ReapAll();
  void HandleEnds(const std::vector<Child*>& ended);
  bool GoesOnWithout(Child& child);
  void StartReplacements();
  void CheckDeadlines();
  static int CauseRank(const Child& child);
  const Child& Origin() const;
  Outcome MakeOutcome() const;
  Outcome FailureOutcome() const;
  Outcome SignalOutcome() const;
  std::string Consequences(const Child& root) const;
  static std::string LastWords(const Child& child);
  std::string Excerpt(const Child& child) const;

  const Milliseconds grace_;
  const Milliseconds failure_grace_;  // At most grace_.
  const Say say_;
  Tee tee_;
  Lose lose_;
  std::vector<std::pair<SteadyTime, Role>> replacements_;  // And when.
  const SteadyTime start_time_;
  int signal_fd_ = -1;
  sigset_t old_mask_;
  std::vector<std::unique_ptr<Child>> children_;
  Cause cause_ = Cause::kNone;
  const Child* root_ = nullptr;  // The role whose failure ends the job.
  int signal_ = 0;               // The first signal that came.
  absl::Status tick_status_;
  bool killed_ = false;
  SteadyTime kill_time_ = SteadyTime::max();
  SteadyTime straggler_time_ = SteadyTime::max();
  SteadyTime verdict_time_ = SteadyTime::max();
};

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_SUPERVISE_H_
