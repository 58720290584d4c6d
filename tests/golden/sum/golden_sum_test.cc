#include <map>
#include <set>

#include "gtest/gtest.h"
#include "tests/golden/sum/sum_cases.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

const fs::path& Golden() {
  static const auto* const folder =
      new fs::path(fs::path(TERSE_SOURCE_DIR) / "tests/golden");
  return *folder;
}

std::vector<float> Values() {
  return ReadGoldenFloats(Golden() / "codec/inputs/gaussian_700.f32");
}

std::vector<std::byte> BytesOfFloats(const std::vector<float>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

TEST(GoldenSumTest, AddsUpToTheGoodMessages) {
  std::set<std::byte> forms;
  for (const SumCase& one : kSumCases) {
    const SumRound round(one, Values());
    const auto message = round.message().bytes();
    EXPECT_EQ(
        std::vector<std::byte>(message.begin(), message.end()),
        ReadGolden(Golden() / "sum/good" / (one.name + std::string(".sum"))))
        << one.name;
    forms.insert(message[0]);
  }
  // All but that of a factor, which is the factor's floats alone.
  EXPECT_EQ(forms.size(), 6);
}

TEST(GoldenSumTest, GoodMessagesDecodeToTheirMeans) {
  for (const SumCase& one : kSumCases) {
    const SumRound round(one, Values());
    const SumContext context = round.Context();
    const auto message =
        ReadGolden(Golden() / "sum/good" / (one.name + std::string(".sum")));
    const absl::Status valid =
        ValidateSum(context, round.AgreedOrGiven(), message);
    ASSERT_TRUE(valid.ok()) << one.name << ": " << valid;
    std::vector<float> mean(context.count);
    DecodeSum(context, message, mean);
    EXPECT_EQ(BytesOfFloats(mean), ReadGolden(Golden() / "sum/good" /
                                              (one.name + std::string(".f32"))))
        << one.name;
    EXPECT_EQ(SumFactor(message), kGoldenFactor);
    EXPECT_EQ(SumNextScale(message),
              context.level_codec != nullptr ? kGoldenNextScale : 0);
  }
}

TEST(GoldenSumTest, BadMessagesAreRefusedWithTheirCode) {
  std::map<std::string, SumRound> rounds;
  for (const SumCase& one : kSumCases) {
    rounds.emplace(one.name, SumRound(one, Values()));
  }
  std::set<std::string> refused;
  for (const auto& entry : fs::directory_iterator(Golden() / "sum/bad")) {
    const std::string name = entry.path().filename().string();
    const std::string sum_case = name.substr(0, name.find("__"));
    const size_t dot = name.find('.');
    const std::string code = name.substr(dot + 1, name.rfind('.') - dot - 1);
    ASSERT_TRUE(rounds.contains(sum_case)) << name;
    const SumRound& round = rounds.at(sum_case);
    const absl::Status status = ValidateSum(
        round.Context(), round.AgreedOrGiven(), ReadGolden(entry.path()));
    EXPECT_EQ(absl::StatusCodeToString(status.code()), code)
        << name << ": " << status;
    refused.insert(sum_case);
  }
  EXPECT_EQ(refused.size(), rounds.size()) << "a form has no bad message";
}

}  // namespace
}  // namespace terse
