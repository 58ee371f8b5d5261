// SPDX-License-Identifier: Apache-2.0
#include "search/search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <set>

#include "search/range_examples.h"

namespace leat::search {
namespace {

Study StudyOf(Study::Strategy strategy, std::vector<ParameterRange> ranges) {
  Study study;
  study.strategy = strategy;
  study.ranges = std::move(ranges);
  return study;
}

std::vector<Suggestion> Suggested(const Study& study, uint32_t count, uint64_t seed) {
  std::vector<Suggestion> suggestions;
  const auto trials = Suggest(study, count, seed);
  for (const auto& trial : trials.value()) suggestions.push_back(trial.parameters);
  return suggestions;
}

double Number(const Suggestion& suggestion, const char* name) { return std::atof(suggestion.at(name).c_str()); }

// Asks and tells `count` times, one after the other.
void RunTrials(Study& study, uint64_t seed, int count, const std::function<double(const Suggestion&)>& objective) {
  for (int i = 0; i < count; ++i) {
    const Suggestion suggestion = Suggested(study, 1, seed)[0];
    study.trials.push_back({suggestion, Trial::State::kCompleted, objective(suggestion)});
  }
}

double Best(const Study& study) {
  double best = -1e300;
  for (const auto& trial : study.trials) best = std::max(best, trial.objective);
  return best;
}

double Bowl(const Suggestion& at) {
  return -std::pow(Number(at, "x") - 0.3, 2) - 2 * std::pow(Number(at, "y") + 1.2, 2);
}
const std::vector<ParameterRange> kBowlRanges = {Continuous("x", "-2", "2"), Continuous("y", "-2", "2")};

TEST(Search, RandomStaysInsideItsBoundsAndReachesTheWholeRange) {
  Study study =
      StudyOf(Study::Strategy::kRandom, {Continuous("lr", "0.001", "0.1", Scaling::kLogarithmic), Integer("n", 3, 6)});
  std::set<std::string> integers;
  double lowest = 1, highest = 0;
  const auto suggestions = Suggested(study, 400, 9);
  for (const auto& suggestion : suggestions) {
    const double lr = Number(suggestion, "lr");
    EXPECT_GE(lr, 0.001);
    EXPECT_LE(lr, 0.1);
    lowest = std::min(lowest, lr);
    highest = std::max(highest, lr);
    integers.insert(suggestion.at("n"));
  }
  EXPECT_EQ(integers, (std::set<std::string>{"3", "4", "5", "6"}));
  EXPECT_LT(lowest, 0.0012);
  EXPECT_GT(highest, 0.08);
}

TEST(Search, TheSameSeedGivesTheSameSuggestionsEverywhere) {
  Study study = StudyOf(Study::Strategy::kRandom,
                        {Continuous("lr", "0.001", "0.1", Scaling::kLogarithmic), Categories("opt", {"adam", "sgd"})});
  const Suggestion first = Suggested(study, 1, 7)[0];
  EXPECT_EQ(first, Suggested(study, 1, 7)[0]);
  EXPECT_NE(first, Suggested(study, 1, 8)[0]);
  EXPECT_EQ(first.at("lr"), "0.012138601");
  EXPECT_EQ(first.at("opt"), "adam");
  study.trials.push_back({first});
  EXPECT_NE(first, Suggested(study, 1, 7)[0]);
}

TEST(Search, NothingIsSuggestedTwiceAndTheEndIsTold) {
  for (const auto strategy : {Study::Strategy::kRandom, Study::Strategy::kGrid, Study::Strategy::kBayesian}) {
    Study study = StudyOf(strategy, {Categories("a", {"1", "2", "3"}), Integer("b", 1, 5)});
    std::set<Suggestion> seen;
    for (int i = 0; i < 15; ++i) {
      const Suggestion suggestion = Suggested(study, 1, 3)[0];
      EXPECT_TRUE(seen.insert(suggestion).second);
      study.trials.push_back({suggestion, Trial::State::kCompleted, Number(suggestion, "a") * Number(suggestion, "b")});
    }
    const auto end = Suggest(study, 1, 3);
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, ErrorCode::kNotFound);
    EXPECT_NE(end.error().message.find("all 15 combinations"), std::string::npos) << end.error().message;
  }
}

TEST(Search, ARangeWithoutAValueSuggestsNothing) {
  const Study study = StudyOf(Study::Strategy::kRandom, {Continuous("lr", "0", "1"), Categories("a", {})});
  EXPECT_EQ(Suggest(study, 1, 0).error().code, ErrorCode::kNotFound);
}

TEST(Search, GridGoesThroughItsCombinationsInOrder) {
  Study study = StudyOf(Study::Strategy::kGrid, {Categories("a", {"x", "y"}), Integer("b", -1, 1)});
  const auto all = Suggested(study, 10, 0);
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(all[0], (Suggestion{{"a", "x"}, {"b", "-1"}}));
  EXPECT_EQ(all[1], (Suggestion{{"a", "x"}, {"b", "0"}}));
  study.trials.push_back({all[0]});
  EXPECT_EQ(Suggested(study, 1, 0)[0], all[1]);
  study.ranges.push_back(Continuous("c", "0", "1"));
  EXPECT_EQ(Suggest(study, 1, 0).error().code, ErrorCode::kInvalidArgument);
}

TEST(Search, BayesianFindsTheTopOfABowl) {
  Study study = StudyOf(Study::Strategy::kBayesian, kBowlRanges);
  RunTrials(study, 1, 25, Bowl);
  EXPECT_GT(Best(study), -1e-4);
}

TEST(Search, MinimizingFindsTheBottom) {
  Study study = StudyOf(Study::Strategy::kBayesian, kBowlRanges);
  study.maximize = false;
  RunTrials(study, 1, 25, [](const Suggestion& at) { return -Bowl(at); });
  double lowest = 1e300;
  for (const auto& trial : study.trials) lowest = std::min(lowest, trial.objective);
  EXPECT_LT(lowest, 1e-4);
}

TEST(Search, TheSameStudyGivesTheSameSuggestionsBitForBit) {
  Study study = StudyOf(Study::Strategy::kBayesian, kBowlRanges);
  RunTrials(study, 4, 14, Bowl);
  study.trials[12].state = study.trials[13].state = Trial::State::kPending;
  const auto first = Suggested(study, 3, 4);
  EXPECT_EQ(first, Suggested(study, 3, 4));
  EXPECT_NE(first, Suggested(study, 3, 5));
  // Several at once are what asking for one at a time gives.
  EXPECT_EQ(first[0], Suggested(study, 1, 4)[0]);
  study.trials[12].state = Trial::State::kCompleted;
  EXPECT_NE(first, Suggested(study, 3, 4));
}

TEST(Search, PendingTrialsAreKeptAwayFrom) {
  Study study = StudyOf(Study::Strategy::kBayesian, kBowlRanges);
  RunTrials(study, 2, 12, Bowl);
  const auto suggestions = Suggested(study, 8, 2);
  ASSERT_EQ(suggestions.size(), 8u);
  for (size_t i = 0; i < suggestions.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const double x = Number(suggestions[i], "x") - Number(suggestions[j], "x");
      const double y = Number(suggestions[i], "y") - Number(suggestions[j], "y");
      EXPECT_GT(std::hypot(x, y), 1e-3);
    }
  }
}

