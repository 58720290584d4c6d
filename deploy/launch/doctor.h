// `terse doctor`: what on this machine, or on those of a hostfile, would stop a
// job or slow it down.
#ifndef TERSE_DEPLOY_LAUNCH_DOCTOR_H_
#define TERSE_DEPLOY_LAUNCH_DOCTOR_H_

#include <string>
#include <vector>

#include "CLI/CLI.hpp"

namespace terse {

struct DoctorOptions {
  std::string hostfile;  // Empty: this machine alone.
  std::string agent = "ssh -o BatchMode=yes";
  std::string version;
};

enum class Finding { kGood, kWarning, kBad };

struct DoctorCheck {
  Finding finding = Finding::kGood;
  std::string what;  // "open files"
  std::string text;  // What was found and, unless good, what to do.
};

// Of this machine: programs, names, ports, interfaces, clock, limits, disk.
std::vector<DoctorCheck> CheckMachine(const std::string& version);

// Adds `doctor` to `app`; parsing fills `options`, which must live as long as
// `app`.
void AddDoctor(CLI::App& app, DoctorOptions& options);

// Prints the checks; the exit code is 1 if one is bad.
int RunDoctor(const DoctorOptions& options);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_DOCTOR_H_
