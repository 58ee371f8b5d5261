// SPDX-License-Identifier: Apache-2.0
#include "tuner/importance.h"

#include <gmock/gmock.h>

#include "tuner/study_testing.h"

namespace leat::tuner {
namespace {

double ShareOf(const Importances& importances, const std::string& name) {
  for (const auto& one : importances.of_each) {
    if (one.name == name) return one.share;
  }
  ADD_FAILURE() << "no importance of " << name;
  return -1;
}

// `objective` of a, b, c and d in [0, 1].
template <class Function>
Study NumbersStudy(size_t trials, const Function& objective) {
  Study study = EmptyStudy(
      "numbers", {NumberRange("a", 0, 1), NumberRange("b", 0, 1), NumberRange("c", 0, 1), NumberRange("d", 0, 1)});
  Random random(7);
  for (size_t i = 0; i < trials; ++i) {
    double values[4];
    std::map<std::string, std::string> tuned;
    for (size_t k = 0; k < 4; ++k)
      tuned[std::string(1, static_cast<char>('a' + k))] = ShortNumber(values[k] = random.Unit(), 9);
    AddTrial(study, tuned, objective(values));
  }
  return study;
}

TEST(Importance, IsEachOnesShareOfTheVarianceOfASum) {
  // The variances of 3 a, 2 b and c are as 9, 4 and 1.
  const auto importances =
      ImportancesOf(NumbersStudy(500, [](const double* x) { return 3 * x[0] + 2 * x[1] + x[2]; }), 0);
  EXPECT_NEAR(ShareOf(importances, "a"), 9.0 / 14, 0.06);
  EXPECT_NEAR(ShareOf(importances, "b"), 4.0 / 14, 0.06);
  EXPECT_NEAR(ShareOf(importances, "c"), 1.0 / 14, 0.04);
  EXPECT_LT(ShareOf(importances, "d"), 0.01);
  EXPECT_GT(importances.explained, 0.9);
  EXPECT_EQ(importances.of_each[0].name, "a");
}

TEST(Importance, OfFewTrialsPutsThemInOrder) {
  const auto importances =
      ImportancesOf(NumbersStudy(40, [](const double* x) { return 3 * x[0] + 2 * x[1] + x[2]; }), 0);
  EXPECT_EQ(importances.of_each[0].name, "a");
  EXPECT_EQ(importances.of_each[1].name, "b");
}

TEST(Importance, SeesWhatMattersTogetherOnly) {
  // Neither a nor b alone tells anything.
  const auto importances =
      ImportancesOf(NumbersStudy(500, [](const double* x) { return (x[0] - 0.5) * (x[1] - 0.5); }), 0);
  EXPECT_GT(ShareOf(importances, "a"), 0.4);
  EXPECT_GT(ShareOf(importances, "b"), 0.4);
}

TEST(Importance, OfAValueFarAstrayIsOneRank) {
  Study study = NumbersStudy(200, [](const double* x) { return x[0]; });
  study.trials[17].objective = 1e12;
  EXPECT_GT(ShareOf(ImportancesOf(study, 0), "a"), 0.95);
}

TEST(Importance, OfCategoriesAndConditionalRanges) {
  const auto importances = ImportancesOf(TrainingStudy(300, 30), 0);
  EXPECT_GT(ShareOf(importances, "learning-rate"), 0.2);
  EXPECT_GT(ShareOf(importances, "optimizer"), 0.2);
  // That there is a momentum says that the optimizer is sgd, which is the optimizer's to tell.
  EXPECT_LT(ShareOf(importances, "momentum"), 0.1);
  EXPECT_LT(ShareOf(importances, "weight-decay"), 0.05);
}

TEST(Importance, ExplainsNothingOfNoise) {
  Random random(3);
  EXPECT_LT(ImportancesOf(NumbersStudy(200, [&](const double*) { return random.Unit(); }), 0).explained, 0.1);
}

TEST(Importance, IsUnknownOfTooFewOrEqualTrials) {
  EXPECT_TRUE(ImportancesOf(NumbersStudy(9, [](const double* x) { return x[0]; }), 0).of_each.empty());
  EXPECT_FALSE(ImportancesOf(NumbersStudy(10, [](const double* x) { return x[0]; }), 0).of_each.empty());
  EXPECT_TRUE(ImportancesOf(NumbersStudy(50, [](const double*) { return 1.0; }), 0).of_each.empty());
  EXPECT_TRUE(ImportancesOf(EmptyStudy("empty", {NumberRange("a", 0, 1)}), 0).of_each.empty());
}

}  // namespace
}  // namespace leat::tuner
