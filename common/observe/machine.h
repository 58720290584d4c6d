// What a job runs on, for reports.
#ifndef TERSE_COMMON_OBSERVE_MACHINE_H_
#define TERSE_COMMON_OBSERVE_MACHINE_H_

#include <string>

#include "nlohmann/json.hpp"

namespace terse {

// Host, system, CPU, cores, memory, the kernels' instruction set, Terse's
// version and commit. No environment: there are secrets in it.
nlohmann::json MachineJson(const std::string& version);

}  // namespace terse

#endif  // TERSE_COMMON_OBSERVE_MACHINE_H_
