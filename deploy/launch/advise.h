// `terse bench advise` and `terse plan`: what a step of a job takes, predicted
// from rates that are measured here (common/cost).
#ifndef TERSE_DEPLOY_LAUNCH_ADVISE_H_
#define TERSE_DEPLOY_LAUNCH_ADVISE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "common/cost/cost_model.h"

namespace terse {

struct AdviseOptions {
  std::string job_path;
  std::vector<std::string> overrides;
  std::string data_directory;
  // In place of compress.auto.candidates.
  std::vector<std::string> codecs;
  std::vector<double> gbits;         // Link rates.
  std::vector<uint32_t> workers;     // Of `plan`; empty: the job's.
  std::vector<std::string> servers;  // Numbers or "colocated".
  double cores = 0;                  // Of a host; 0: those here.
  bool own_hosts = false;            // Servers run on hosts of their own.
  double compute_ms = 0;             // 0: measured.
  std::string json_path;
};

// What a codec would make of a step of the job.
struct CodecAdvice {
  std::string codec;   // As the job would have it.
  double bits_up = 0;  // Per parameter, of one worker.
  double bits_down = 0;
  StepWork work;
  std::vector<StepCost> costs;                   // By link rate.
  std::vector<std::pair<double, double>> curve;  // Gbit/s, ms; for pictures.
  // See PaysBelowGbit; against none, and fp16.
  std::optional<double> pays_below_fp32, pays_below_fp16;
};

// "below 2.4", "always", "never".
std::string PaysText(const std::optional<double>& below_gbit);

// Adds `advise` to `bench`, `plan` to `app`; parsing fills `options`, which
// must live as long.
void AddAdvise(CLI::App& bench, AdviseOptions& options);
void AddPlan(CLI::App& app, AdviseOptions& options);

// Print to stdout, errors to stderr; return an exit code.
int RunAdvise(const AdviseOptions& options);
int RunPlan(const AdviseOptions& options);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_ADVISE_H_
