#include "deploy/launch/inspect.h"

#include <filesystem>
#include <sstream>
#include <string>

#include "common/config/job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace terse {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using Json = nlohmann::json;

struct Planned {
  Job job;
  Plan plan;
};

Planned PlanOfExample(const std::string& name,
                      const std::vector<std::string>& overrides = {}) {
  const absl::StatusOr<Job> job = ReadJobFile(
      TERSE_SOURCE_DIR "/deploy/examples/" + name + ".yaml", overrides);
  EXPECT_TRUE(job.ok()) << job.status();
  absl::StatusOr<Plan> plan = MakePlan(*job);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return {*job, *std::move(plan)};
}

void CheckLines(const std::string& text) {
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    EXPECT_LE(line.size(), 100) << line;
    EXPECT_FALSE(!line.empty() && line.back() == ' ') << line;
  }
}

TEST(InspectTest, ShowsTheLectureNetworkToTheLastDigit) {
  const Planned example = PlanOfExample("lecture-cnn");
  const std::string text = InspectText(example.job, example.plan);
  EXPECT_THAT(text, HasSubstr("Job lecture-cnn\n861,354 parameters (3,445,416 "
                              "bytes as fp32), 7,194,250 multiply-adds"));
  for (const char* number : {"2,332,800", "1,769,472", "1,806,336", "460,800",
                             "819,712", "5,130", "7,194,250"}) {
    EXPECT_THAT(text, HasSubstr(number));
  }
  EXPECT_THAT(text, ContainsRegex("fc1.weight +512x1600 +819,200 +3.28 MB +"
                                  "95.1 % +######## +fp32"));
  EXPECT_THAT(text, ContainsRegex("pool1 +24x36x36 +24x18x18 +7,776\n"));
}

TEST(InspectTest, ShowsQuantizersCodecsAndBits) {
  const Planned example = PlanOfExample("mnist-binaryconnect-terngrad");
  const std::string text = InspectText(example.job, example.plan);
  EXPECT_THAT(text, ContainsRegex("fc2.weight .*binaryconnect +terngrad.* "
                                  "1\\.[0-9][0-9] +1\\.00\n"));
  EXPECT_THAT(text, ContainsRegex("bn1.run.*var .* buffer\n"));
}

TEST(InspectTest, EveryExampleFitsTheScreen) {
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator(
           TERSE_SOURCE_DIR "/deploy/examples")) {
    if (file.path().extension() != ".yaml") continue;
    const Planned example = PlanOfExample(file.path().stem().string());
    CheckLines(InspectText(example.job, example.plan));
    CheckLines(PlanText(example.job, example.plan));
    ++count;
  }
  EXPECT_GE(count, 12);
}

TEST(InspectTest, JsonAgreesWithThePlan) {
  const Planned example = PlanOfExample("lecture-cnn");
  const Json json = Json::parse(InspectJson(example.job, example.plan));
  EXPECT_EQ(json["job"], "lecture-cnn");
  EXPECT_EQ(json["parameters"], 861354);
  EXPECT_EQ(json["multiply_adds"], 7194250);
  EXPECT_EQ(json["tensors"].size(), example.plan.tensors.size());
  uint64_t count = 0;
  double share = 0;
  for (const Json& tensor : json["tensors"]) {
    count += tensor["count"].get<uint64_t>();
    share += tensor["share"].get<double>();
  }
  EXPECT_EQ(count, 861354);
  EXPECT_NEAR(share, 1, 1e-12);
  EXPECT_EQ(json["layers"][0]["name"], "conv1");
  EXPECT_EQ(json["layers"][0]["output"], (Json{24, 36, 36}));
}

TEST(InspectTest, ANameThatIsNoUtf8DoesNotThrow) {
  Planned example = PlanOfExample("demo");
  example.job.set_name("\xff");
  EXPECT_EQ(Json::parse(InspectJson(example.job, example.plan))["job"],
            "\xef\xbf\xbd");
}

TEST(PlanTextTest, ShowsPlacesBytesAndMemory) {
  const Planned example = PlanOfExample("mlp20m-fp32", {"cluster.servers=3"});
  const std::string text = PlanText(example.job, example.plan);
  EXPECT_THAT(text, HasSubstr("Job mlp20m-fp32\n3 servers, 2 workers"));
  // 4096 rows of 784 make 13 blocks, a header of 24 bytes each.
  EXPECT_THAT(text, ContainsRegex("fc1.weight +3,211,264 +fp32 .* 0-2 +13 .* "
                                  "12,845,368\n"));
  EXPECT_THAT(text, HasSubstr("step reports"));
  EXPECT_THAT(text, ContainsRegex("a server, at most +[0-9.]+ MB "));
  EXPECT_THAT(text, ContainsRegex("a worker, about +[0-9.]+ MB "));
}

TEST(PlanTextTest, TotalsAreTheSumsOfTheTensors) {
  const Planned example =
      PlanOfExample("mnist-binaryconnect-terngrad", {"cluster.servers=2"});
  const Json json = Json::parse(PlanJson(example.job, example.plan));
  uint64_t up = json["step_report_bytes"], down = 0;
  up += json["statistics_bytes"].get<uint64_t>();
  for (const Json& tensor : json["tensors"]) {
    up += tensor["step_bytes_up"].get<uint64_t>();
    down += tensor["step_bytes_down"].get<uint64_t>();
  }
  EXPECT_EQ(json["step_bytes_up"], up);
  EXPECT_EQ(json["step_bytes_down"], down);
  EXPECT_EQ(json["server_memory"].size(), 2);
  EXPECT_DOUBLE_EQ(json["bits_per_element_up"],
                   8.0 * double(up) / double(example.plan.ParameterCount()));
  // The point of the method: a tenth of the 64 bits of fp32 at most.
  EXPECT_LT(json["bits_per_element_up"].get<double>() +
                json["bits_per_element_down"].get<double>(),
            6.4);
}

}  // namespace
}  // namespace terse
