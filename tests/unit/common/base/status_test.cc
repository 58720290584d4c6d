#include "common/base/status.h"

#include <gtest/gtest.h>

#include <string>

namespace terse {
namespace {

TEST(StatusTest, ExitCodesFollowTheStatusCode) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), ExitCode::kOk);
  EXPECT_EQ(ExitCodeOf(absl::NotFoundError("")), ExitCode::kInputMissing);
  EXPECT_EQ(ExitCodeOf(absl::DataLossError("")), ExitCode::kBadData);
  EXPECT_EQ(ExitCodeOf(absl::PermissionDeniedError("")), ExitCode::kNotAllowed);
  EXPECT_EQ(ExitCodeOf(absl::UnauthenticatedError("")), ExitCode::kNotAllowed);
  EXPECT_EQ(ExitCodeOf(absl::DeadlineExceededError("")),
            ExitCode::kPeerNeverCame);
  EXPECT_EQ(ExitCodeOf(absl::InternalError("")), ExitCode::kInternal);
  EXPECT_EQ(ExitCodeOf(absl::UnknownError("")), ExitCode::kFailure);
}

TEST(StatusTest, ExplicitExitCodeWins) {
  const absl::Status status =
      WithExitCode(absl::NotFoundError("x"), ExitCode::kBadJob);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadJob);
}

TEST(StatusTest, AnnotateKeepsCodeAndExitCode) {
  const absl::Status status = Annotate(
      WithExitCode(absl::AbortedError("why"), ExitCode::kDisk), "where");
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(std::string(status.message()), "where: why");
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kDisk);
  EXPECT_TRUE(Annotate(absl::OkStatus(), "where").ok());
}

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError("odd");
  return value / 2;
}

absl::StatusOr<int> Quarter(int value) {
  TERSE_ASSIGN_OR_RETURN(const int half, Half(value));
  TERSE_RETURN_IF_ERROR(Half(half).status());
  return half / 2;
}

TEST(StatusTest, MacrosReturnTheFirstError) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(7).status().message(), "odd");
  EXPECT_EQ(Quarter(6).status().message(), "odd");
}

TEST(StatusTest, CheckEndsTheProgramAndSaysWhere) {
  EXPECT_DEATH(TERSE_CHECK(1 + 1 == 3),
               "status_test.cc:.*check failed: 1 \\+ 1 == 3");
}

}  // namespace
}  // namespace terse
