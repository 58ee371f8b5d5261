// SPDX-License-Identifier: Apache-2.0
#include "search/hyperband.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>

#include "base/random.h"

namespace leat::search {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The first `count` trials that are judged from `level` on.
std::vector<uint32_t> TrialsFrom(const Hyperband& hyperband, size_t level, size_t count) {
  std::vector<uint32_t> trials;
  for (uint32_t trial = 0; trials.size() < count && trial < 10'000; ++trial) {
    if (hyperband.FirstLevel(trial) == level) trials.push_back(trial);
  }
  EXPECT_EQ(trials.size(), count);
  return trials;
}

struct Event {
  uint32_t trial, resource;
  double value;
  StopDecision decision;
};

// Runs `trials`, `parallel` at a time and each at a speed of its own; the n-th report of a trial has the value
// `value(trial, n)`.
template <class Value>
std::vector<Event> RunAll(Hyperband& hyperband, uint32_t trials, uint32_t parallel, uint64_t seed, const Value& value) {
  std::vector<Event> events;
  std::map<uint32_t, uint32_t> running;  // trial -> reports
  Random random(seed);
  for (uint32_t next = 0; next < trials || !running.empty();) {
    for (; next < trials && running.size() < parallel; ++next) running[next] = 0;
    const auto chosen = std::next(running.begin(), static_cast<long>(random.Below(running.size())));
    const uint32_t trial = chosen->first, resource = ++chosen->second;
    const double reported = value(trial, resource);
    events.push_back({trial, resource, reported, hyperband.Report(trial, resource, reported)});
    if (events.back().decision.stop) running.erase(chosen);
  }
  return events;
}

double LearningCurve(uint32_t trial, uint32_t resource) {
  Random random(77, trial);
  const double end = random.Unit(), speed = 0.02 + random.Unit() * 0.3;
  const double noise = Random(trial, resource).Unit() * 0.05;
  return end + 2 * std::exp(-speed * resource) + noise;
}

TEST(Hyperband, RungsAreBelowTheMaximumAndBracketsAreHyperbands) {
  const auto levels = [](uint32_t min, uint32_t max) {
    return Hyperband({.resource_min = min, .resource_max = max}).levels();
  };
  const auto brackets = [](uint32_t min, uint32_t max) {
    return Hyperband({.resource_min = min, .resource_max = max}).brackets();
  };
  EXPECT_EQ(levels(1, 81), (std::vector<uint32_t>{1, 3, 9, 27, 81}));
  EXPECT_EQ(brackets(1, 81), 5u);
  EXPECT_EQ(levels(1, 80), (std::vector<uint32_t>{1, 3, 9, 27, 80}));
  EXPECT_EQ(brackets(1, 80), 4u);
  EXPECT_EQ(levels(1, 100), (std::vector<uint32_t>{1, 3, 9, 27, 81, 100}));
  EXPECT_EQ(brackets(1, 100), 5u);
  EXPECT_EQ(levels(2, 10), (std::vector<uint32_t>{2, 6, 10}));
  EXPECT_EQ(brackets(2, 10), 2u);
  EXPECT_EQ(levels(5, 14), (std::vector<uint32_t>{5, 14}));
  EXPECT_EQ(brackets(5, 14), 1u) << "judged once, at 5";
  EXPECT_EQ(levels(7, 7), (std::vector<uint32_t>{7}));
  EXPECT_EQ(brackets(7, 7), 1u);
  EXPECT_EQ(levels(1, UINT32_MAX).size(), 22u);
  EXPECT_EQ(brackets(1, UINT32_MAX), 21u);
}

TEST(Hyperband, BracketsAreDrawnInProportionToHyperbandsSizes) {
  const Hyperband hyperband({.resource_min = 1, .resource_max = 81, .seed = 4});
  const std::vector<double> sizes{5, 8, 15, 34, 81};  // ceil(5 * 3^s / (s + 1)): Li and others, 2016, table 1
  std::vector<uint32_t> drawn(5);
  constexpr uint32_t kTrials = 143'000;
  for (uint32_t trial = 0; trial < kTrials; ++trial) {
    ++drawn[hyperband.Bracket(trial)];
    ASSERT_EQ(hyperband.FirstLevel(trial), 4 - hyperband.Bracket(trial));
  }
  for (size_t s = 0; s < 5; ++s) EXPECT_NEAR(drawn[s], 1000 * sizes[s], 5 * std::sqrt(1000 * sizes[s])) << s;
}

TEST(Hyperband, BracketsAreTheSameOnEveryMachine) {
  std::vector<uint32_t> drawn;
  const Hyperband hyperband({.resource_min = 1, .resource_max = 81, .seed = 20});
  for (uint32_t trial = 1; trial <= 20; ++trial) drawn.push_back(hyperband.Bracket(trial));
  EXPECT_EQ(drawn, (std::vector<uint32_t>{4, 4, 4, 2, 4, 4, 3, 0, 3, 4, 3, 1, 4, 0, 3, 3, 3, 4, 2, 4}));
  const Hyperband other({.resource_min = 1, .resource_max = 81, .seed = 21});
  std::vector<uint32_t> others;
  for (uint32_t trial = 1; trial <= 20; ++trial) others.push_back(other.Bracket(trial));
  EXPECT_NE(drawn, others);
}

TEST(Hyperband, ARungByHand) {
  Hyperband hyperband({.resource_min = 2, .resource_max = 18, .maximize = false, .seed = 1});
  const auto trials = TrialsFrom(hyperband, 0, 10);
  const auto report = [&](size_t i, uint32_t resource, double value) {
    return hyperband.Report(trials[i], resource, value);
  };
  EXPECT_FALSE(report(0, 1, 9).stop) << "below the first rung";
  EXPECT_FALSE(report(0, 2, 0.5).stop) << "1 in the rung";
  EXPECT_FALSE(report(1, 2, 0.6).stop) << "2 in the rung";
  EXPECT_EQ(report(2, 2, 0.55), (StopDecision{true, "0.55 is not among the best third of 3 jobs at epoch 2 (0.5)"}));
  EXPECT_FALSE(report(3, 2, 0.52).stop) << "the second of 4, of which 2 go on";
  EXPECT_EQ(report(4, 2, 0.54), (StopDecision{true, "0.54 is not among the best third of 5 jobs at epoch 2 (0.52)"}));
  EXPECT_FALSE(report(5, 2, 0.52).stop) << "a tie with the last of the best third";
  EXPECT_FALSE(report(6, 2, 0.4).stop);
  EXPECT_EQ(report(7, 2, kNan), (StopDecision{true, "nan is not among the best third of 8 jobs at epoch 2 (0.52)"}));
  EXPECT_EQ(report(8, 2, 0.5200000001),
            (StopDecision{true, "0.5200000001 is not among the best third of 9 jobs at epoch 2 (0.52)"}));
  // Between rungs nobody is judged; the next rung starts anew.
  EXPECT_FALSE(report(0, 3, 99).stop);
  EXPECT_FALSE(report(0, 6, 99).stop);
  EXPECT_FALSE(report(3, 6, 0.3).stop);
  EXPECT_FALSE(report(6, 6, 0.2).stop);
  EXPECT_FALSE(report(5, 6, 0.25).stop) << "the second of 4";
}

TEST(Hyperband, MaximizingIsTheSameUpsideDown) {
  Hyperband up({.resource_min = 1, .resource_max = 27, .maximize = true, .seed = 3});
  Hyperband down({.resource_min = 1, .resource_max = 27, .maximize = false, .seed = 3});
  const auto ups = RunAll(up, 60, 4, 8, [](uint32_t trial, uint32_t n) { return -LearningCurve(trial, n); });
  const auto downs = RunAll(down, 60, 4, 8, LearningCurve);
  ASSERT_EQ(ups.size(), downs.size());
  for (size_t i = 0; i < ups.size(); ++i) EXPECT_EQ(ups[i].decision.stop, downs[i].decision.stop);
  Hyperband hyperband({.resource_min = 1, .resource_max = 3, .maximize = true});
  const auto trials = TrialsFrom(hyperband, 0, 3);
  hyperband.Report(trials[0], 1, 0.9);
  hyperband.Report(trials[1], 1, kInfinity);
  EXPECT_EQ(hyperband.Report(trials[2], 1, 0.8),
            (StopDecision{true, "0.8 is not among the best third of 3 jobs at epoch 1 (0.9)"}))
      << "infinity is no better for maximizing";
}

// The share is what numpy.quantile(values, 1/3) with linear interpolation, the value itself among the values, says.
TEST(Hyperband, TheBestThirdIsTheLinearQuantile) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Hyperband hyperband({.resource_min = 1, .resource_max = 3, .maximize = false, .seed = seed});
    Random random(seed);
    std::vector<double> values;
    for (const uint32_t trial : TrialsFrom(hyperband, 0, 40)) {
      values.push_back(static_cast<double>(random.Below(seed % 2 == 0 ? 10 : 1'000'000)));  // with ties, and without
      auto sorted = values;
      std::sort(sorted.begin(), sorted.end());
      const double place = static_cast<double>(sorted.size() - 1) / 3, below = std::floor(place);
      const double low = sorted[static_cast<size_t>(below)], high = sorted[static_cast<size_t>(std::ceil(place))];
      const bool goes_on = values.size() < 3 || values.back() <= low + (place - below) * (high - low);
      EXPECT_EQ(hyperband.Report(trial, 1, values.back()).stop, !goes_on) << seed << " " << values.size();
    }
  }
}

