// SPDX-License-Identifier: Apache-2.0
#include "search/completion.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/random.h"

namespace leat::search {
namespace {

using Criterion = Completion::Criterion;
using Objectives = std::vector<std::optional<double>>;

uint32_t NotImproving(const Objectives& objectives, bool maximize) {
  return JudgeCompletion(objectives, maximize, {}).not_improving;
}

TEST(Completion, AnImprovementIsOnePerCentOfTheBest) {
  EXPECT_EQ(NotImproving({}, true), 0u);
  EXPECT_EQ(NotImproving({0.5}, true), 0u) << "the first";
  EXPECT_EQ(NotImproving({100, 101}, true), 0u) << "1 % exactly";
  EXPECT_EQ(NotImproving({100, 100.99}, true), 1u);
  EXPECT_EQ(NotImproving({100, 99}, false), 0u);
  EXPECT_EQ(NotImproving({100, 99.01}, false), 1u);
  EXPECT_EQ(NotImproving({100, 100}, true), 1u);
  EXPECT_EQ(NotImproving({100, 50, 70, 100.5}, true), 3u);
  EXPECT_EQ(NotImproving({100, 50, 70, 102, 60}, true), 1u) << "in a row";
}

TEST(Completion, ThePartIsOfTheAbsoluteValue) {
  EXPECT_EQ(NotImproving({-100, -99}, true), 0u);
  EXPECT_EQ(NotImproving({-100, -99.01}, true), 1u);
  EXPECT_EQ(NotImproving({-100, -101}, false), 0u);
  EXPECT_EQ(NotImproving({-100, -100.99}, false), 1u);
}

TEST(Completion, OnABestOfZeroAnyGainImproves) {
  EXPECT_EQ(NotImproving({0, 1e-12}, true), 0u);
  EXPECT_EQ(NotImproving({0, -1e-12}, false), 0u);
  EXPECT_EQ(NotImproving({0, 0}, true), 1u);
  EXPECT_EQ(NotImproving({-1e-3, 0, 0}, true), 1u);
}

TEST(Completion, SmallGainsMoveTheBest) {
  EXPECT_EQ(NotImproving({100, 100.9, 101.8}, true), 2u) << "101.8 is 0.89 % better than 100.9";
  EXPECT_EQ(NotImproving({100, 100.9, 101.909}, true), 0u);
}

TEST(Completion, AJobWithoutAnObjectiveDoesNotImprove) {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(NotImproving({1, std::nullopt, nan, infinity, -infinity}, true), 4u);
  EXPECT_EQ(NotImproving({1, std::nullopt, nan, infinity, -infinity}, false), 4u);
  EXPECT_EQ(NotImproving({std::nullopt, nan, infinity}, true), 0u) << "nothing to improve on";
  EXPECT_EQ(NotImproving({std::nullopt, nan, 1, 1}, true), 1u);
}

TEST(Completion, TheTargetIsAsGoodOrBetter) {
  const auto reached = [](const Objectives& objectives, bool maximize, double target) {
    return JudgeCompletion(objectives, maximize, {.target = target});
  };
  EXPECT_FALSE(reached({0.8, 0.89}, true, 0.9).reached);
  EXPECT_EQ(reached({0.8, 0.9, 0.95}, true, 0.9).reached, Criterion::kTarget);
  EXPECT_EQ(reached({0.8, 0.9, 0.95}, true, 0.9).finished, 2u);
  EXPECT_EQ(reached({0.8, 0.9, 0.95}, false, 0.8).finished, 1u);
  EXPECT_FALSE(reached({0.8}, false, 0.79).reached);
  EXPECT_EQ(reached({0.8, -0.5}, false, 0).finished, 2u);
  EXPECT_FALSE(reached({std::nullopt, std::numeric_limits<double>::infinity()}, true, 0.9).reached);
  EXPECT_FALSE(JudgeCompletion({0.8}, true, {}).reached);
}

TEST(Completion, WhatWasMetFirstStays) {
  const CompletionCriteria criteria{.target = 2, .not_improving_max = 3};
  Completion completion = JudgeCompletion({1, 1, 1, 1, 2, 1}, true, criteria);
  EXPECT_EQ(completion.reached, Criterion::kNotImproving);
  EXPECT_EQ(completion.finished, 4u);
  EXPECT_EQ(completion.not_improving, 1u) << "the fifth improved, and the sixth did not";
  completion = JudgeCompletion({1, 1, 1, 2, 2, 2, 2}, true, criteria);
  EXPECT_EQ(completion.reached, Criterion::kTarget);
  EXPECT_EQ(completion.finished, 4u);
  EXPECT_EQ(completion.not_improving, 3u);
  // Met by one and the same job: 1.995 to 2 is too little.
  completion = JudgeCompletion({1.995, 1.995, 1.995, 2}, true, criteria);
  EXPECT_EQ(completion.reached, Criterion::kTarget);
  EXPECT_EQ(completion.not_improving, 3u);
  EXPECT_EQ(JudgeCompletion({1, std::nullopt, std::nullopt, std::nullopt}, true, criteria).reached,
            Criterion::kNotImproving);
}

TEST(Completion, ConvergenceIsAskedLast) {
  EXPECT_EQ(JudgeCompletion({1, 2}, true, {.converged = true}).reached, Criterion::kConverged);
  EXPECT_EQ(JudgeCompletion({1, 2}, true, {.converged = true}).finished, 2u);
  EXPECT_EQ(JudgeCompletion({1, 2}, true, {.target = 2, .converged = true}).reached, Criterion::kTarget);
  EXPECT_EQ(JudgeCompletion({1, 1}, true, {.not_improving_max = 1, .converged = true}).reached,
            Criterion::kNotImproving);
}

TEST(Completion, MoreJobsNeverUndoIt) {
  uint32_t reached = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    const CompletionCriteria criteria{.target = 0.98, .not_improving_max = 6};
    Objectives objectives;
    Completion before;
    for (uint32_t i = 0; i < 40; ++i) {
      objectives.push_back(random.Below(8) == 0 ? std::nullopt : std::optional(random.Unit()));
      const Completion now = JudgeCompletion(objectives, true, criteria);
      if (before.reached) {
        EXPECT_EQ(now.reached, before.reached);
        EXPECT_EQ(now.finished, before.finished);
      } else if (now.reached) {
        EXPECT_EQ(now.finished, objectives.size());
        ++reached;
      }
      EXPECT_TRUE(now.not_improving == 0 || now.not_improving == before.not_improving + 1);
      before = now;
    }
  }
  EXPECT_GT(reached, 200u);
}

}  // namespace
}  // namespace leat::search
