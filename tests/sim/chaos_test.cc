// Jobs that lose processes and files end with the bits of calm ones: a fixed
// set of seeds. tests/sim/chaos_soak runs as many as there is time for.
#include "tests/sim/chaos.h"

#include <unistd.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

TEST(ChaosTest, LostProcessesChangeNoBits) {
  const std::string scratch = (std::filesystem::path(testing::TempDir()) /
                               absl::StrCat("terse-chaos-", getpid()))
                                  .string();
  uint32_t losses = 0;
  uint32_t resumed = 0;
  uint64_t damaged_frames = 0;
  uint64_t residuals_checked = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    const ChaosResult result = RunChaos(seed, scratch);
    EXPECT_EQ(result.violation, "")
        << "chaos_soak --first " << seed << " --seeds 1: " << result.job;
    losses += result.losses;
    resumed += result.resumed;
    damaged_frames += result.damaged_frames;
    residuals_checked += result.residuals_checked;
  }
  EXPECT_GT(losses, 8u);
  EXPECT_GT(resumed, 4u);
  EXPECT_GT(damaged_frames, 0u);
  EXPECT_GT(residuals_checked, 10000u);
}

}  // namespace
}  // namespace terse
