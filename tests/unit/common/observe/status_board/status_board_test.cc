#include "common/observe/status_board.h"

#include "common/observe/machine.h"
#include "common/observe/page/page.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using nlohmann::json;

json Progress(double seconds) {
  return {{"event", "progress"},
          {"seconds", seconds},
          {"step", 10 * seconds},
          {"train_loss", 1 / seconds},
          {"time_ms", {{"encode", 3}}}};
}

TEST(StatusBoardTest, TellsOnlyWhatIsNew) {
  StatusBoard board("job", "name: job\n", {});
  for (int s = 1; s <= 5; ++s) board.OnEvent(Progress(s));
  const json all = board.Status();
  ASSERT_EQ(all["rows"].size(), 5u);
  EXPECT_EQ(all["rows"][0].size(), all["columns"].size());
  const json fresh = board.Status(3, -1);
  ASSERT_EQ(fresh["rows"].size(), 2u);
  EXPECT_EQ(fresh["rows"][0][0], 4);
}

TEST(StatusBoardTest, PartsOfAStepAreColumns) {
  StatusBoard board("job", "", {});
  board.OnEvent(Progress(1));
  const json status = board.Status();
  for (size_t i = 0; i < status["columns"].size(); ++i) {
    if (status["columns"][i] == "encode") {
      EXPECT_EQ(status["rows"][0][i], 3);
    }
    if (status["columns"][i] == "decode") {
      EXPECT_TRUE(status["rows"][0][i].is_null());
    }
  }
}

TEST(StatusBoardTest, LongCurvesAreThinnedOut) {
  StatusBoard board("job", "", {});
  const int events = 5 * StatusBoard::kRowsMax;
  for (int s = 1; s <= events; ++s) board.OnEvent(Progress(s));
  const json rows = board.Status()["rows"];
  EXPECT_LE(rows.size(), StatusBoard::kRowsMax);
  EXPECT_GT(rows.size(), StatusBoard::kRowsMax / 3);
  EXPECT_EQ(rows.back()[0], events);
}

TEST(StatusBoardTest, FollowsPhaseWorkersAndEvents) {
  StatusBoard board("job", "", {});
  board.OnEvent({{"event", "joined"}, {"role", "worker"}, {"rank", 1}});
  EXPECT_EQ(board.Status()["phase"], "joining");
  EXPECT_EQ(board.Status()["workers"][0]["state"], "joining");
  board.OnEvent(
      {{"event", "start"}, {"steps_total", 8}, {"tensors", {{{"name", "w"}}}}});
  EXPECT_EQ(board.Status()["phase"], "training");
  EXPECT_EQ(board.Status()["tensors"][0]["name"], "w");
  board.OnEvent({{"event", "goodbye"}, {"role", "worker"}, {"rank", 1}});
  EXPECT_EQ(board.Status()["workers"][0]["state"], "finished");
  board.OnEvent({{"event", "checkpoint"}, {"step", 4}});
  board.OnEvent({{"event", "checkpoint"}, {"step", 8}, {"error", "disk full"}});
  board.OnEvent({{"event", "lost"},
                 {"role", "worker"},
                 {"rank", 1},
                 {"step", 9},
                 {"reason", "killed"}});
  board.OnEvent({{"event", "abort"}, {"reason", "no disk"}});
  const json status = board.Status();
  EXPECT_EQ(status["phase"], "failed");
  EXPECT_EQ(status["reason"], "no disk");
  EXPECT_EQ(status["checkpoint"]["step"], 4);
  EXPECT_EQ(status["workers"][0]["state"], "lost");
  ASSERT_EQ(status["events"].size(), 7u);
  EXPECT_EQ(status["events"][3]["text"], "checkpoint of step 4");
  EXPECT_EQ(status["events"][4]["text"], "no checkpoint of step 8: disk full");
  EXPECT_EQ(status["events"][5]["text"], "worker 1 was lost at step 9: killed");
}

TEST(StatusBoardTest, ObservationsComeOnce) {
  StatusBoard board("job", "", {});
  board.OnEvent({{"event", "observation"},
                 {"step", 10},
                 {"tensors", {{{"name", "w"}, {"gradient", 1}}}}});
  board.OnEvent({{"event", "observation"},
                 {"step", 10},
                 {"tensors", {{{"name", "w"}, {"shadow_weights", 2}}}}});
  const json status = board.Status();
  EXPECT_EQ(status["observed"]["w"]["gradient"], 1);
  EXPECT_EQ(status["observed"]["w"]["shadow_weights"], 2);
  EXPECT_FALSE(board.Status(-1, 10).contains("observed"));
}

TEST(StatusBoardTest, StrangeEventsChangeNothing) {
  StatusBoard board("job", "", {});
  board.OnEvent(json::parse(R"({"event": 3, "rank": "x"})"));
  board.OnEvent(json::parse(R"([1])"));
  board.OnEvent(json::parse(R"({"event": "workers", "workers": 7})"));
  board.OnEvent(json::parse(R"({"event": "observation", "tensors": {}})"));
  EXPECT_EQ(board.Status()["phase"], "joining");
}

TEST(MachineTest, SaysWhatItRunsOnAndNoEnvironment) {
  setenv("TERSE_TOKEN", "very-secret", 1);
  const json machine = MachineJson("1.2.3");
  unsetenv("TERSE_TOKEN");
  EXPECT_EQ(machine["terse"], "1.2.3");
  EXPECT_GT(machine["cores"], 0);
  EXPECT_EQ(machine.dump().find("very-secret"), std::string::npos);
}

TEST(PageTest, AsksNothingOfAnyNetwork) {
  const std::string page = LivePage();
  EXPECT_NE(page.find("uPlot"), std::string::npos);
  EXPECT_EQ(page.find("{{"), std::string::npos);
  for (const char* outside :
       {"src=\"http", "href=\"http", "url(http", "@import", "src=\"//"}) {
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
  }
}

TEST(PageTest, DataCannotEndTheirElement) {
  const std::string page = SavedPage({{"name", "</script><b>"}});
  EXPECT_EQ(page.find("</script><b>"), std::string::npos);
  EXPECT_NE(page.find("\\u003c/script>"), std::string::npos);
}

}  // namespace
}  // namespace terse
