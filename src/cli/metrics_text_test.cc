// SPDX-License-Identifier: Apache-2.0
#include "cli/metrics_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/text.h"
#include "cli/status_text.h"

namespace leat::cli {
namespace {

using jobs::MetricSample;
using testing::HasSubstr;

constexpr int64_t kSecond = 1000000000;
constexpr int64_t kStart = 1767323045 * kSecond;  // 2026-01-02T03:04:05Z
const double kNan = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

MetricSample Sample(const std::string& name, double value, double seconds) {
  return {name, value, kStart + static_cast<int64_t>(seconds * 1e9)};
}

void ExpectNarrow(const std::string& text) {
  for (const auto& line : Split(text, '\n')) EXPECT_LE(DisplayWidth(line), 80u) << line;
}

TEST(ChartTest, ARiseInAscii) {
  const ChartOptions options{.columns = 19, .rows = 5, .is_unicode = false, .begin_s = 0, .end_s = 10};
  EXPECT_EQ(DrawChart({{0, 0}, {5, 2}, {10, 4}}, options),
            "4 +              .*\n"
            "  |          ....\n"
            "  |       .*.\n"
            "  |   ....\n"
            "0 +*..\n"
            "  +----------------\n"
            "   0:00:00  0:00:10\n");
}

TEST(ChartTest, ARiseInBraille) {
  const ChartOptions options{.columns = 16, .rows = 3, .begin_s = 0, .end_s = 7200};
  EXPECT_EQ(DrawChart({{0, 0}, {7200, 1}}, options),
            "1 ┤         ⣀⠤⠒⠉\n"
            "  │    ⣀⡠⠔⠊⠉\n"
            "0 ┤⣀⠤⠒⠉\n"
            "  └─────────────\n"
            "   0:00:00\n");
}

TEST(ChartTest, ASingleSampleAndAConstant) {
  ChartOptions options{.columns = 20, .is_unicode = false, .begin_s = 3, .end_s = 3};
  EXPECT_EQ(DrawChart({{3, 0.25}}, options),
            "     |\n"
            "0.25 +*\n"
            "     |\n"
            "     +--------------\n"
            "      0:00:03\n");
  options.begin_s = 0;
  options.end_s = 100;
  EXPECT_EQ(DrawChart({{0, -2}, {100, -2}}, options),
            "   |\n"
            "-2 +*..............*\n"
            "   |\n"
            "   +----------------\n"
            "    0:00:00  0:01:40\n");
  EXPECT_EQ(DrawChart({}, options), "");
}

TEST(ChartTest, ManySamplesAreBinnedAndPeaksStay) {
  std::vector<ChartPoint> points;
  for (int i = 0; i < 300000; ++i) points.push_back({static_cast<double>(i), i == 150000 ? 10.0 : i % 2});
  const ChartOptions options{.columns = 30, .rows = 5, .is_unicode = false, .begin_s = 0, .end_s = 299999};
  EXPECT_EQ(DrawChart(points, options),
            "10 +             *\n"
            "   |             *\n"
            "   |             *\n"
            "   |            .*\n"
            " 0 +**************************\n"
            "   +--------------------------\n"
            "    0:00:00  41:39:59 83:19:59\n");
}

TEST(ChartTest, ExtremesStayInTheFrame) {
  const double huge = std::numeric_limits<double>::max();
  for (const bool is_unicode : {false, true}) {
    const std::string text =
        DrawChart({{0, -huge}, {1, huge}, {2, 1e-300}}, {.is_unicode = is_unicode, .begin_s = 0, .end_s = 2});
    ExpectNarrow(text);
    EXPECT_THAT(text, HasSubstr("1.798e+308"));
  }
  ExpectNarrow(DrawChart({{0, 1}, {1, std::nextafter(1, 2)}}, {.begin_s = 0, .end_s = 1e9}));
}

TEST(ChartTest, LabelsTellRowsApart) {
  const std::string text = DrawChart({{0, 0.99991}, {1, 0.99993}}, {.is_unicode = false, .begin_s = 0, .end_s = 1});
  EXPECT_THAT(text, HasSubstr("0.99991 +"));
  EXPECT_THAT(text, HasSubstr("0.99993 +"));
}

TEST(MetricsTextTest, TheTableHasRangesWithTheirTimes) {
  const auto metrics = SummarizeMetrics({Sample("loss", 2, 1), Sample("val:accuracy", 0.5, 2), Sample("loss", 0.5, 65),
                                         Sample("loss", 0.75, 3661), Sample("bad", kNan, 5)});
  EXPECT_EQ(MetricsTable(metrics, kStart),
            "metric        count  first  last  lowest      at  highest      at\n"
            "loss              3      2  0.75     0.5 0:01:05        2 0:00:01\n"
            "val:accuracy      1    0.5   0.5     0.5 0:00:02      0.5 0:00:02\n"
            "bad               1    NaN   NaN       -       -        -       -\n");
}

TEST(MetricsTextTest, ALongNameHasALineOfItsOwn) {
  const auto metrics = SummarizeMetrics({Sample(std::string(200, 'n'), -1.23456e-200, 1e6), Sample("a", 1, 1)});
  const std::string table = MetricsTable(metrics, kStart);
  ExpectNarrow(table);
  EXPECT_EQ(Split(table, '\n').size(), 5u);
}

TEST(MetricsTextTest, NotNumbersAndInfinitiesAreCountedInWords) {
  const std::vector<MetricSample> samples = {Sample("a", kNan, 1), Sample("a", kNan, 2), Sample("a", 1, 3),
                                             Sample("a", -kInfinity, 4), Sample("b", kInfinity, 5)};
  const std::string text = MetricCharts(samples, kStart, false);
  EXPECT_THAT(text, HasSubstr("(2 values are NaN and one value is infinite: not in the chart)\n"));
  EXPECT_THAT(text, HasSubstr("\nb\n(one value is infinite: not in the chart)\n"));
  const auto summary = SummarizeMetrics(samples);
  EXPECT_EQ(summary[0].lowest, 1);
  EXPECT_FALSE(summary[1].HasFinite());
}

TEST(MetricsTextTest, ChartsShareTheirTime) {
  const std::string text = MetricCharts({Sample("a", 1, 0), Sample("a", 2, 10), Sample("b", 1, 7200)}, kStart, true);
  ExpectNarrow(text);
  const std::string axis = "       0:00:00                          1:00:00                          2:00:00";
  size_t found = 0;
  for (const auto& line : Split(text, '\n')) found += line == axis;
  EXPECT_EQ(found, 2u) << text;
}

TEST(MetricsTextTest, CsvIsQuoted) {
  EXPECT_EQ(MetricsCsv({Sample("loss", 0.1, 1.5), Sample("a,\"b\"", kNan, -1), Sample("c", kInfinity, 0)}, kStart),
            "timestamp,seconds_since_start,metric,value\n"
            "2026-01-02T03:04:06.500Z,1.500,loss,0.1\n"
            "2026-01-02T03:04:04.000Z,-1.000,\"a,\"\"b\"\"\",NaN\n"
            "2026-01-02T03:04:05.000Z,0.000,c,Infinity\n");
}

TEST(MetricsTextTest, JsonHasSamplesAndRanges) {
  const auto json = MetricsJson({Sample("a", 2, 1), Sample("a", kNan, 2)}, kStart);
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json[0]["MetricName"], "a");
  EXPECT_EQ(json[0]["Count"], 2);
  EXPECT_EQ(json[0]["Last"], "NaN");
  EXPECT_EQ(json[0]["Lowest"], 2.0);
  EXPECT_EQ(json[0]["Samples"][0]["SecondsSinceStart"], 1.0);
  EXPECT_EQ(json[0]["Samples"][1]["Value"], "NaN");
}

TEST(MetricsTextTest, WithoutMetricsItIsToldWhy) {
  const std::string name(63, 'j');
  for (const auto& text :
       {NoMetricsText(name, 0, true), NoMetricsText(name, 3, false), NoMetricsText(name, 40, true)}) {
    ExpectNarrow(text);
  }
  EXPECT_THAT(NoMetricsText("j", 0, true), HasSubstr("--metric NAME=REGEX"));
  EXPECT_THAT(NoMetricsText("j", 2, false), HasSubstr("yet"));
  EXPECT_THAT(NoMetricsText("j", 2, true), HasSubstr("leat jobs logs j"));
}

TEST(MetricsTextTest, BrailleIsForTerminalsThatHaveIt) {
  EXPECT_TRUE(ShowsUnicode("", "", "en_US.UTF-8", "xterm"));
  EXPECT_TRUE(ShowsUnicode("C.utf8", "POSIX", "C", "xterm"));
  EXPECT_FALSE(ShowsUnicode("C", "", "en_US.UTF-8", "xterm"));
  EXPECT_FALSE(ShowsUnicode("", "", "", "xterm"));
  EXPECT_FALSE(ShowsUnicode("", "", "en_US.UTF-8", "linux"));
}

TEST(MetricsTextTest, TimesAreClocks) {
  EXPECT_EQ(ClockText(0.9), "0:00:00");
  EXPECT_EQ(ClockText(-0.5), "0:00:00");
  EXPECT_EQ(ClockText(-61), "-0:01:01");
  EXPECT_EQ(ClockText(360000), "100:00:00");
}

}  // namespace
}  // namespace leat::cli
