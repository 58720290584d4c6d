#include "common/cost/cost_model.h"

#include <cmath>

#include "gtest/gtest.h"

namespace terse {
namespace {

// 80 MB both ways without any work but the wire's.
StepWork Floats() {
  return {
      .bytes_up = 80'000'000, .bytes_down = 80'000'000, .blocks = 1'000'000};
}

// A tenth of the bytes for 20 ms of a worker's time.
StepWork Short() {
  return {.encode_ms = 20,
          .bytes_up = 8'000'000,
          .bytes_down = 8'000'000,
          .blocks = 1'000'000};
}

constexpr ComputeTime kCompute = {.forward_ms = 30, .backward_ms = 70};

Machine FreeWire(double gbit, double cores) {
  return {.link_gbit = gbit,
          .cores = cores,
          .wire_ns_per_byte = 0,
          .round_trip_ms = 0};
}

TEST(CostModelTest, ComputationIsTheLeastAStepTakes) {
  const StepCost cost =
      PredictStep({}, kCompute, FreeWire(1000, 8), {.workers = 1});
  EXPECT_NEAR(cost.step_ms, 100, 1e-6);
  EXPECT_EQ(BoundOf(cost), "worker");
}

TEST(CostModelTest, TheBusiestDirectionOfALinkCounts) {
  // Two workers' hosts with a server each: half of what a worker sends stays,
  // half of what the other one gets comes from here: 80 MB in each direction.
  const StepCost cost =
      PredictStep(Floats(), kCompute, FreeWire(1, 8), {2, 2, true});
  EXPECT_NEAR(cost.wire_ms, 30 + 640, 1e-6);
  EXPECT_EQ(BoundOf(cost), "wire");
  // A server of its own takes what both send.
  EXPECT_NEAR(
      PredictStep(Floats(), kCompute, FreeWire(1, 8), {2, 1, false}).wire_ms,
      30 + 2 * 640, 1e-6);
  // Four servers of their own have a half each.
  EXPECT_NEAR(
      PredictStep(Floats(), kCompute, FreeWire(1, 8), {2, 4, false}).wire_ms,
      30 + 640, 1e-6);
}

TEST(CostModelTest, WhatBackwardComesToLateIsSentLate) {
  StepWork work = Floats();
  const auto wire_ms = [&work](double gbit) {
    return PredictStep(work, kCompute, FreeWire(gbit, 8), {2, 2, true}).wire_ms;
  };
  // One tensor, half of whose backward comes before its gradient: forward 30,
  // half of 70, and 640 ms of wire.
  work.shares = {1};
  EXPECT_NEAR(wire_ms(1), 30 + 35 + 640, 1e-6);
  // The last tensor is there first, after 7 ms, and the wire is not idle after.
  work.shares = {0.8, 0.2};
  EXPECT_NEAR(wire_ms(1), 30 + 7 + 640, 1e-6);
  // On a fast wire the first tensor's is waited for, 14 + 28 ms.
  EXPECT_NEAR(wire_ms(640), 30 + 42 + 0.8, 1e-6);
}

TEST(CostModelTest, OneHostNeedsNoLink) {
  const StepCost cost =
      PredictStep(Floats(), kCompute, FreeWire(0.001, 8), {1, 1, true});
  EXPECT_NEAR(cost.step_ms, 100, 1e-6);
}

TEST(CostModelTest, ProcessesOfAHostShareItsCores) {
  StepWork work = Floats();
  work.encode_ms = 10;
  work.add_ms = 20;
  work.close_ms = 40;
  work.decode_ms = 5;
  // Worker 115, and half of 2 x 20 + 40.
  EXPECT_NEAR(
      PredictStep(work, kCompute, FreeWire(1000, 1), {2, 2, true}).processor_ms,
      155, 1e-6);
  EXPECT_NEAR(
      PredictStep(work, kCompute, FreeWire(1000, 2), {2, 2, true}).processor_ms,
      77.5, 1e-6);
  Machine wire = FreeWire(1000, 1);
  wire.wire_ns_per_byte = 0.5;
  // Sent and received by the worker, and as much by the servers here: 320 MB.
  EXPECT_NEAR(PredictStep(work, kCompute, wire, {2, 2, true}).processor_ms,
              155 + 160, 1e-6);
}

TEST(CostModelTest, AShortCodecPaysBelowTheRateWhereStepsAreEqual) {
  const Machine machine = FreeWire(1, 8);
  const Layout layout = {2, 2, true};
  const std::optional<double> below =
      PaysBelowGbit(Short(), Floats(), kCompute, machine, layout);
  ASSERT_TRUE(below.has_value());
  // 30 + 640 / rate = 120.
  EXPECT_NEAR(*below, 640.0 / 90, 0.02);
  // Fewer bytes at no cost always pay, more bytes and more work never do.
  StepWork free = Short();
  free.encode_ms = 0;
  EXPECT_EQ(PaysBelowGbit(Floats(), Short(), kCompute, machine, layout),
            std::nullopt);
  free.blocks = 1;
  StepWork slow = Floats();
  slow.encode_ms = 50;
  const std::optional<double> always =
      PaysBelowGbit(free, slow, kCompute, machine, layout);
  ASSERT_TRUE(always.has_value());
  EXPECT_TRUE(std::isinf(*always));
}

TEST(CostModelTest, ASecondExchangeTakesAnotherRoundTrip) {
  Machine machine = FreeWire(1000, 8);
  machine.round_trip_ms = 3;
  StepWork work;
  const double once = PredictStep(work, kCompute, machine, {}).step_ms;
  work.two_exchanges = true;
  EXPECT_NEAR(PredictStep(work, kCompute, machine, {}).step_ms, once + 3, 1e-6);
}

}  // namespace
}  // namespace terse
