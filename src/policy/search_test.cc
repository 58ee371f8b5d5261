// SPDX-License-Identifier: Apache-2.0
#include "policy/search.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

namespace leat::policy {
namespace {

ParameterRange Continuous(const char* name, const char* min, const char* max, Scaling scaling) {
  ParameterRange range;
  range.name = name;
  range.min_text = min;
  range.max_text = max;
  range.min = std::atof(min);
  range.max = std::atof(max);
  range.scaling = scaling;
  return range;
}

ParameterRange Integer(const char* name, int64_t min, int64_t max, Scaling scaling = Scaling::kAuto) {
  ParameterRange range;
  range.kind = ParameterRange::Kind::kInteger;
  range.name = name;
  range.integer_min = min;
  range.integer_max = max;
  range.scaling = scaling;
  return range;
}

ParameterRange Categories(const char* name, std::vector<std::string> values) {
  ParameterRange range;
  range.kind = ParameterRange::Kind::kCategorical;
  range.name = name;
  range.values = std::move(values);
  return range;
}

TEST(Search, ScalesMeetTheirBoundsAndMiddles) {
  EXPECT_EQ(ValueAt(Continuous("x", "1e-05", "0.1", Scaling::kLogarithmic), 0), "1e-05");
  EXPECT_EQ(ValueAt(Continuous("x", "1e-05", "0.1", Scaling::kLogarithmic), 1), "0.1");
  EXPECT_EQ(ValueAt(Continuous("x", "1e-05", "0.1", Scaling::kLogarithmic), 0.5), "0.001");
  EXPECT_EQ(ValueAt(Continuous("x", "0.0001", "1", Scaling::kAuto), 0.5), "0.01");
  EXPECT_EQ(ValueAt(Continuous("x", "1", "3", Scaling::kAuto), 0.5), "2");
  EXPECT_EQ(ValueAt(Continuous("x", "0.9", "0.999", Scaling::kReverseLogarithmic), 0.5), "0.99");
  EXPECT_EQ(ValueAt(Continuous("x", "-1.5e308", "1.5e308", Scaling::kLinear), 1), "1.5e308");
  EXPECT_EQ(ValueAt(Integer("n", 1, 4), 0.0), "1");
  EXPECT_EQ(ValueAt(Integer("n", 1, 4), 0.9999), "4");
  EXPECT_EQ(ValueAt(Integer("n", 1, 10000, Scaling::kLogarithmic), 0.5), "100");
}

TEST(Search, RandomStaysInsideItsBoundsAndReachesTheWholeRange) {
  TuningJob job;
  job.ranges = {Continuous("lr", "0.001", "0.1", Scaling::kLogarithmic), Integer("n", 3, 6)};
  std::set<std::string> integers;
  double lowest = 1, highest = 0;
  std::vector<Suggestion> earlier;
  for (uint32_t i = 0; i < 400; ++i) {
    const Suggestion suggestion = Suggest(job, 9, i, earlier).value();
    const double lr = std::atof(suggestion.at("lr").c_str());
    EXPECT_GE(lr, 0.001);
    EXPECT_LE(lr, 0.1);
    lowest = std::min(lowest, lr);
    highest = std::max(highest, lr);
    integers.insert(suggestion.at("n"));
    earlier.push_back(suggestion);
  }
  EXPECT_EQ(integers, (std::set<std::string>{"3", "4", "5", "6"}));
  EXPECT_LT(lowest, 0.0012);
  EXPECT_GT(highest, 0.08);
}

TEST(Search, TheSameSeedGivesTheSameSuggestionsEverywhere) {
  TuningJob job;
  job.ranges = {Continuous("lr", "0.001", "0.1", Scaling::kLogarithmic), Categories("opt", {"adam", "sgd"})};
  const Suggestion first = Suggest(job, 7, 0, {}).value();
  EXPECT_EQ(first, Suggest(job, 7, 0, {}).value());
  EXPECT_NE(first, Suggest(job, 8, 0, {}).value());
  EXPECT_NE(first, Suggest(job, 7, 1, {}).value());
  EXPECT_EQ(first.at("lr"), "0.012138601");
  EXPECT_EQ(first.at("opt"), "adam");
}

TEST(Search, RandomRepeatsNothingUntilASmallSpaceIsExhausted) {
  TuningJob job;
  job.ranges = {Categories("a", {"1", "2", "3"}), Integer("b", 1, 5)};
  std::vector<Suggestion> earlier;
  for (uint32_t i = 0; i < 15; ++i) earlier.push_back(Suggest(job, 3, i, earlier).value());
  EXPECT_EQ(std::set<Suggestion>(earlier.begin(), earlier.end()).size(), 15u);
  EXPECT_TRUE(Suggest(job, 3, 15, earlier).has_value());  // then it may
}

TEST(Search, ARangeWithoutAValueSuggestsNothing) {
  TuningJob job;
  job.ranges = {Continuous("lr", "0", "1", Scaling::kLinear), Categories("a", {})};
  EXPECT_EQ(Suggest(job, 0, 0, {}).error().code, ErrorCode::kNotFound);
}

TEST(Search, GridTriesEveryCombinationOnce) {
  TuningJob job;
  job.strategy = TuningJob::Strategy::kGrid;
  job.ranges = {Categories("a", {"x", "y"}), Integer("b", -1, 1)};
  std::set<Suggestion> seen;
  for (uint32_t i = 0; i < 6; ++i) seen.insert(Suggest(job, 0, i, {}).value());
  EXPECT_EQ(seen.size(), 6u);
  EXPECT_EQ(Suggest(job, 0, 0, {}).value(), (Suggestion{{"a", "x"}, {"b", "-1"}}));
  EXPECT_EQ(Suggest(job, 0, 6, {}).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace leat::policy
