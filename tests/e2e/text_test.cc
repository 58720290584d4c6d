// Networks of text, as users train them.
#include <cmath>

#include "tests/e2e/fixture.h"

namespace terse {
namespace {

using ::testing::HasSubstr;

constexpr char kTextJob[] = R"(
name: text
seed: 3
model:
  layers:
    - embedding: 16
    - position: {}
    - lstm: 24
    - residual: {layers: [{layer_norm: {}}, {attention: 2}]}
    - linear: 96
data: {kind: text, characters: 20000, sequence: 16}
quantize:
  weights: {kind: balanced, bits: 2}
  activations: {kind: symmetric, bits: 3}
  rules: [{match: "fc1.*", weights: none}]
compress: {gradient: terngrad, small_tensor_elements: 100}
optimizer: {kind: adam, learning_rate: 0.02}
train: {epochs: 2, batch_size: 20}
cluster: {servers: 1, workers: 2}
)";

class Text : public EndToEnd {
 protected:
  Text() { WriteText(directory_ / "job.yaml", kTextJob); }
};

TEST_F(Text, ReportsTellBitsPerCharacter) {
  const CommandResult result =
      Terse({"train", "job.yaml", "--report", "r.json", "--run-dir", "run"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto report = nlohmann::json::parse(ReadText(directory_ / "r.json"));
  const double bits = report.at("test_bits_per_character");
  EXPECT_NEAR(bits, report.at("test_loss").get<double>() / std::log(2.0), 1e-9);
  EXPECT_NEAR(report.at("train_bits_per_character").get<double>(),
              report.at("train_loss").get<double>() / std::log(2.0), 1e-9);
  EXPECT_LT(bits, 5.5);  // Guessing takes 6.58.
  EXPECT_GT(report.at("test_accuracy"), 0.08);
  EXPECT_LT(report.at("test_accuracy"), 1);
  EXPECT_EQ(report.at("steps"), 2 * (17999 / 16 / 40));
  EXPECT_THAT(result.out, HasSubstr(" bits per character after "));
  EXPECT_THAT(result.err, HasSubstr(" bits per character\n"));
  EXPECT_THAT(ReadText(directory_ / "run/metrics.jsonl"),
              HasSubstr("\"train_bits_per_character\":"));
}

TEST_F(Text, ResultsDoNotDependOnHowAJobIsRun) {
  const std::vector<std::string> short_run = {"--set", "train.epochs=1",
                                              "--transport", "memory"};
  const auto train = [&](std::vector<std::string> more) {
    more.insert(more.end(), short_run.begin(), short_run.end());
    return Train(more).at("weights_sha256").get<std::string>();
  };
  const std::string expected = train({});
  EXPECT_EQ(train({"--servers", "3"}), expected);
  EXPECT_EQ(train({"--kernel-target", "scalar"}), expected);
  EXPECT_NE(train({"--set", "seed=4"}), expected);
}

TEST_F(Text, AFileIsReadFromTheDataDirectory) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "to be or not\n";
  WriteText(directory_ / "play.txt", text);
  const std::vector<std::string> options = {"--set",       "data.file=play.txt",
                                            "--set",       "train.epochs=1",
                                            "--transport", "memory",
                                            "--data-dir",  directory_.string()};
  EXPECT_LT(Train(options).at("test_bits_per_character"), 2.5);
  WriteText(directory_ / "play.txt", text + "caf\xc3\xa9\n");
  std::vector<std::string> arguments = {"train", "job.yaml"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  const CommandResult bad = Terse(arguments);
  EXPECT_EQ(bad.exit_code, 65);
  EXPECT_THAT(bad.err, HasSubstr("byte 39003 is 0xc3"));
  EXPECT_THAT(bad.err, HasSubstr("data.alphabet: bytes"));
}

}  // namespace
}  // namespace terse