TEST(Search, TheFirstPointIsTheCentreWhereItIsWanted) {
  Study study = StudyOf(Study::Strategy::kBayesian, {Continuous("x", "1", "3"), Integer("n", 1, 9, Scaling::kLinear),
                                                     Categories("c", {"a", "b", "d"})});
  study.start_at_centre = true;
  EXPECT_EQ(Suggested(study, 1, 0)[0], (Suggestion{{"x", "2"}, {"n", "5"}, {"c", "b"}}));
}

TEST(Search, WithoutAFinishedTrialThereAreStillSuggestions) {
  Study study = StudyOf(Study::Strategy::kBayesian, kBowlRanges);
  const auto suggestions = Suggested(study, 40, 0);
  EXPECT_EQ(std::set<Suggestion>(suggestions.begin(), suggestions.end()).size(), 40u);
}

TEST(Search, MixedRangesAreSearchedTogether) {
  Study study = StudyOf(Study::Strategy::kBayesian,
                        {Continuous("rate", "1e-5", "1", Scaling::kLogarithmic), Integer("depth", 1, 12),
                         Integer("width", 8, 512, Scaling::kLogarithmic), Categories("kind", {"a", "b", "c", "d"})});
  const auto score = [](const Suggestion& at) {
    const double kind = at.at("kind") == "c" ? 0 : 1;
    return -std::pow(std::log10(Number(at, "rate")) + 3, 2) - 0.1 * std::pow(Number(at, "depth") - 7, 2) -
           std::pow(std::log2(Number(at, "width")) - 6, 2) - kind;
  };
  RunTrials(study, 5, 50, score);
  EXPECT_GT(Best(study), -0.05);
}

