#include "common/observe/machine.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "common/kernels/target.h"
#include "common/observe/revision.h"

namespace terse {
namespace {

// "model name	: AMD EPYC ..." of /proc/cpuinfo.
std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace

nlohmann::json MachineJson(const std::string& version) {
  utsname system = {};
  uname(&system);
  const double pages = static_cast<double>(sysconf(_SC_PHYS_PAGES));
  const double page_bytes = static_cast<double>(sysconf(_SC_PAGESIZE));
  return {{"host", system.nodename},
          {"system", std::string(system.sysname) + " " + system.release},
          {"cpu", CpuModel()},
          {"cores", std::thread::hardware_concurrency()},
          {"memory_bytes", pages * page_bytes},
          {"kernels", KernelTargetName()},
          {"terse", version},
          {"revision", std::string(kRevision)}};
}

}  // namespace terse
