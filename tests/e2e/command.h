// Runs the project's programs as a user would and looks at what they leave.
#ifndef TERSE_TESTS_E2E_COMMAND_H_
#define TERSE_TESTS_E2E_COMMAND_H_

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"

namespace terse {

struct CommandResult {
  int exit_code = -1;  // -1: ended by `signal`.
  int signal = 0;
  std::string out;
  std::string err;
};

struct CommandOptions {
  std::filesystem::path directory;  // Where it runs and its output is kept.
  // Goes into the environment as TERSE_E2E_MARK, and from there into that of
  // all processes it starts.
  std::string mark;
  std::vector<std::pair<std::string, std::string>> environment;
  bool terminal = false;  // Standard error is a terminal of 100 columns.
};

// A program of build/.../bin; killed when it goes out of scope.
class Command {
 public:
  Command(const std::string& program, const std::vector<std::string>& arguments,
          const CommandOptions& options);
  ~Command();
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int number) const;
  // Kills it when it takes longer than `timeout`.
  CommandResult Wait(std::chrono::seconds timeout = std::chrono::seconds(120));

 private:
  void ReadTerminal();

  const std::filesystem::path out_path_;
  const std::filesystem::path err_path_;
  pid_t pid_ = -1;
  int terminal_ = -1;
  std::string terminal_text_;
  bool waited_ = false;
};

// Processes, zombies apart, whose environment holds TERSE_E2E_MARK=`mark` and
// whose command line contains `part`.
std::vector<pid_t> ProcessesWith(const std::string& mark,
                                 const std::string& part = "");

// Whether the last of them ends within some seconds.
bool AllEnd(const std::string& mark);

std::string ReadText(const std::filesystem::path& path);
void WriteText(const std::filesystem::path& path, const std::string& text);

// The objects of a metrics.jsonl, complete lines only.
std::vector<nlohmann::json> ReadEvents(const std::filesystem::path& path);

// Waits until `path` has an event of `kind`; false after a minute.
bool WaitForEvent(const std::filesystem::path& path, const std::string& kind);

// Waits until there is a file and returns its text; empty after a minute.
std::string WaitForText(const std::filesystem::path& path);

// A port of 127.0.0.1 that nobody listens on.
int FreePort();

}  // namespace terse

#endif  // TERSE_TESTS_E2E_COMMAND_H_
