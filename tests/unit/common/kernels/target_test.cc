#include "common/kernels/target.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

TEST(TargetTest, EveryNameCanBeForced) {
  const auto names = KernelTargetNames();
  ASSERT_GE(names.size(), 2u);
  EXPECT_EQ(names.front(), "scalar");
  for (const std::string& name : names) {
    EXPECT_TRUE(ForceKernelTarget(name));
    EXPECT_EQ(KernelTargetName(), name);
    EXPECT_EQ(ScalarKernelsForced(), name == "scalar");
  }
  EXPECT_TRUE(ForceKernelTarget("auto"));
  EXPECT_EQ(KernelTargetName(), names.back());
}

TEST(TargetTest, UnknownNamesChangeNothing) {
  ASSERT_TRUE(ForceKernelTarget("scalar"));
  EXPECT_FALSE(ForceKernelTarget("avx9"));
  EXPECT_FALSE(ForceKernelTarget(""));
  EXPECT_EQ(KernelTargetName(), "scalar");
  ASSERT_TRUE(ForceKernelTarget("auto"));
}

}  // namespace
}  // namespace terse