TEST(Search, ConditionalRangesAreSearchedInTheirBranch) {
  Study study =
      StudyOf(Study::Strategy::kBayesian, {Categories("optimizer", {"adam", "sgd"}), Continuous("rate", "0", "1"),
                                           When(Continuous("momentum", "0", "1"), "optimizer", {"sgd"})});
  const auto score = [](const Suggestion& at) {
    const double rate = std::pow(Number(at, "rate") - 0.2, 2);
    EXPECT_EQ(at.count("momentum"), at.at("optimizer") == "sgd" ? 1u : 0u);
    return at.at("optimizer") == "sgd" ? 0.5 - rate - std::pow(Number(at, "momentum") - 0.9, 2) : -rate;
  };
  RunTrials(study, 5, 35, score);
  EXPECT_GT(Best(study), 0.499);
}

TEST(Search, WhereJobsFailIsLearnt) {
  Study study = StudyOf(Study::Strategy::kBayesian, kBowlRanges);
  int late_failures = 0;
  for (int i = 0; i < 50; ++i) {
    const Suggestion suggestion = Suggested(study, 1, 3)[0];
    // The objective would be best where every job fails.
    const bool fails = Number(suggestion, "x") > 0.5;
    late_failures += fails && i >= 30;
    const double objective =
        fails ? (i % 2 ? std::nan("") : 0) : Number(suggestion, "x") - std::abs(Number(suggestion, "y"));
    study.trials.push_back(
        {suggestion, fails && i % 2 == 0 ? Trial::State::kFailed : Trial::State::kCompleted, objective});
  }
  double best = -1e300;
  for (const auto& trial : study.trials) {
    if (trial.state == Trial::State::kCompleted && std::isfinite(trial.objective))
      best = std::max(best, trial.objective);
  }
  EXPECT_GT(best, 0.4);
  EXPECT_LT(late_failures, 14);
}

TEST(Search, ObjectivesOfAnyKindAreTaken) {
  for (const auto& objective : std::vector<std::function<double(const Suggestion&)>>{
           [](const Suggestion&) { return 1.0; }, [](const Suggestion& at) { return 1e308 * Number(at, "x"); },
           [](const Suggestion& at) { return 1e-310 * Number(at, "x"); },
           [](const Suggestion& at) { return Number(at, "x") > 0 ? 1.7e308 : -1.7e308; },
           [](const Suggestion& at) { return Number(at, "x") > 0 ? 1 : std::nan(""); },
           [](const Suggestion&) { return std::nan(""); }}) {
    Study study = StudyOf(Study::Strategy::kBayesian, kBowlRanges);
    RunTrials(study, 6, 16, objective);
    EXPECT_EQ(study.trials.size(), 16u);
  }
}

TEST(Search, ManyCategoriesAndTheWidestRangesAreSearched) {
  std::vector<std::string> names;
  for (int i = 0; i < 10000; ++i) names.push_back("value-" + std::to_string(i));
  Study study = StudyOf(Study::Strategy::kBayesian,
                        {Categories("many", names), Continuous("x", "-1.5e308", "1.5e308"),
                         Continuous("y", "1e-300", "1e300", Scaling::kLogarithmic), Integer("n", 1, int64_t{1} << 53)});
  RunTrials(study, 6, 20, [](const Suggestion& at) { return -std::abs(std::log10(Number(at, "y")) - 40); });
  EXPECT_GT(Best(study), -60);
}

