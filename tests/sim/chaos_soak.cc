// Runs chaos jobs seed after seed and prints what they violate:
//   chaos_soak [--first 1] [--seeds 1000] [--seconds 3600] [--scratch
//   /dev/shm/x]
// Exits with 1 after a violation; "--first S --seeds 1" replays seed S.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "CLI/CLI.hpp"
#include "tests/sim/chaos.h"

int main(int argc, char** argv) {
  CLI::App app("Simulated jobs that lose processes and files.", "chaos_soak");
  uint64_t first = 1;
  uint64_t seeds = 1000;
  double seconds = 3600;
  std::string scratch = "/tmp/terse-chaos-" + std::to_string(getpid());
  app.add_option("--first", first, "the first seed")->capture_default_str();
  app.add_option("--seeds", seeds, "how many")->capture_default_str();
  app.add_option("--seconds", seconds, "ends sooner")->capture_default_str();
  app.add_option("--scratch", scratch, "where checkpoints go");
  CLI11_PARSE(app, argc, argv);
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  const auto elapsed = [begin] {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  terse::ChaosResult sum;
  uint64_t done = 0;
  uint64_t violations = 0;
  for (; done < seeds && elapsed() < seconds; ++done) {
    const terse::ChaosResult result = terse::RunChaos(first + done, scratch);
    sum.steps += result.steps;
    sum.losses += result.losses;
    sum.resumed += result.resumed;
    sum.frames += result.frames;
    sum.overtakes += result.overtakes;
    sum.damaged_frames += result.damaged_frames;
    sum.residuals_checked += result.residuals_checked;
    if (result.violation.empty()) continue;
    ++violations;
    std::printf("seed %llu: %s\n  %s\n",
                static_cast<unsigned long long>(first + done),
                result.violation.c_str(), result.job.c_str());
    std::fflush(stdout);
  }
  std::printf(
      "%llu seeds, %llu violations; %u losses, %u runs went on from a "
      "checkpoint, %llu steps; %llu frames, %llu overtook, %llu damaged; %llu "
      "residuals checked; %.1f seeds/s, %.0f steps/s\n",
      static_cast<unsigned long long>(done),
      static_cast<unsigned long long>(violations), sum.losses, sum.resumed,
      static_cast<unsigned long long>(sum.steps),
      static_cast<unsigned long long>(sum.frames),
      static_cast<unsigned long long>(sum.overtakes),
      static_cast<unsigned long long>(sum.damaged_frames),
      static_cast<unsigned long long>(sum.residuals_checked), done / elapsed(),
      sum.steps / elapsed());
  return violations == 0 ? 0 : 1;
}
