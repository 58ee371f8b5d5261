// SPDX-License-Identifier: Apache-2.0
#include "search/median_stopping.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "base/random.h"

namespace leat::search {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

void ReportAll(MedianStopping& rule, uint32_t trial, const std::vector<double>& values) {
  for (uint32_t count = 1; count <= values.size(); ++count) rule.Report(trial, count, values[count - 1]);
}

TEST(MedianStopping, ByHand) {
  MedianStopping rule(/*maximize=*/false);
  // Running means at 2: 4, 5, 6, 7 and 8; at 3: 4, 4 and 6.
  ReportAll(rule, 1, {5, 3, 4});
  ReportAll(rule, 2, {6, 4, 2});
  ReportAll(rule, 3, {6, 6, 6});
  ReportAll(rule, 4, {9, 5});
  ReportAll(rule, 5, {9, 7});
  EXPECT_EQ(rule.Report(6, 1, 99), StopDecision{}) << "the first report";
  EXPECT_EQ(rule.Report(6, 2, 6.1),
            (StopDecision{true, "6.1 at epoch 2 is worse than 6, the median of the running means of 5 jobs"}));
  // The sixth job's own, 52.55, is now among them: the median of six is (6 + 7) / 2.
  rule.Report(7, 1, 0);
  EXPECT_EQ(rule.Report(7, 2, 6.5), StopDecision{}) << "a tie";
  // And the seventh's, 3.25.
  rule.Report(8, 1, 0);
  EXPECT_EQ(rule.Report(8, 2, 6.1),
            (StopDecision{true, "6.1 at epoch 2 is worse than 6, the median of the running means of 7 jobs"}));
  EXPECT_EQ(rule.Report(7, 3, 99), StopDecision{}) << "three others have reached epoch 3";
}

TEST(MedianStopping, TheValueCountsNotItsOwnMean) {
  MedianStopping rule(/*maximize=*/true);
  for (uint32_t trial = 1; trial <= 5; ++trial) ReportAll(rule, trial, {0.5, 0.5, 0.5});
  rule.Report(6, 1, 0);
  EXPECT_FALSE(rule.Report(6, 2, 0.5).stop);
  EXPECT_EQ(rule.Report(6, 3, 0.4),
            (StopDecision{true, "0.4 at epoch 3 is worse than 0.5, the median of the running means of 5 jobs"}));
}

TEST(MedianStopping, NotWithFewerThanFivePeersAtThatReport) {
  MedianStopping rule(/*maximize=*/false);
  for (uint32_t trial = 1; trial <= 4; ++trial) ReportAll(rule, trial, {0.1, 0.1, 0.1});
  ReportAll(rule, 5, {0.1, 0.1});
  rule.Report(6, 1, 9);
  EXPECT_FALSE(rule.Report(7, 1, 9).stop);
  EXPECT_FALSE(rule.Report(7, 3, 9).stop) << "four have reached it; its own reports are no peer's";
  EXPECT_TRUE(rule.Report(6, 2, 9).stop) << "five, and the seventh, which missed it";
}

TEST(MedianStopping, GraceIsATenthOfTheMedianLengthOfWhatCompleted) {
  MedianStopping rule(/*maximize=*/false);
  const std::vector<uint32_t> lengths{20, 50, 50, 50, 200};
  for (uint32_t trial = 0; trial < 5; ++trial) ReportAll(rule, trial, std::vector<double>(lengths[trial], 0.1));
  // None has completed: only the first report is exempt.
  rule.Report(10, 1, 9);
  EXPECT_TRUE(rule.Report(10, 2, 9).stop);
  for (uint32_t trial = 0; trial < 5; ++trial) {
    rule.Completed(trial);
    rule.Completed(0);  // again
  }
  rule.Completed(99);  // has no report
  for (uint32_t count = 1; count <= 5; ++count) EXPECT_FALSE(rule.Report(11, count, 9).stop) << count;
  EXPECT_TRUE(rule.Report(11, 6, 9).stop);
  const auto complete = [&](uint32_t from, uint32_t to) {
    for (uint32_t trial = from; trial < to; ++trial) {
      ReportAll(rule, trial, std::vector<double>(69, 0.1));
      rule.Completed(trial);
    }
  };
  complete(20, 23);  // the median of eight is (50 + 69) / 2: 5.95 reports
  EXPECT_FALSE(rule.Report(12, 5, 9).stop);
  EXPECT_TRUE(rule.Report(12, 6, 9).stop);
  complete(23, 25);  // 69: 6.9 reports
  EXPECT_FALSE(rule.Report(13, 6, 9).stop);
  EXPECT_TRUE(rule.Report(13, 7, 9).stop);
  EXPECT_TRUE(rule.Report(12, 6, 9).stop) << "what was decided stays";
}

TEST(MedianStopping, ConstantValuesAreTiesExactly) {
  for (const bool maximize : {false, true}) {
    for (const double value : {0.1, -0.1, 0.7, 5e-324, 1.7e308, kNan, kInfinity}) {
      MedianStopping rule(maximize);
      for (uint32_t trial = 0; trial < 12; ++trial) {
        for (uint32_t count = 1; count <= 60; ++count) EXPECT_FALSE(rule.Report(trial, count, value).stop) << value;
      }
    }
  }
}

TEST(MedianStopping, WhatIsNotFiniteIsTheWorst) {
  for (const double bad : {kNan, kInfinity, -kInfinity}) {
    MedianStopping rule(/*maximize=*/true);
    // Undefined at first, as some metrics are: the mean is of what is known.
    for (uint32_t trial = 0; trial < 5; ++trial) ReportAll(rule, trial, {bad, bad, 0.4, 0.6, bad});
    EXPECT_FALSE(rule.Report(5, 2, bad).stop) << "as all the others";
    EXPECT_FALSE(rule.Report(6, 4, 0.5).stop);
    EXPECT_TRUE(rule.Report(7, 4, 0.49).stop);
    EXPECT_TRUE(rule.Report(8, 4, bad).stop);
    EXPECT_FALSE(rule.Report(6, 5, 0.1).stop) << "all others diverged";
    EXPECT_FALSE(rule.Report(9, 5, bad).stop) << "as they";
  }
  MedianStopping rule(/*maximize=*/false);
  for (uint32_t trial = 0; trial < 5; ++trial) ReportAll(rule, trial, {1, 1});
  rule.Report(5, 1, kNan);
  EXPECT_EQ(rule.Report(5, 2, kNan).reason,
            "nan at epoch 2 is worse than 1, the median of the running means of 5 jobs");
}

// Straight from the definition, with no state.
TEST(MedianStopping, AgreesWithTheDefinitionOnRandomRuns) {
  uint32_t stops = 0, judged = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const bool maximize = seed % 2 == 0;
    MedianStopping rule(maximize);
    Random random(seed);
    std::map<uint32_t, std::vector<double>> values;
    std::map<uint32_t, bool> ended;
    std::vector<double> lengths;
    for (uint32_t step = 0; step < 800; ++step) {
      const auto trial = static_cast<uint32_t>(random.Below(30));
      if (ended[trial]) continue;
      auto& own = values[trial];
      const double value = std::floor(random.Unit() * 16) / 8 - 1;  // sums of these are exact
      std::vector<double> means;
      for (const auto& [other, reported] : values) {
        if (other == trial || reported.size() <= own.size()) continue;
        const auto end = reported.begin() + static_cast<long>(own.size()) + 1;
        means.push_back(std::accumulate(reported.begin(), end, 0.0) / static_cast<double>(own.size() + 1));
      }
      own.push_back(value);
      const auto median = [](std::vector<double> all) {
        std::sort(all.begin(), all.end());
        return (all[(all.size() - 1) / 2] + all[all.size() / 2]) / 2;
      };
      const double grace = std::max(1.0, lengths.empty() ? 0 : median(lengths) / 10);
      const StopDecision decision = rule.Report(trial, static_cast<uint32_t>(own.size()), value);
      if (static_cast<double>(own.size()) <= grace || means.size() < 5) {
        EXPECT_FALSE(decision.stop);
      } else if (const double distance = value - median(means);
                 std::abs(distance) > 1e-12) {  // rounding may break a tie
        EXPECT_EQ(decision.stop, maximize ? distance < 0 : distance > 0);
        ++judged;
      }
      EXPECT_EQ(decision.stop, !decision.reason.empty());
      if (decision.stop) {
        ++stops;
        ended[trial] = true;
      } else if (random.Below(40) == 0) {
        ended[trial] = true;
        lengths.push_back(static_cast<double>(own.size()));
        rule.Completed(trial);
      }
    }
  }
  EXPECT_GT(stops, 100u);
  EXPECT_GT(judged, stops + 100);
}

