#include "tests/e2e/command.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "common/base/status.h"

namespace terse {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::string NextName(const std::string& program) {
  static std::atomic<int> count = 0;
  return program + "-" + std::to_string(count++);
}

void OpenAs(const fs::path& path, int file) {
  const int opened = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  dup2(opened, file);
  close(opened);
}

[[noreturn]] void Become(const std::string& path,
                         const std::vector<std::string>& arguments,
                         const CommandOptions& options, const fs::path& out,
                         const fs::path& err, int terminal) {
  // A test program in the background of a shell ignores some signals.
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  if (chdir(options.directory.c_str()) != 0) _exit(126);
  OpenAs(out, STDOUT_FILENO);
  if (terminal >= 0) {
    dup2(terminal, STDERR_FILENO);
  } else {
    OpenAs(err, STDERR_FILENO);
  }
  setenv("TERSE_E2E_MARK", options.mark.c_str(), 1);
  for (const auto& [name, value] : options.environment) {
    setenv(name.c_str(), value.c_str(), 1);
  }
  std::vector<char*> pointers = {const_cast<char*>(path.c_str())};
  for (const std::string& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  execv(path.c_str(), pointers.data());
  _exit(127);
}

}  // namespace

Command::Command(const std::string& program,
                 const std::vector<std::string>& arguments,
                 const CommandOptions& options)
    : out_path_(options.directory / (NextName(program) + ".out")),
      err_path_(out_path_.string() + ".err") {
  const std::string path = TERSE_BINARY_DIR "/bin/" + program;
  int slave = -1;
  if (options.terminal) {
    winsize size{};
    size.ws_row = 25;
    size.ws_col = 100;
    TERSE_CHECK(openpty(&terminal_, &slave, nullptr, nullptr, &size) == 0);
    fcntl(terminal_, F_SETFL, O_NONBLOCK);
    fcntl(terminal_, F_SETFD, FD_CLOEXEC);
  }
  pid_ = fork();
  TERSE_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    Become(path, arguments, options, out_path_, err_path_, slave);
  }
  if (slave >= 0) close(slave);
}

Command::~Command() {
  if (!waited_) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (terminal_ >= 0) close(terminal_);
}

void Command::Signal(int number) const { kill(pid_, number); }

void Command::ReadTerminal() {
  std::array<char, 4096> buffer;
  ssize_t count;
  while ((count = read(terminal_, buffer.data(), buffer.size())) > 0) {
    terminal_text_.append(buffer.data(), count);
  }
}

CommandResult Command::Wait(std::chrono::seconds timeout) {
  const auto deadline = steady_clock::now() + timeout;
  int status = 0;
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (steady_clock::now() > deadline) kill(pid_, SIGKILL);
    if (terminal_ >= 0) ReadTerminal();
    std::this_thread::sleep_for(milliseconds(10));
  }
  waited_ = true;
  CommandResult result;
  if (WIFEXITED(status)) {
    result.exit_code = WEXITSTATUS(status);
  } else {
    result.signal = WTERMSIG(status);
  }
  if (terminal_ >= 0) ReadTerminal();
  result.out = ReadText(out_path_);
  result.err = terminal_ >= 0 ? terminal_text_ : ReadText(err_path_);
  return result;
}

std::vector<pid_t> ProcessesWith(const std::string& mark,
                                 const std::string& part) {
  const std::string wanted = "TERSE_E2E_MARK=" + mark + '\0';
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    // Of a zombie both are empty.
    if (ReadText(entry.path() / "environ").find(wanted) == std::string::npos) {
      continue;
    }
    std::string line = ReadText(entry.path() / "cmdline");
    for (char& letter : line) {
      if (letter == '\0') letter = ' ';
    }
    if (line.find(part) != std::string::npos) found.push_back(std::stoi(name));
  }
  return found;
}

bool AllEnd(const std::string& mark) {
  for (int i = 0; i < 100; ++i) {
    if (ProcessesWith(mark).empty()) return true;
    std::this_thread::sleep_for(milliseconds(50));
  }
  return false;
}

std::string ReadText(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void WriteText(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::vector<nlohmann::json> ReadEvents(const fs::path& path) {
  std::istringstream text(ReadText(path));
  std::vector<nlohmann::json> events;
  for (std::string line; std::getline(text, line) && !text.eof();) {
    events.push_back(nlohmann::json::parse(line));
  }
  return events;
}

bool WaitForEvent(const fs::path& path, const std::string& kind) {
  for (int i = 0; i < 1200; ++i) {
    for (const nlohmann::json& event : ReadEvents(path)) {
      if (event.at("event") == kind) return true;
    }
    std::this_thread::sleep_for(milliseconds(50));
  }
  return false;
}

std::string WaitForText(const fs::path& path) {
  for (int i = 0; i < 1200 && !fs::exists(path); ++i) {
    std::this_thread::sleep_for(milliseconds(50));
  }
  return ReadText(path);
}

int FreePort() {
  const int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  TERSE_CHECK(bind(file, generic, size) == 0);
  TERSE_CHECK(getsockname(file, generic, &size) == 0);
  close(file);
  return ntohs(address.sin_port);
}

}  // namespace terse
