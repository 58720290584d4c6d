// One simulated job of which processes are lost again and again: all of it is
// drawn from a seed.
#ifndef TERSE_TESTS_SIM_CHAOS_H_
#define TERSE_TESTS_SIM_CHAOS_H_

#include <cstdint>
#include <string>

namespace terse {

struct ChaosResult {
  // What went wrong; empty: the job ended with the bits of a calm run.
  std::string violation;
  std::string job;       // YAML overrides that were drawn, for people.
  uint64_t steps = 0;    // Simulated, replays included.
  uint32_t losses = 0;   // That ended a run of the job.
  uint32_t resumed = 0;  // Runs that went on from a checkpoint.
  uint64_t overtakes = 0;
  uint64_t frames = 0;
  uint64_t damaged_frames = 0;  // All of them were found or not read.
  uint64_t residuals_checked = 0;
};

// Checkpoints go under `scratch`, which is emptied.
ChaosResult RunChaos(uint64_t seed, const std::string& scratch);

}  // namespace terse

#endif  // TERSE_TESTS_SIM_CHAOS_H_
