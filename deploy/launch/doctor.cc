#include "deploy/launch/doctor.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "deploy/launch/format.h"
#include "deploy/launch/hostfile.h"
#include "deploy/launch/process.h"
#include "deploy/launch/remote.h"
#include "deploy/launch/roles.h"
#include "deploy/launch/run_directory.h"

namespace terse {
namespace {

// A server holds two files for each worker, and some for itself.
constexpr rlim_t kOpenFilesMin = 1024;
constexpr double kDiskBytesMin = 1e9;
constexpr std::chrono::seconds kAnswerTime{20};
// Logs of several machines are read side by side.
constexpr absl::Duration kClockOffMax = absl::Milliseconds(500);

DoctorCheck CheckPrograms(const std::string& version) {
  const auto binaries = FindBinaries();
  if (!binaries.ok()) {
    return {Finding::kBad, "programs",
            std::string(binaries.status().message())};
  }
  return {Finding::kGood, "programs",
          absl::StrCat("terse ", version, " in ", *binaries)};
}

// A name that leads to loopback cannot be given to other machines.
DoctorCheck CheckOwnName() {
  char name[256] = "";
  gethostname(name, sizeof(name) - 1);
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = getaddrinfo(name, nullptr, &hints, &found); code != 0) {
    return {Finding::kWarning, "own name",
            absl::StrCat(name, " is not known: ", gai_strerror(code),
                         "; give addresses in place of names, or add it to "
                         "/etc/hosts")};
  }
  char address[INET_ADDRSTRLEN] = "";
  inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(found->ai_addr)->sin_addr,
            address, sizeof(address));
  freeaddrinfo(found);
  if (std::strncmp(address, "127.", 4) == 0) {
    return {Finding::kWarning, "own name",
            absl::StrCat(name, " is ", address,
                         " here: a server listening under this name is out of "
                         "others' reach; name addresses in the hostfile")};
  }
  return {Finding::kGood, "own name", absl::StrCat(name, " is ", address)};
}

DoctorCheck CheckPort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  const bool good =
      fd >= 0 &&
      bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
      listen(fd, 1) == 0;
  const int why = errno;
  if (fd >= 0) close(fd);
  if (good) return {Finding::kGood, "ports", "a server can listen"};
  return {Finding::kBad, "ports",
          absl::StrCat("a server cannot listen: ", std::strerror(why))};
}

std::string ReadWord(const std::string& path) {
  const auto text = ReadFile(path);
  return text.ok() ? text->substr(0, text->find('\n')) : std::string();
}

std::vector<DoctorCheck> CheckInterfaces() {
  std::vector<DoctorCheck> checks;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return checks;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET ||
        (one->ifa_flags & IFF_LOOPBACK) != 0 ||
        (one->ifa_flags & IFF_UP) == 0) {
      continue;
    }
    char address[INET_ADDRSTRLEN] = "";
    inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(one->ifa_addr)->sin_addr,
              address, sizeof(address));
    const std::string folder = absl::StrCat("/sys/class/net/", one->ifa_name);
    const std::string speed = ReadWord(folder + "/speed");
    std::string text =
        absl::StrCat(address, ", MTU ", ReadWord(folder + "/mtu"));
    if (!speed.empty() && speed != "-1") {
      absl::StrAppend(&text, ", ", speed, " Mbit/s");
    }
    checks.push_back(
        {Finding::kGood, absl::StrCat("interface ", one->ifa_name), text});
  }
  freeifaddrs(all);
  if (checks.empty()) {
    checks.push_back({Finding::kWarning, "interfaces",
                      "none is up but loopback: only terse train will do"});
  }
  return checks;
}

DoctorCheck CheckClock() {
  timex state{};
  const int result = adjtimex(&state);
  if (result < 0 || result == TIME_ERROR) {
    return {Finding::kWarning, "clock",
            "not synchronised; start chrony or systemd-timesyncd, so that "
            "logs of several machines fit together"};
  }
  return {Finding::kGood, "clock", "synchronised"};
}

DoctorCheck CheckOpenFiles() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const std::string text = absl::StrCat(limit.rlim_cur, " at once");
  if (limit.rlim_cur >= kOpenFilesMin) {
    return {Finding::kGood, "open files", text};
  }
  return {Finding::kWarning, "open files",
          absl::StrCat(text, "; raise it: ulimit -n ", kOpenFilesMin)};
}

DoctorCheck CheckDisk() {
  struct statvfs disk {};
  if (statvfs(".", &disk) != 0 || access(".", W_OK) != 0) {
    return {Finding::kBad, "this folder",
            "cannot be written to; a run keeps its files here"};
  }
  const double bytes =
      static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  const std::string text = absl::StrCat(FormatBytes(bytes), " free");
  if (bytes >= kDiskBytesMin) return {Finding::kGood, "this folder", text};
  return {Finding::kWarning, "this folder",
          absl::StrCat(text, "; checkpoints may not fit")};
}

std::string Line(const DoctorCheck& check) {
  const char* mark = check.finding == Finding::kGood      ? "ok  "
                     : check.finding == Finding::kWarning ? "warn"
                                                          : "BAD ";
  return absl::StrCat(mark, "  ", check.what, ": ", check.text);
}