TEST(Hyperband, TheBestOfARungIsNeverStoppedThere) {
  uint32_t best_seen = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    Hyperband hyperband({.resource_min = 1, .resource_max = 27, .maximize = false, .seed = seed});
    std::map<uint32_t, double> best;  // at each resource
    for (const Event& event : RunAll(hyperband, 80, 1 + static_cast<uint32_t>(seed % 8), seed, LearningCurve)) {
      EXPECT_TRUE(event.resource < 27 || event.decision.stop) << "every one is stopped at the maximum";
      EXPECT_EQ(event.decision.stop, !event.decision.reason.empty());
      const auto [entry, is_first] = best.try_emplace(event.resource, event.value);
      if (is_first || event.value > entry->second) continue;
      entry->second = event.value;
      ++best_seen;
      EXPECT_TRUE(!event.decision.stop || event.resource == 27) << event.decision.reason;
    }
  }
  EXPECT_GT(best_seen, 1000u);
}

TEST(Hyperband, ItStopsOnlyAtRungsOfTheBracketAndSavesWork) {
  Hyperband hyperband({.resource_min = 3, .resource_max = 81, .maximize = false, .seed = 5});
  const auto events = RunAll(hyperband, 300, 8, 5, LearningCurve);
  for (const Event& event : events) {
    if (!event.decision.stop) continue;
    const auto& levels = hyperband.levels();
    const auto level = std::find(levels.begin(), levels.end(), event.resource);
    ASSERT_NE(level, levels.end());
    EXPECT_GE(static_cast<size_t>(level - levels.begin()), hyperband.FirstLevel(event.trial));
  }
  EXPECT_LT(events.size(), 300u * 81 / 2);
}

