// SPDX-License-Identifier: Apache-2.0
#include "tuner/chart_axis.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tuner/study_testing.h"

namespace leat::tuner {
namespace {

using testing::ElementsAre;

std::vector<std::string> Texts(const ChartAxis& axis, size_t max) {
  std::vector<std::string> texts;
  for (const auto& mark : axis.Marks(max)) texts.push_back(mark.text);
  return texts;
}

TEST(ChartAxis, PutsValuesOnTheScaleOfTheirRange) {
  EXPECT_DOUBLE_EQ(*ChartAxis::OfRange(NumberRange("x", 10, 30)).Place("15"), 0.25);
  EXPECT_DOUBLE_EQ(*ChartAxis::OfRange(NumberRange("x", 1e-4, 1)).Place("0.01"), 0.5);
  EXPECT_DOUBLE_EQ(*ChartAxis::OfRange(NumberRange("x", 1e-4, 1, Scaling::kLinear)).Place("1e-4"), 0);
  const auto reverse = ChartAxis::OfRange(NumberRange("x", 0, 0.99, Scaling::kReverseLogarithmic));
  EXPECT_NEAR(*reverse.Place("0.9"), 0.5, 1e-12);
  EXPECT_DOUBLE_EQ(*ChartAxis::OfRange(CategoryRange("x", {"a", "b"})).Place("b"), 0.75);
  EXPECT_DOUBLE_EQ(*ChartAxis::OfRange(NumberRange("x", 3, 3)).Place("3"), 0.5);
}

TEST(ChartAxis, HasNoPlaceForWhatIsNoValue) {
  EXPECT_EQ(ChartAxis::OfRange(CategoryRange("x", {"a", "b"})).Place("c"), std::nullopt);
  for (const char* text : {"", "1x", "nan", "inf"}) {
    EXPECT_EQ(ChartAxis::OfRange(NumberRange("x", 0, 1)).Place(text), std::nullopt) << text;
  }
}

TEST(ChartAxis, MarksRoundNumbers) {
  EXPECT_THAT(Texts(ChartAxis::OfNumbers(0, 1), 5), ElementsAre("0", "0.2", "0.4", "0.6", "0.8", "1"));
  EXPECT_THAT(Texts(ChartAxis::OfRange(NumberRange("x", 1e-5, 0.3)), 5),
              ElementsAre("1e-5", "0.0001", "0.001", "0.01", "0.1"));
  EXPECT_THAT(Texts(ChartAxis::OfRange(IntegerRange("x", 1, 4)), 8), ElementsAre("1", "2", "3", "4"));
  EXPECT_THAT(Texts(ChartAxis::OfNumbers(1000000.1, 1000000.4), 3),
              ElementsAre("1000000.1", "1000000.2", "1000000.3", "1000000.4"));
  EXPECT_THAT(Texts(ChartAxis::OfNumbers(-2e7, 2e7), 4), ElementsAre("-2e7", "-1e7", "0", "1e7", "2e7"));
}

TEST(ChartAxis, MarksAreFewAndWithinWhateverTheRange) {
  const double far = std::numeric_limits<double>::max();
  std::vector<ParameterRange> ranges = {NumberRange("x", -far, far),
                                        NumberRange("x", 1e-300, 1e300),
                                        NumberRange("x", 5, 5),
                                        NumberRange("x", 0, 0.999999, Scaling::kReverseLogarithmic),
                                        NumberRange("x", 1, std::nextafter(1.0, 2.0)),
                                        IntegerRange("x", 1, 2)};
  for (const auto& range : ranges) {
    const auto marks = ChartAxis::OfRange(range).Marks(6);
    EXPECT_LE(marks.size(), 7u);
    for (const auto& mark : marks) {
      EXPECT_GE(mark.place, -1e-6);
      EXPECT_LE(mark.place, 1 + 1e-6);
    }
  }
}

TEST(ChartAxis, OfObjectivesLeavesOutWhatIsFarAstray) {
  std::vector<double> values;
  for (int i = 0; i < 40; ++i) values.push_back(-0.5 + 0.01 * i);
  const double nan = std::nan("");
  values.push_back(nan);
  const auto without = ChartAxis::OfObjectives(values, false);
  EXPECT_DOUBLE_EQ(without.Place(-0.5), 0);
  EXPECT_DOUBLE_EQ(without.Place(-0.11), 1);
  values.push_back(1000);
  const auto with = ChartAxis::OfObjectives(values, false);
  EXPECT_GT(with.Place(-0.11), 0.6);
  EXPECT_GT(with.Place(1000.0), 1);
  // The best is never left out.
  EXPECT_DOUBLE_EQ(ChartAxis::OfObjectives(values, true).Place(1000.0), 1);
}

TEST(ChartAxis, OfObjectivesIsLogarithmicOverPowersOfTen) {
  EXPECT_DOUBLE_EQ(ChartAxis::OfObjectives({0.001, 0.1, 10}, false).Place(0.1), 0.5);
  EXPECT_DOUBLE_EQ(ChartAxis::OfObjectives({0, 5, 10}, false).Place(5.0), 0.5);
  EXPECT_DOUBLE_EQ(ChartAxis::OfObjectives({3}, false).Place(3.0), 0.5);
  EXPECT_DOUBLE_EQ(ChartAxis::OfObjectives({}, false).Place(0.5), 0.5);
}

TEST(ShortNumber, HasNoZerosThatSayNothing) {
  EXPECT_EQ(ShortNumber(0.25), "0.25");
  EXPECT_EQ(ShortNumber(0.00001), "1e-5");
  EXPECT_EQ(ShortNumber(1e20), "1e20");
  EXPECT_EQ(ShortNumber(1.23456789, 3), "1.23");
  EXPECT_EQ(ShortNumber(std::nan("")), "NaN");
  EXPECT_EQ(ShortNumber(-std::numeric_limits<double>::infinity()), "-Infinity");
}

}  // namespace
}  // namespace leat::tuner
