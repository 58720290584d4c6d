#include "common/wire/role_main.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/kernels/target.h"
#include "common/wire/event_loop.h"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace terse {
namespace {

std::atomic<int> stop_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void OnSignal(int signal) {
  stop_signal.store(stop_signal.load() == 0 ? signal : signal | kSecondSignal);
}

absl::Status DiskError(const std::string& what, const std::string& path) {
  return WithExitCode(absl::UnavailableError(absl::StrCat(
                          "cannot ", what, " ", path, ": ", strerror(errno))),
                      ExitCode::kDisk);
}

// Names of files need not be UTF-8, which JSON is.
std::string Text(const nlohmann::json& object, int indent = -1) {
  return object.dump(indent, ' ', false,
                     nlohmann::json::error_handler_t::replace);
}

bool IsOfWeights(const nlohmann::json& report, const nlohmann::json& sha256) {
  if (!report.is_object()) return false;
  const auto found = report.find("weights_sha256");
  return found != report.end() && *found == sha256;
}

}  // namespace

const std::atomic<int>& StopSignal() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  sigemptyset(&action.sa_mask);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) {
    sigaction(signal, &action, nullptr);
  }
  signal(SIGPIPE, SIG_IGN);
  return stop_signal;
}

void StopAllRoles() { stop_signal.store(SIGTERM | kSecondSignal); }

void StartLog(const std::string& role) {
  auto logger = spdlog::stderr_logger_mt(role);
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      "%Y-%m-%dT%H:%M:%S.%eZ %l %n: %v", spdlog::pattern_time_type::utc));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

std::string TokenFromEnvironment() {
  const char* token = std::getenv("TERSE_TOKEN");
  return token != nullptr ? token : "";
}

uint64_t NewIncarnation() {
  return MixKey(
      {static_cast<uint64_t>(getpid()),
       static_cast<uint64_t>(
           std::chrono::steady_clock::now().time_since_epoch().count())});
}

absl::Status ChooseKernelTarget(const std::string& name) {
  if (name.empty() || ForceKernelTarget(name)) return absl::OkStatus();
  return WithExitCode(
      absl::InvalidArgumentError(absl::StrCat(
          "--kernel-target: no target ", name, " here; use one of ",
          absl::StrJoin(KernelTargetNames(), ", "))),
      ExitCode::kBadCommandLine);
}

absl::Status WriteFileAtomically(const std::string& path,
                                 const std::string& content) {
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".tmp");
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  if (file == nullptr) return DiskError("write", temporary);
  const bool written =
      std::fwrite(content.data(), 1, content.size(), file) == content.size() &&
      std::fflush(file) == 0 && fsync(fileno(file)) == 0;
  const absl::Status status =
      written ? absl::OkStatus() : DiskError("write", temporary);
  std::fclose(file);
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    return DiskError("rename a file to", path);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<JsonLog>> JsonLog::Open(
    const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "ae");
  if (file == nullptr) return DiskError("open", path);
  return std::unique_ptr<JsonLog>(new JsonLog(file));
}

JsonLog::~JsonLog() { std::fclose(file_); }

void JsonLog::Write(const nlohmann::json& object) {
  const std::string line = Text(object) + "\n";
  std::fwrite(line.data(), 1, line.size(), file_);
  std::fflush(file_);
}

absl::Status WriteReport(const nlohmann::json& report,
                         const std::string& run_dir, const std::string& path) {
  const std::string kept = run_dir + "/report.json";
  std::string text = Text(report, 2) + "\n";
  if (!run_dir.empty() && report.at("first_step") == report.at("steps")) {
    std::ifstream file(kept);
    const auto before = nlohmann::json::parse(file, nullptr, false);
    if (IsOfWeights(before, report.at("weights_sha256"))) {
      text = Text(before, 2) + "\n";
    }
  }
  if (!run_dir.empty()) {
    TERSE_RETURN_IF_ERROR(WriteFileAtomically(kept, text));
  }
  return path.empty() ? absl::OkStatus() : WriteFileAtomically(path, text);
}

int ExitWith(const std::string& program, const absl::Status& status) {
  if (!status.ok()) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(),
                 std::string(status.message()).c_str());
  }
  return static_cast<int>(ExitCodeOf(status));
}

}  // namespace terse