TEST(Search, TenThousandTrialsAreModelledByTheBestAndASample) {
  Study study = StudyOf(Study::Strategy::kRandom, kBowlRanges);
  const auto suggestions = Suggested(study, 10000, 1);
  for (const auto& suggestion : suggestions)
    study.trials.push_back({suggestion, Trial::State::kCompleted, Bowl(suggestion)});
  study.strategy = Study::Strategy::kBayesian;
  const double before = Best(study);
  EXPECT_GT(Bowl(Suggested(study, 1, 1)[0]), before - 0.01);
}

TEST(Search, TrialsOfAnEarlierSpaceStillCount) {
  Study study = StudyOf(Study::Strategy::kBayesian, kBowlRanges);
  RunTrials(study, 3, 20, Bowl);
  study.ranges = {Continuous("x", "0", "1"), Continuous("y", "-2", "0"), Continuous("z", "0", "1")};
  study.trials.push_back({{{"x", "no number"}, {"y", "0"}}, Trial::State::kCompleted, 1e9});
  const Suggestion suggestion = Suggested(study, 1, 3)[0];
  EXPECT_EQ(suggestion.size(), 3u);
  EXPECT_NEAR(Number(suggestion, "x"), 0.3, 0.2);
}

TEST(Search, AnEarlierStudyOfTheSameTaskCountsAsItsOwn) {
  Study earlier = StudyOf(Study::Strategy::kBayesian, kBowlRanges);
  RunTrials(earlier, 1, 25, Bowl);
  Study study = StudyOf(Study::Strategy::kBayesian, kBowlRanges);
  study.earlier = {{earlier.trials, true, true}};
  EXPECT_GT(Bowl(Suggested(study, 1, 9)[0]), -0.01);
  study = StudyOf(Study::Strategy::kGrid, {Integer("n", 1, 3)});
  study.earlier = {{{{{{"n", "1"}}}, {{{"n", "3"}}}}, true, true}};
  EXPECT_EQ(Suggested(study, 5, 0), (std::vector<Suggestion>{{{"n", "2"}}}));
}

// Of other data: the top is elsewhere and the values are on another scale; what is like it helps, what is not is
// forgotten.
TEST(Search, AnEarlierStudyOfOtherDataHelpsAsFarAsItAgrees) {
  const auto moved = [](const Suggestion& at) {
    return 1e4 - 1e3 * (std::pow(Number(at, "x") - 0.4, 2) + 2 * std::pow(Number(at, "y") + 1.1, 2));
  };
  Study earlier = StudyOf(Study::Strategy::kBayesian, kBowlRanges);
  RunTrials(earlier, 1, 30, moved);
  Study study = StudyOf(Study::Strategy::kBayesian, kBowlRanges);
  study.earlier = {{earlier.trials, true, false}};
  RunTrials(study, 2, 7, Bowl);
  EXPECT_GT(Best(study), -0.02);

  for (auto& trial : earlier.trials) trial.objective = -trial.objective;
  study.trials.clear();
  study.earlier = {{earlier.trials, true, false}};
  RunTrials(study, 2, 25, Bowl);
  EXPECT_GT(Best(study), -1e-3);
}

// A range that has been narrowed: what lies outside of it now stands for no value inside.
TEST(Search, ATrialOutsideOfTheRangeTakesNothingAway) {
  Study study;
  study.strategy = Study::Strategy::kRandom;
  study.ranges = {Integer("n", 1, 3)};
  study.trials.push_back({{{"n", "100"}}, Trial::State::kCompleted, 1});
  const auto suggestions = Suggested(study, 3, 1);
  EXPECT_EQ(std::set<Suggestion>(suggestions.begin(), suggestions.end()).size(), 3u);
}

}  // namespace
}  // namespace leat::search
