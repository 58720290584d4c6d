// Every example job reads and plans; the sizes that can be counted by hand are.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/config/job.h"
#include "common/plan/plan.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

const std::filesystem::path kExamples = TERSE_SOURCE_DIR "/deploy/examples";

Plan PlanOfExample(const std::string& name) {
  const absl::StatusOr<Job> job =
      ReadJobFile((kExamples / (name + ".yaml")).string(), {});
  EXPECT_TRUE(job.ok()) << job.status();
  absl::StatusOr<Plan> plan = MakePlan(*job);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *std::move(plan);
}

TEST(ExamplesTest, EveryExampleReadsAndPlans) {
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator(kExamples)) {
    if (file.path().extension() != ".yaml") continue;
    SCOPED_TRACE(file.path().string());
    const absl::StatusOr<Job> job = ReadJobFile(file.path().string(), {});
    ASSERT_TRUE(job.ok()) << job.status();
    EXPECT_EQ(job->name(), file.path().stem().string());
    const absl::StatusOr<Plan> plan = MakePlan(*job);
    EXPECT_TRUE(plan.ok()) << plan.status();
    std::string first_line;
    std::ifstream stream(file.path());
    std::getline(stream, first_line);
    EXPECT_THAT(first_line, testing::StartsWith("# "));
    ++count;
  }
  EXPECT_GE(count, 12);
}

TEST(ExamplesTest, TheLectureNetworkHasTheLecturesSizes) {
  const Plan plan = PlanOfExample("lecture-cnn");
  EXPECT_EQ(plan.ParameterCount(), 861354);
  std::vector<uint64_t> multiply_adds;
  uint64_t total = 0;
  for (const LayerSpec& layer : plan.model.layers) {
    if (layer.multiply_adds == 0) continue;
    multiply_adds.push_back(layer.multiply_adds);
    total += layer.multiply_adds;
  }
  EXPECT_THAT(multiply_adds, testing::ElementsAre(2332800, 1769472, 1806336,
                                                  460800, 819712, 5130));
  EXPECT_EQ(total, 7194250);
}

TEST(ExamplesTest, TheLargeNetworkHas20MillionParameters) {
  EXPECT_EQ(PlanOfExample("mlp20m-fp32").ParameterCount(),
            785u * 4096 + 4097u * 4096 + 4097u * 10);
  EXPECT_EQ(PlanOfExample("mlp20m-terngrad").ParameterCount(), 20037642);
}

TEST(ExamplesTest, TheCharacterNetworksHaveTheirSizes) {
  EXPECT_EQ(PlanOfExample("char-lstm").ParameterCount(),
            96u * 64 + 4 * 256 * (64 + 256 + 1) + 257 * 96);
  // Embedding and positions, two blocks, and the end.
  const uint64_t attention = 3 * 96 * 97 + 96 * 97;
  const uint64_t feed_forward = 97 * 384 + 385 * 96;
  EXPECT_EQ(
      PlanOfExample("char-transformer").ParameterCount(),
      160u * 96 + 2 * (attention + feed_forward + 4 * 96) + 2 * 96 + 97 * 96);
}

// As widely published for CIFAR-10, and a clip for each of 17 activations.
TEST(ExamplesTest, ResNet18HasItsSize) {
  EXPECT_EQ(PlanOfExample("cifar10-resnet18").ParameterCount(), 11173962u + 17);
}

}  // namespace
}  // namespace terse