TEST(Hyperband, TheShareThatPassesARungTendsToAThird) {
  Hyperband hyperband({.resource_min = 1, .resource_max = 27, .seed = 6});
  std::map<uint32_t, std::pair<uint32_t, uint32_t>> rungs;  // judged, passed
  for (const Event& event : RunAll(hyperband, 12'000, 8, 6, [](uint32_t trial, uint32_t resource) {
         return Random(trial, resource).Unit();  // of nothing before
       })) {
    const auto& levels = hyperband.levels();
    const auto level = std::find(levels.begin(), levels.end(), event.resource);
    if (level == levels.end() || static_cast<size_t>(level - levels.begin()) < hyperband.FirstLevel(event.trial))
      continue;
    ++rungs[event.resource].first;
    if (!event.decision.stop) ++rungs[event.resource].second;
  }
  ASSERT_EQ(rungs.size(), 4u);
  for (const auto& [resource, rung] : rungs) {
    if (resource == 27) {
      EXPECT_EQ(rung.second, 0u);
      continue;
    }
    EXPECT_GT(rung.first, 1000u);
    EXPECT_NEAR(static_cast<double>(rung.second) / rung.first, 1.0 / 3, 0.03) << resource;
  }
}

TEST(Hyperband, TheSameReportsGiveTheSameDecisions) {
  const HyperbandOptions options{.resource_min = 1, .resource_max = 27, .maximize = false, .seed = 7};
  Hyperband hyperband(options), again(options), twice(options);
  const auto events = RunAll(hyperband, 100, 6, 7, LearningCurve);
  Random random(9);
  for (size_t i = 0; i < events.size(); ++i) {
    const Event& event = events[i];
    EXPECT_EQ(again.Report(event.trial, event.resource, event.value), event.decision);
    EXPECT_EQ(twice.Report(event.trial, event.resource, event.value), event.decision);
    // Any of those before comes again, once more the whole journal, and another value for what is known.
    const Event& old = events[random.Below(i + 1)];
    EXPECT_EQ(twice.Report(old.trial, old.resource, old.value), old.decision);
    EXPECT_EQ(twice.Report(old.trial, old.resource, -1), old.decision);
    if (i != events.size() / 2) continue;
    for (size_t k = 0; k <= i; ++k) {
      EXPECT_EQ(twice.Report(events[k].trial, events[k].resource, events[k].value), events[k].decision);
    }
  }
  for (uint32_t trial = 0; trial < 100; ++trial) {
    EXPECT_EQ(twice.Last(trial)->value, hyperband.Last(trial)->value);
    EXPECT_EQ(twice.Last(trial)->resource, hyperband.Last(trial)->resource);
  }
}