TEST(MedianStopping, TheSameReportsGiveTheSameDecisions) {
  struct Event {
    uint32_t trial, count;  // count 0: completed
    double value;
    StopDecision decision;
  };
  std::vector<Event> events;
  MedianStopping rule(/*maximize=*/false);
  Random random(5);
  std::map<uint32_t, uint32_t> counts;
  for (uint32_t step = 0; step < 1000; ++step) {
    const auto trial = static_cast<uint32_t>(random.Below(40));
    const double value = random.Unit();
    events.push_back({trial, ++counts[trial], value, rule.Report(trial, counts[trial], value)});
    if (counts[trial] != 25) continue;
    events.push_back({trial, 0, 0, {}});
    rule.Completed(trial);
  }
  MedianStopping twice(/*maximize=*/false);
  const auto apply = [&](const Event& event) {
    if (event.count == 0) {
      twice.Completed(event.trial);
    } else {
      EXPECT_EQ(twice.Report(event.trial, event.count, event.value), event.decision);
    }
  };
  uint32_t stops = 0;
  for (size_t i = 0; i < events.size(); ++i) {
    apply(events[i]);
    apply(events[random.Below(i + 1)]);
    stops += events[i].decision.stop;
  }
  for (const Event& event : events) apply(event);
  EXPECT_GT(stops, 100u);
  EXPECT_GT(std::count_if(events.begin(), events.end(), [](const Event& event) { return event.count == 0; }), 5);
}

}  // namespace
}  // namespace leat::search
