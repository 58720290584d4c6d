#include "deploy/launch/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <string>

namespace terse {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Change = ProgressState::Change;
using Phase = ProgressState::Phase;

constexpr char kStart[] =
    R"({"event":"start","steps_total":1000,"steps_per_epoch":100,)"
    R"("parameters":52000,"workers":2,"servers":1})";
constexpr char kProgress[] =
    R"({"event":"progress","seconds":5.0,"step":420,"epoch":4.2,)"
    R"("train_loss":0.3124,"train_accuracy":0.912,"steps_per_second":84.0,)"
    R"("wire_bytes_up":4200000,"wire_bytes_down":2100000,)"
    R"("bits_per_element_up":1.62,"bits_per_element_down":1.03})";

ProgressState Running() {
  ProgressState state;
  EXPECT_EQ(state.Apply(kStart), Change::kStarted);
  EXPECT_EQ(state.Apply(kProgress), Change::kSome);
  return state;
}

TEST(ProgressState, TakesInAllEvents) {
  ProgressState state = Running();
  EXPECT_EQ(state.phase, Phase::kTraining);
  EXPECT_EQ(state.steps_total, 1000);
  EXPECT_EQ(state.step, 420);
  EXPECT_EQ(state.Apply(R"({"event":"evaluation","seconds":6,"step":500,)"
                        R"("epoch":5,"test_loss":0.2,"test_accuracy":0.95})"),
            Change::kEvaluation);
  EXPECT_EQ(state.step, 500);
  EXPECT_EQ(EvaluationLine(state),
            "epoch 5: test accuracy 95.00 %, loss 0.200");
  EXPECT_EQ(state.Apply(R"({"event":"finish","seconds":12,)"
                        R"("weights_sha256":"ab","test_accuracy":0.97})"),
            Change::kSome);
  EXPECT_EQ(state.phase, Phase::kFinished);
  EXPECT_EQ(state.test_accuracy, 0.97);
}

TEST(ProgressState, TellsBitsPerCharacterOfText) {
  ProgressState state = Running();
  state.Apply(R"({"event":"progress","train_bits_per_character":2.5})");
  EXPECT_THAT(StatusLine(state, 300), HasSubstr("| 2.500 bits/character |"));
  state.Apply(R"({"event":"evaluation","epoch":5,"test_loss":1.386,)"
              R"("test_accuracy":0.5,"test_bits_per_character":2})");
  EXPECT_EQ(EvaluationLine(state),
            "epoch 5: test accuracy 50.00 %, loss 1.39, 2.000 bits per "
            "character");
  EXPECT_THAT(StatusLine(state, 300), HasSubstr("| test 2.000 |"));
}

TEST(ProgressState, PassesOverWhatItDoesNotKnow) {
  ProgressState state;
  EXPECT_EQ(state.Apply("not json"), Change::kNothing);
  EXPECT_EQ(state.Apply(""), Change::kNothing);
  EXPECT_EQ(state.Apply("[1,2]"), Change::kNothing);
  EXPECT_EQ(state.Apply(R"({"event":7})"), Change::kNothing);
  EXPECT_EQ(state.Apply(R"({"event":"tomorrow"})"), Change::kNothing);
}

TEST(ProgressState, PassesOverFieldsOfAnotherType) {
  ProgressState state = Running();
  // JSON has no NaN: a diverged loss arrives as null.
  EXPECT_EQ(state.Apply(R"({"event":"progress","step":421,"train_loss":null,)"
                        R"("wire_bytes_up":"many","epoch":-3})"),
            Change::kSome);
  EXPECT_EQ(state.step, 421);
  EXPECT_EQ(state.wire_bytes_up, 4200000);
  EXPECT_EQ(state.epoch, 0);
}

TEST(StatusLine, SaysEverythingWhereThereIsRoom) {
  EXPECT_EQ(StatusLine(Running(), 200),
            " 42 % | step 420/1000 | epoch 4.2 | loss 0.312 | train 91.2 % | "
            "84.0 steps/s | 0:07 left | up 4.20 MB down 2.10 MB | "
            "bits/element up 1.62 down 1.03");
  EXPECT_EQ(StatusLine(Running(), 200), PlainLine(Running()));
}

TEST(StatusLine, FitsEveryWidthAndKeepsWhatMattersMost) {
  const ProgressState state = Running();
  for (int columns = 0; columns <= 160; ++columns) {
    EXPECT_LE(int(StatusLine(state, columns).size()), columns);
  }
  EXPECT_EQ(StatusLine(state, 30), "step 420/1000 | loss 0.312");
  EXPECT_THAT(StatusLine(state, 79), HasSubstr("bits/element up 1.62"));
  EXPECT_THAT(StatusLine(state, 79), HasSubstr("0:07 left"));
  EXPECT_THAT(StatusLine(state, 79), Not(HasSubstr("MB")));
}

TEST(StatusLine, SurvivesStepsBeyondTheTotal) {
  ProgressState state = Running();
  state.step = 1001;
  EXPECT_THAT(StatusLine(state, 200), HasSubstr("0:00 left"));
  state.steps_total = 0;
  EXPECT_THAT(StatusLine(state, 200), StartsWith("  0 %"));
}

TEST(JoinLine, NamesWhoIsMissing) {
  ProgressState state;
  EXPECT_EQ(JoinLine(state), "starting");
  state.servers = 1;
  state.workers = 6;
  state.joined.insert({"server", 0});
  state.Apply(R"({"event":"joined","role":"worker","rank":1})");
  state.Apply(R"({"event":"joined","role":"worker","rank":4})");
  EXPECT_EQ(JoinLine(state),
            "3 of 7 roles joined, waiting for worker 0, workers 2-3, worker 5");
  EXPECT_EQ(StatusLine(state, 200), JoinLine(state));
  state.Apply(R"({"event":"lost","role":"worker","rank":4})");
  EXPECT_THAT(JoinLine(state), HasSubstr("worker 0, workers 2-5"));
  for (const uint32_t rank : {0u, 2u, 3u, 4u, 5u}) {
    state.joined.insert({"worker", rank});
  }
  EXPECT_EQ(JoinLine(state), "all 7 roles joined");
}

class ProgressPrinterTest : public ::testing::Test {
 protected:
  ~ProgressPrinterTest() override {
    std::fclose(file_);
    std::free(text_);
  }
  std::string Text() {
    std::fflush(file_);
    return std::string(text_, size_);
  }

