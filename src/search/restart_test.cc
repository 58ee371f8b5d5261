// SPDX-License-Identifier: Apache-2.0
#include "search/restart.h"

#include <gtest/gtest.h>

#include "search/range_examples.h"
#include "search/search.h"

namespace leat::search {
namespace {

// Trials from `number` on, all of the same value but for the first.
void AddFlat(Study& study, int count, double first, double others) {
  for (int i = 0; i < count; ++i) study.trials.push_back({{}, Trial::State::kCompleted, i == 0 ? first : others});
}

TEST(Restart, NoneWhileAStudyIsShort) {
  Study study;
  AddFlat(study, kRestartAfter - 1, 1, 0);
  EXPECT_FALSE(LastRestart(study));
  study.trials.emplace_back();
  EXPECT_TRUE(LastRestart(study));
}

TEST(Restart, NoneWhileASearchGains) {
  Study study;
  study.maximize = false;
  for (uint32_t i = 0; i < 300; ++i) {
    const double gained = i / (kPatience - 1);
    study.trials.push_back({{}, Trial::State::kCompleted, i % (kPatience - 1) == 0 ? 10 - gained : 20});
  }
  EXPECT_FALSE(LastRestart(study));
}

TEST(Restart, AHundredthIsNoGain) {
  Study study;
  for (int i = 0; i < 100; ++i) study.trials.push_back({{}, Trial::State::kCompleted, i < 40 ? 0.0 : 1 + 1e-5 * i});
  EXPECT_TRUE(LastRestart(study));
}

TEST(Restart, KnowsItsOwnTrialsOnly) {
  Study study;
  study.ranges = {Continuous("x", "0", "1")};
  AddFlat(study, 101, 1, 0);
  for (int i = 101; i < 111; ++i) study.trials.push_back({{}, Trial::State::kCompleted, 0.01 * i});
  const auto restart = LastRestart(study);
  ASSERT_TRUE(restart);
  EXPECT_EQ(restart->count, 1u);
  EXPECT_EQ(restart->study.ranges.size(), 1u);
  ASSERT_EQ(restart->study.trials.size(), 5u);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(restart->study.trials[i].objective, 0.01 * static_cast<double>(101 + 2 * i));
}

TEST(Restart, FollowsARestartThatGainsNothing) {
  Study study;
  AddFlat(study, 100, 1, 0);
  AddFlat(study, 2 * kPatience, 0, 0);  // its first trial is a gain
  EXPECT_EQ(LastRestart(study)->count, 1u);
  AddFlat(study, 2, 0, 0);
  EXPECT_EQ(LastRestart(study)->count, 2u);
  EXPECT_TRUE(LastRestart(study)->study.trials.empty());
}

TEST(Restart, WhatHasNotCompletedSaysNothing) {
  Study study;
  AddFlat(study, 20, 1, 0);
  for (int i = 0; i < 100; ++i) study.trials.push_back({{}, i % 2 ? Trial::State::kFailed : Trial::State::kPending});
  EXPECT_FALSE(LastRestart(study));
}

TEST(Restart, TheNextSuggestionsAreOfEitherSearchInTurn) {
  Study study;
  study.ranges = {Continuous("x", "0", "1"), Continuous("y", "0", "1")};
  for (int i = 0; i < 100; ++i) {  // a bowl around the middle, the last half of the trials at its bottom
    const double x = i < 50 ? 0.02 * i : 0.5 + 1e-4 * (i - 75), y = i < 50 ? 0.02 * (i * 7 % 50) : 0.5;
    const double value = -(x - 0.5) * (x - 0.5) - (y - 0.5) * (y - 0.5);
    study.trials.push_back({{{"x", std::to_string(x)}, {"y", std::to_string(y)}}, Trial::State::kCompleted, value});
  }
  const auto distance = [](const Suggestion& at) {
    return std::hypot(std::stod(at.at("x")) - 0.5, std::stod(at.at("y")) - 0.5);
  };
  const auto suggestions = Suggest(study, 20, 1).value();
  int far = 0;
  for (size_t i = 0; i < suggestions.size(); i += 2) {
    EXPECT_LT(distance(suggestions[i]), 0.1) << i;
    far += distance(suggestions[i + 1]) > 0.1;
  }
  EXPECT_GE(far, 8);  // ten points of a design, spread over the square
}

}  // namespace
}  // namespace leat::search