TEST(Hyperband, MissedRungsAreJudgedAtTheNextReport) {
  Hyperband hyperband({.resource_min = 1, .resource_max = 27, .maximize = false, .seed = 8});
  const auto trials = TrialsFrom(hyperband, 0, 6);
  for (size_t i = 0; i < 2; ++i) hyperband.Report(trials[i], 4, 0.1);  // at 1 and at 3
  EXPECT_EQ(hyperband.Report(trials[2], 2, 0.2),
            (StopDecision{true, "0.2 at epoch 2 is not among the best third of 3 jobs at epoch 1 (0.1)"}));
  EXPECT_FALSE(hyperband.Report(trials[3], 1, 0.1).stop);
  EXPECT_EQ(hyperband.Report(trials[3], 5, 0.2),
            (StopDecision{true, "0.2 at epoch 5 is not among the best third of 3 jobs at epoch 3 (0.1)"}));
  // At once past the maximum: it has its whole result, and is nobody's rival at the rungs.
  EXPECT_EQ(hyperband.Report(trials[4], 30, 0.01), (StopDecision{true, "reached epoch 27, the last (MaxResource)"}));
  EXPECT_FALSE(hyperband.Report(trials[5], 1, 0.1).stop);
}

TEST(Hyperband, AStoppedTrialIsStoppedAgainAndItsLastReportIsItsResult) {
  Hyperband hyperband({.resource_min = 2, .resource_max = 18, .maximize = false, .seed = 9});
  const auto trials = TrialsFrom(hyperband, 0, 5);
  EXPECT_FALSE(hyperband.Last(trials[0]));
  hyperband.Report(trials[0], 1, 0.7);
  EXPECT_EQ(hyperband.Last(trials[0])->value, 0.7);
  EXPECT_FALSE(hyperband.Last(trials[0])->level) << "no rung yet";
  hyperband.Report(trials[0], 2, 0.5);
  hyperband.Report(trials[1], 2, 0.5);
  const StopDecision stopped = hyperband.Report(trials[2], 2, 0.6);
  EXPECT_TRUE(stopped.stop);
  EXPECT_EQ(hyperband.Last(trials[2])->level, size_t{0});
  for (uint32_t resource = 3; resource <= 7; ++resource) {
    EXPECT_EQ(hyperband.Report(trials[2], resource, 0.1), stopped) << "it was told so; it takes time to end";
  }
  EXPECT_EQ(hyperband.Report(trials[2], 1, 0.6), StopDecision{}) << "comes again, and was before the stop";
  EXPECT_EQ(hyperband.Last(trials[2])->value, 0.1);
  EXPECT_EQ(hyperband.Last(trials[2])->resource, 7u);
  EXPECT_EQ(hyperband.Last(trials[2])->level, size_t{1}) << "its objective is one of epoch 6 and later";
  // It is nobody's rival at 6, where it was not judged.
  hyperband.Report(trials[0], 6, 0.4);
  hyperband.Report(trials[1], 6, 0.5);
  hyperband.Report(trials[3], 2, 0.1);
  EXPECT_FALSE(hyperband.Report(trials[3], 6, 0.4).stop);
  hyperband.Report(trials[0], 18, 0.4);
  EXPECT_EQ(hyperband.Last(trials[0])->level, size_t{2});
}