  char* text_ = nullptr;
  size_t size_ = 0;
  std::FILE* const file_ = open_memstream(&text_, &size_);
};

TEST_F(ProgressPrinterTest, WritesPlainLinesEveryFewSeconds) {
  ProgressPrinter printer(file_, /*in_place=*/false, /*colour=*/false);
  const ProgressState state = Running();
  for (int tick = 0; tick <= 110; ++tick) {
    printer.Show(state, Change::kSome, 0.1 * tick);
  }
  const std::string line = PlainLine(state) + "\n";
  EXPECT_EQ(Text(), line + line);
}

TEST_F(ProgressPrinterTest, WritesEveryEvaluationAtOnce) {
  ProgressPrinter printer(file_, /*in_place=*/false, /*colour=*/false);
  ProgressState state = Running();
  const Change change =
      state.Apply(R"({"event":"evaluation","epoch":1,"test_accuracy":0.5})");
  printer.Show(state, change, 0.1);
  EXPECT_EQ(Text(), "epoch 1: test accuracy 50.00 %\n");
}

TEST_F(ProgressPrinterTest, RedrawsInPlaceAndTakesTheLineAway) {
  {
    ProgressPrinter printer(file_, /*in_place=*/true, /*colour=*/false);
    const ProgressState state = Running();
    printer.Show(state, Change::kSome, 0);
    printer.Show(state, Change::kSome, 0.1);  // Too early to redraw.
    printer.Show(state, Change::kSome, 0.3);
    const std::string drawn = "\r" + StatusLine(state, 79) + "\x1b[K";
    EXPECT_EQ(Text(), drawn + drawn);
    printer.Say("hello");
    EXPECT_EQ(Text(), drawn + drawn + "\r\x1b[Khello\n");
    printer.Show(state, Change::kSome, 0.31);  // Back at once.
    EXPECT_EQ(Text(), drawn + drawn + "\r\x1b[Khello\n" + drawn);
  }
  EXPECT_TRUE(Text().ends_with("\r\x1b[K"));
}

TEST_F(ProgressPrinterTest, ColoursOnlyWhereAsked) {
  ProgressPrinter printer(file_, /*in_place=*/true, /*colour=*/true);
  printer.Show(Running(), Change::kSome, 0);
  EXPECT_THAT(Text(), HasSubstr("\x1b[1m"));
  EXPECT_THAT(Text(), HasSubstr("\x1b[0m"));
}

}  // namespace
}  // namespace terse
