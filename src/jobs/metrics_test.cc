// SPDX-License-Identifier: Apache-2.0
#include "jobs/metrics.h"

#include <gmock/gmock.h>

#include <cmath>

namespace leat::jobs {
namespace {

std::vector<MetricSample> ReadLine(const std::vector<MetricDefinition>& definitions, std::string_view line) {
  std::vector<MetricSample> samples;
  MetricReader::Make(definitions).value()->Read(line, 5, samples);
  return samples;
}

TEST(Metrics, FindsNumbersAnywhereInALine) {
  const auto samples = ReadLine({{"acc", "val_acc=([0-9.]+)"}, {"loss", "loss=(\\S+)"}, {"none", "nothing=(.*)"}},
                                "epoch 1 loss=-1.5e-3 val_acc=0.75;");
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[0].name, "acc");
  EXPECT_EQ(samples[0].value, 0.75);
  EXPECT_EQ(samples[1].value, -1.5e-3);
  EXPECT_EQ(samples[1].at_ns, 5);
}

TEST(Metrics, KeepsNanAndSkipsWhatIsNoNumber) {
  EXPECT_TRUE(std::isnan(ReadLine({{"l", "l=(\\w+)"}}, "l=nan").at(0).value));
  EXPECT_TRUE(ReadLine({{"l", "l=(\\w+)"}}, "l=high").empty());
  EXPECT_TRUE(ReadLine({{"l", "l=(\\w+)"}}, "l=0x10").empty());
  EXPECT_TRUE(ReadLine({{"l", "l=([0-9]+)?;"}}, "l=;").empty());
  EXPECT_EQ(ReadLine({{"l", "l=([0-9]+)"}}, std::string_view("\0\xff l=1", 7)).size(), 1u);
}

TEST(Metrics, SpaceAroundANumberIsNoneOfIt) {
  EXPECT_EQ(ReadLine({{"l", "l=([^,]*),"}}, "l= 0.5\t , x").at(0).value, 0.5);
  EXPECT_TRUE(ReadLine({{"l", "l=([^,]*),"}}, "l= , x").empty());
}

TEST(Metrics, WhatWasNeverANumberIsKnown) {
  const auto reader = MetricReader::Make({{"never", "n=(\\S+)"}, {"once", "o=(\\S+)"}, {"unset", "u(=.)?"}}).value();
  std::vector<MetricSample> samples;
  for (const char* line : {"n=0.5, o=high u", "n=0.7, o=1"}) reader->Read(line, 0, samples);
  EXPECT_THAT(
      reader->NeverNumbers({}),
      testing::ElementsAre("metric never has no value: its regular expression matched, but its group never held "
                           "a number; the first time it held '0.5,'"));
  EXPECT_THAT(reader->NeverNumbers({{"never", 1.0, 0}}), testing::IsEmpty());
}

TEST(Metrics, AnExpensiveExpressionEnds) {
  EXPECT_TRUE(ReadLine({{"x", "(a+)+$"}}, std::string(40, 'a') + "!").empty());
}

TEST(Metrics, ABadExpressionIsNamed) {
  const auto reader = MetricReader::Make({{"ok", "(a)"}, {"bad", "a("}});
  ASSERT_FALSE(reader);
  EXPECT_THAT(reader.error().message, testing::HasSubstr("MetricDefinitions[1].Regex = \"a(\""));
  EXPECT_THAT(MetricReader::Make({{"l", "l=[0-9]+"}}).error().message, testing::HasSubstr("has no capture group"));
}

TEST(Metrics, AllThatIsWrongIsTold) {
  const auto problems = MetricReader::Check({{"a", "a=("}, {"b", "b=(.*)"}, {"c", "c=[0-9]+"}});
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_EQ(problems[0].path, "AlgorithmSpecification.MetricDefinitions[0].Regex");
  EXPECT_EQ(problems[0].value, "\"a=(\"");
  EXPECT_THAT(problems[1].ToString(), testing::HasSubstr("MetricDefinitions[2].Regex"));
}

TEST(Metrics, OnlyTheStartOfALineIsSearched) {
  std::string line(4093, ' ');
  line += "l=1";
  EXPECT_EQ(ReadLine({{"l", "l=([0-9]+)"}}, line).size(), 1u);
  EXPECT_TRUE(ReadLine({{"l", "l=([0-9]+)"}}, " " + line).empty());
}

TEST(Metrics, AnExpressionThatHasSpentItsTimeIsDroppedAndToldOfOnce) {
  MetricLimits limits;
  limits.search_time = std::chrono::nanoseconds(0);
  limits.search_share = 0;
  const auto reader = MetricReader::Make({{"l", "l=([0-9]+)"}}, limits).value();
  std::vector<MetricSample> samples;
  reader->Read("l=1", 0, samples);
  EXPECT_THAT(reader->TakeWarnings(), testing::ElementsAre(testing::HasSubstr("metric l is read no longer")));
  reader->Read("l=2", 0, samples);
  EXPECT_EQ(samples.size(), 1u);
  EXPECT_TRUE(reader->TakeWarnings().empty());
}

TEST(LineSplitter, CutsLinesAcrossPieces) {
  LineSplitter splitter;
  std::vector<std::string> lines;
  const auto keep = [&](std::string_view line) { lines.emplace_back(line); };
  splitter.Add("one\ntw", keep);
  splitter.Add("o\n\nbar 10%\rbar 20%\r\nlast", keep);
  splitter.Finish(keep);
  EXPECT_THAT(lines, testing::ElementsAre("one", "two", "", "bar 10%", "bar 20%", "", "last"));
}

TEST(LineSplitter, BoundsALineWithoutAnEnd) {
  LineSplitter splitter;
  size_t pieces = 0, longest = 0;
  splitter.Add(std::string(5 * LineSplitter::kLineMax, 'x'), [&](std::string_view line) {
    ++pieces;
    longest = std::max(longest, line.size());
  });
  EXPECT_EQ(pieces, 5u);
  EXPECT_EQ(longest, LineSplitter::kLineMax);
}

}  // namespace
}  // namespace leat::jobs
