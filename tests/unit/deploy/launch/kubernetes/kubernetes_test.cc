// The text; whether a cluster would take it: tests/deploy/kubernetes.
#include "deploy/launch/kubernetes.h"

#include "common/base/status.h"
#include "common/config/job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using testing::HasSubstr;
using testing::Not;

Job MakeJob(const std::string& more) {
  return *ParseJob(
      "name: First_Job\nmodel: {mlp: [4]}\ntrain: {steps: 2}\n" + more,
      "kubernetes_test", {});
}

TEST(KubernetesTest, FillsInNamesNumbersAndTheToken) {
  const auto text = RenderKubernetes(
      MakeJob("cluster: {servers: 2, workers: 5}"),
      {.namespace_ = "lab", .image_prefix = "r.example/"}, "1e5");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr("name: \"first-job-server\""));
  EXPECT_THAT(*text, HasSubstr("namespace: \"lab\""));
  EXPECT_THAT(*text, HasSubstr("completions: 2"));
  EXPECT_THAT(*text, HasSubstr("completions: 5"));
  EXPECT_THAT(*text, HasSubstr("backoffLimit: 15"));
  EXPECT_THAT(*text, HasSubstr("--coordinator=first-job-server-0.first-job:"));
  EXPECT_THAT(*text, HasSubstr("\"r.example/terse-worker:"));
  // Neither is a number or a truth.
  EXPECT_THAT(*text, HasSubstr("token: \"1e5\""));
  EXPECT_THAT(*text, HasSubstr("status: \"True\""));
  EXPECT_THAT(*text, Not(HasSubstr("terse-token")));
}

TEST(KubernetesTest, RefusesWhatKubernetesWouldRefuse) {
  for (const char* name : {"Upper", "-a", "a-", "1a", "a_b"}) {
    EXPECT_EQ(
        ExitCodeOf(RenderKubernetes(MakeJob(""), {.name = name}, "t").status()),
        ExitCode::kBadCommandLine)
        << name;
  }
  EXPECT_EQ(
      ExitCodeOf(RenderKubernetes(MakeJob("cluster: {transport: mpi}"), {}, "t")
                     .status()),
      ExitCode::kBadCommandLine);
}

}  // namespace
}  // namespace terse
