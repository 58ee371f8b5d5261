// SPDX-License-Identifier: Apache-2.0
#include "search/restart.h"

#include <gtest/gtest.h>

#include <cmath>

#include "search/range_examples.h"
#include "search/search.h"

namespace leat::search {
namespace {

// All of the same value but for the first.
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

TEST(Restart, KnowsItsOwnTrialsAndWhereJobsFail) {
  Study study;
  study.ranges = {Continuous("x", "0", "1")};
  study.maximize = false;
  AddFlat(study, 101, -1, 0);
  study.trials[7].state = Trial::State::kFailed;
  // Pending when the first of the restart's was suggested: of the search of all trials, whatever its number.
  study.trials.push_back({{}, Trial::State::kCompleted, 5});
  study.trials.push_back({{}, Trial::State::kCompleted, 6, 1});
  study.trials.push_back({{}, Trial::State::kCompleted, 7});
  study.trials.push_back({{}, Trial::State::kPending, 0, 1});
  const auto restart = LastRestart(study);
  ASSERT_TRUE(restart);
  EXPECT_EQ(restart->number, 1u);
  EXPECT_EQ(restart->own_trials, 2u);
  EXPECT_EQ(restart->study.ranges.size(), 1u);
  EXPECT_FALSE(restart->study.maximize);
  ASSERT_EQ(restart->study.trials.size(), 3u);
  EXPECT_EQ(restart->study.trials[0].state, Trial::State::kFailed);
  EXPECT_EQ(restart->study.trials[1].objective, 6);
  EXPECT_EQ(restart->study.trials[2].state, Trial::State::kPending);
}

TEST(Restart, OneThatHasBegunGoesOn) {
  Study study;
  AddFlat(study, 100, 1, 0);
  study.trials.push_back({{}, Trial::State::kCompleted, 0.5, 1});
  study.trials[99].objective = 2;  // known late, and a gain
  EXPECT_EQ(LastRestart(study)->number, 1u);
}

TEST(Restart, FollowsARestartThatGainsNothing) {
  Study study;
  AddFlat(study, 100, 1, 0);
  AddFlat(study, kPatience, 0, 0);  // the first is a gain
  for (size_t i = 100; i < study.trials.size(); ++i) study.trials[i].restart = 1;
  AddFlat(study, kPatience, 0, 0);  // of the search of all
  EXPECT_EQ(LastRestart(study)->number, 1u);
  study.trials.push_back({{}, Trial::State::kCompleted, 0, 1});
  EXPECT_EQ(LastRestart(study)->number, 2u);
  EXPECT_EQ(LastRestart(study)->own_trials, 0u);
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
  const auto distance = [](const Trial& at) {
    return std::hypot(std::stod(at.parameters.at("x")) - 0.5, std::stod(at.parameters.at("y")) - 0.5);
  };
  const auto suggestions = Suggest(study, 20, 1).value();
  int far = 0;
  for (size_t i = 0; i < suggestions.size(); i += 2) {
    EXPECT_EQ(suggestions[i].restart, 0u);
    EXPECT_LT(distance(suggestions[i]), 0.1) << i;
    EXPECT_EQ(suggestions[i + 1].restart, 1u);
    far += distance(suggestions[i + 1]) > 0.1;
  }
  EXPECT_GE(far, 8);  // ten points of a design, spread over the square

  // One at a time they are the same.
  for (size_t i = 0; i < 3; ++i) {
    study.trials.push_back(Suggest(study, 1, 1).value()[0]);
    EXPECT_EQ(study.trials.back().restart, suggestions[i].restart);
    if (i % 2) EXPECT_EQ(study.trials.back().parameters, suggestions[i].parameters);
  }
}

}  // namespace
}  // namespace leat::search