// What a command prints until it ends; empty if it does not in time.
std::string OutputOf(const ProcessSpec& spec, std::string& failure) {
  const auto process = StartProcess(spec);
  if (!process.ok()) {
    failure = std::string(process.status().message());
    return "";
  }
  std::string output;
  const auto deadline = std::chrono::steady_clock::now() + kAnswerTime;
  while (std::chrono::steady_clock::now() < deadline) {
    pollfd wait = {process->output, POLLIN, 0};
    poll(&wait, 1, 200);
    char buffer[4096];
    const ssize_t count = read(process->output, buffer, sizeof(buffer));
    if (count > 0) output.append(buffer, static_cast<size_t>(count));
    if (count == 0) break;
  }
  kill(-process->pid, SIGKILL);
  int status = 0;
  waitpid(process->pid, &status, 0);
  close(process->output);
  failure = DescribeWaitStatus(status);
  return output;
}

// Whether the host answers, has this version and this time.
std::vector<DoctorCheck> CheckHost(const std::string& host,
                                   const std::vector<std::string>& agent,
                                   const DoctorOptions& options) {
  const auto binaries = FindBinaries();
  ProcessSpec spec;
  spec.arguments = agent;
  spec.arguments.push_back(host);
  char folder[4096] = "";
  if (getcwd(folder, sizeof(folder)) == nullptr) folder[0] = 0;
  spec.arguments.push_back(absl::StrCat(
      "cd ", ShellLine({folder}), " && date +%s.%N && ",
      ShellLine({absl::StrCat(binaries.ok() ? *binaries : ".", "/terse")}),
      " doctor"));
  std::string failure;
  const absl::Time begin = absl::Now();
  const std::string output = OutputOf(spec, failure);
  std::vector<std::string> lines =
      absl::StrSplit(output, '\n', absl::SkipEmpty());
  double time = 0;
  if (lines.empty() || !absl::SimpleAtod(lines[0], &time)) {
    return {{Finding::kBad, host,
             absl::StrCat("does not answer (", failure,
                          lines.empty() ? "" : ", " + lines.back(),
                          "): log in there once by hand, and see that this "
                          "folder is there too")}};
  }
  std::vector<DoctorCheck> checks;
  // Its clock was read between our asking and the end of the answer.
  const absl::Time there = absl::UnixEpoch() + absl::Seconds(time);
  const absl::Duration off = std::max(begin - there, there - absl::Now());
  if (off > kClockOffMax) {
    checks.push_back(
        {Finding::kWarning, host,
         absl::StrCat("clock: ", absl::FormatDuration(off), " off at least")});
  }
  bool same_version = false;
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    same_version |= absl::StrContains(line, "terse " + options.version + " ");
    const Finding finding = line.starts_with("ok")     ? Finding::kGood
                            : line.starts_with("warn") ? Finding::kWarning
                                                       : Finding::kBad;
    checks.push_back(
        {finding, host, line.substr(std::min<size_t>(6, line.size()))});
  }
  if (!same_version) {
    checks.push_back({Finding::kBad, host,
                      absl::StrCat("does not run terse ", options.version,
                                   ", as this machine does")});
  }
  return checks;
}

}  // namespace

std::vector<DoctorCheck> CheckMachine(const std::string& version) {
  std::vector<DoctorCheck> checks = {CheckPrograms(version), CheckOwnName(),
                                     CheckPort()};
  for (DoctorCheck& check : CheckInterfaces()) {
    checks.push_back(std::move(check));
  }
  checks.push_back(CheckClock());
  checks.push_back(CheckOpenFiles());
  checks.push_back(CheckDisk());
  checks.push_back({Finding::kGood, "cores",
                    absl::StrCat(std::thread::hardware_concurrency())});
  return checks;
}

void AddDoctor(CLI::App& app, DoctorOptions& options) {
  CLI::App& doctor = *app.add_subcommand(
      "doctor",
      "Says what on this machine, or on those of a hostfile, would stop a job");
  doctor
      .add_option("--hostfile", options.hostfile,
                  "Looks at these hosts, too, as terse launch reaches them")
      ->type_name("FILE");
  doctor.add_option("--agent", options.agent, "As of terse launch")
      ->type_name("COMMAND")
      ->capture_default_str();
}

int RunDoctor(const DoctorOptions& options) {
  std::vector<DoctorCheck> checks = CheckMachine(options.version);
  if (!options.hostfile.empty()) {
    const auto text = ReadFile(options.hostfile);
    const auto hosts = ParseHostfile(text.ok() ? *text : "", options.hostfile);
    const auto agent = FindAgent(options.agent);
    for (const absl::Status& status : {hosts.status(), agent.status()}) {
      if (status.ok()) continue;
      absl::FPrintF(stderr, "terse: %s\n", status.message());
      return int(ExitCodeOf(status));
    }
    for (const HostSlots& host : *hosts) {
      for (DoctorCheck& check : CheckHost(host.host, *agent, options)) {
        checks.push_back(std::move(check));
      }
    }
  }
  bool bad = false;
  for (const DoctorCheck& check : checks) {
    absl::PrintF("%s\n", Line(check));
    bad |= check.finding == Finding::kBad;
  }
  return bad ? 1 : 0;
}

}  // namespace terse