TEST(Hyperband, WhereMinimumAndMaximumAreOneAllRunToTheEnd) {
  Hyperband hyperband({.resource_min = 4, .resource_max = 4, .seed = 10});
  for (const Event& event : RunAll(hyperband, 50, 4, 10, LearningCurve)) {
    EXPECT_EQ(event.decision.stop, event.resource == 4);
  }
}

TEST(Hyperband, AJobThatIsAloneRunsToTheEnd) {
  Hyperband hyperband({.resource_min = 1, .resource_max = 100, .seed = 11});
  const auto events = RunAll(hyperband, 1, 1, 11, LearningCurve);
  ASSERT_EQ(events.size(), 100u);
  EXPECT_EQ(events.back().decision.reason, "reached epoch 100, the last (MaxResource)");
}

TEST(Hyperband, TiesGoOnAlsoAmongTheWorst) {
  for (const double value : {0.5, -0.1, kNan, kInfinity, -kInfinity}) {
    for (const bool maximize : {false, true}) {
      Hyperband hyperband({.resource_min = 1, .resource_max = 9, .maximize = maximize, .seed = 12});
      for (const Event& event : RunAll(hyperband, 40, 3, 12, [&](uint32_t, uint32_t) { return value; })) {
        EXPECT_EQ(event.decision.stop, event.resource == 9) << value;
      }
    }
  }
  // But what is not finite does not go on beside a third that is.
  Hyperband hyperband({.resource_min = 1, .resource_max = 9, .maximize = false, .seed = 12});
  const auto trials = TrialsFrom(hyperband, 0, 5);
  EXPECT_FALSE(hyperband.Report(trials[0], 1, kNan).stop);
  EXPECT_FALSE(hyperband.Report(trials[1], 1, -kInfinity).stop);
  EXPECT_FALSE(hyperband.Report(trials[2], 1, 1e300).stop);
  EXPECT_FALSE(hyperband.Report(trials[3], 1, 1e301).stop);
  EXPECT_EQ(hyperband.Report(trials[4], 1, -kInfinity),
            (StopDecision{true, "-inf is not among the best third of 5 jobs at epoch 1 (1e+301)"}));
}

TEST(HyperbandDeathTest, ResourcesStartAtOne) {
  EXPECT_DEATH(Hyperband({.resource_min = 0, .resource_max = 9}), "resource_min >= 1");
  EXPECT_DEATH(Hyperband({.resource_min = 10, .resource_max = 9}), "resource_min <= max");
  EXPECT_DEATH(Hyperband({.resource_min = 1, .resource_max = 9}).Report(1, 0, 0.5), "resource >= 1");
}

}  // namespace
}  // namespace leat::search
