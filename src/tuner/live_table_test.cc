// SPDX-License-Identifier: Apache-2.0
#include "tuner/live_table.h"

#include <gmock/gmock.h>

#include <limits>

#include "base/text.h"
#include "tuner/display_text.h"
#include "tuner/study_testing.h"

namespace leat::tuner {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> Lines(const std::string& text) {
  auto lines = Split(text, '\n');
  EXPECT_EQ(lines.back(), "");
  lines.pop_back();
  return lines;
}

TEST(LiveTable, TellsHowTheTuningJobStands) {
  Study study = EmptyStudy("shapes", {NumberRange("x", 0, 1)});
  study.job.jobs_max = 10;
  study.job.parallel_max = 2;
  for (int i = 0; i < 3; ++i) AddTrial(study, {{"x", "0.5"}}, 0.25 * (i + 1));
  AddTrial(study, {{"x", "0.5"}}, std::nullopt, "Failed");
  AddTrial(study, {{"x", "0.5"}}, std::nullopt, "InProgress");  // begins in the fifth minute
  // Jobs take a minute, six are to come, two at once; one has run for half a minute.
  const auto lines = Lines(LiveTable("shapes", study, 120, 24, kStudyStart + 270 * kSecond, true));
  EXPECT_EQ(lines[0],
            "shapes  Bayesian  4 of 10 done, 1 running, 1 failed  best 0.75  4 min 30 s, about 2 min 45 s left");
  EXPECT_THAT(lines[1], ContainsRegex("# +status +objective +x"));
  EXPECT_THAT(lines[2], ContainsRegex("^\\*3 +Completed +0.75 +0.5$"));
  EXPECT_THAT(lines[3], ContainsRegex("^ 2 +Completed +0.5 "));
  EXPECT_THAT(lines[5], ContainsRegex("^>5 +InProgress +- "));  // before those that failed
  EXPECT_THAT(lines[6], ContainsRegex("^ 4 +Failed +- "));
  EXPECT_EQ(lines.size(), 7u);
}

TEST(LiveTable, TellsNoTimeLeftThatNobodyKnows) {
  Study study = EmptyStudy("shapes", {NumberRange("x", 0, 1)});
  EXPECT_THAT(LiveTable("shapes", study, 80, 24, kStudyStart, true), Not(HasSubstr("left")));
  AddTrial(study, {{"x", "0.5"}}, 0.5);
  EXPECT_THAT(LiveTable("shapes", study, 80, 24, kStudyStart, true), HasSubstr("left"));
  study.job.is_limited_by_jobs = false;
  EXPECT_THAT(LiveTable("shapes", study, 80, 24, kStudyStart, true), Not(HasSubstr("left")));
  EXPECT_THAT(LiveTable("shapes", study, 80, 24, kStudyStart, true), HasSubstr("  1 done, 0 running"));
  study.job.max_runtime_s = 100;
  EXPECT_THAT(LiveTable("shapes", study, 80, 24, kStudyStart + 60 * kSecond, true), HasSubstr("about 40 s left"));
  study.status = "Stopped";
  study.ended_ns = kStudyStart + 70 * kSecond;
  EXPECT_THAT(LiveTable("shapes", study, 80, 24, kStudyStart + 99 * kSecond, true), HasSubstr("Stopped"));
  EXPECT_THAT(LiveTable("shapes", study, 80, 24, kStudyStart + 99 * kSecond, true), HasSubstr("1 min 10 s\n"));
}

TEST(LiveTable, FitsEveryTerminal) {
  for (const uint32_t trials : {0u, 1u, 5u, 60u}) {
    Study study = TrainingStudy(trials, 30);
    study.schedule = "学习率 waits";
    for (size_t i = 0; i < study.trials.size(); i += 2) {
      study.trials[i].tuned["optimizer"] = "学习率\x1b[2J\u202e" + std::string(60, 'o');
    }
    for (const bool is_utf8 : {true, false}) {
      for (size_t columns = 0; columns <= 200; columns += columns < 40 ? 1 : 17) {
        for (const size_t lines : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 24u, 70u}) {
          const auto text = LiveTable("学习率学习率学习率", study, columns, lines, study.modified_ns, is_utf8);
          const auto drawn = Split(text, '\n');
          EXPECT_LE(drawn.size(), lines + 1);
          for (const auto& line : drawn) ASSERT_LE(DisplayColumns(line), columns) << line;
        }
      }
    }
  }
}

TEST(LiveTable, ShowsRunningJobsAndHowManyItLeavesOut) {
  const Study study = TrainingStudy(60, 30);
  const auto lines = Lines(LiveTable("shapes", study, 100, 12, study.modified_ns, true));
  ASSERT_EQ(lines.size(), 12u);
  EXPECT_EQ(std::ranges::count_if(lines, [](const auto& line) { return line[0] == '>'; }), 3);
  EXPECT_THAT(lines[3], testing::StartsWith("*"));
  EXPECT_THAT(lines.back(), HasSubstr("and 52 more"));
}

TEST(LiveTable, DrawsWhatAJobTold) {
  Study study = EmptyStudy("curves", {NumberRange("x", 0, 1)});
  AddTrial(study, {}, std::nullopt).reports = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 0}, {6, 0}, {7, 0}};
  AddTrial(study, {}, std::nullopt).reports = {
      {7, 0}, {std::nan(""), 0}, {std::numeric_limits<double>::infinity(), 0}, {0, 0}};
  const std::string table = LiveTable("shapes", study, 80, 24, kStudyStart, true);
  EXPECT_THAT(table, HasSubstr("  ▁▂▃▄▅▆▇█  -\n"));
  EXPECT_THAT(table, HasSubstr("  █  ▁      -\n"));
  const std::string ascii = LiveTable("shapes", study, 80, 24, kStudyStart, false);
  EXPECT_THAT(ascii, HasSubstr("  _.:-=+*#  -\n"));
  EXPECT_TRUE(std::ranges::all_of(ascii, [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
}

TEST(LiveTable, DrawsAJobThatWasStoppedShorter) {
  Study study = EmptyStudy("curves", {NumberRange("x", 0, 1)});
  std::vector<Report> reports;
  for (int i = 0; i < 160; ++i) reports.push_back({static_cast<double>(i), 0});
  AddTrial(study, {}, std::nullopt).reports = reports;
  reports.resize(80);
  AddTrial(study, {}, std::nullopt).reports = reports;
  const auto lines = Lines(LiveTable("shapes", study, 80, 24, kStudyStart, true));
  EXPECT_THAT(lines[3], testing::EndsWith("  ▁▁▂▂▃▃▄▄▅▅▆▆▇▇██  -"));
  EXPECT_THAT(lines[4], testing::EndsWith("  ▁▁▂▂▃▃▄▄          -"));
}

TEST(LiveTable, ShowsTheMostTellingHyperparametersThatFit) {
  Study study =
      EmptyStudy("numbers", {NumberRange("little", 0, 1), NumberRange("most", 0, 1), NumberRange("nothing", 0, 1)});
  Random random(5);
  for (int i = 0; i < 100; ++i) {
    const double most = random.Unit(), little = random.Unit();
    AddTrial(study,
             {{"little", ShortNumber(little)}, {"most", ShortNumber(most)}, {"nothing", ShortNumber(random.Unit())}},
             3 * most + little);
  }
  const auto head = [&](size_t columns) {
    return Lines(LiveTable("numbers", study, columns, 24, study.modified_ns, true))[columns < 80 ? 2 : 1];
  };
  EXPECT_THAT(head(36), ContainsRegex("objective +most$"));
  EXPECT_THAT(head(44), ContainsRegex("objective +most +little$"));
  EXPECT_THAT(head(120), ContainsRegex("objective +most +little +nothing$"));
}

TEST(LiveTable, SaysWhyNothingIsStarted) {
  Study study = TrainingStudy(5, 10);
  study.schedule = "the data are being fetched";
  EXPECT_THAT(LiveTable("shapes", study, 80, 24, study.modified_ns, true),
              HasSubstr("\nwaiting: the data are being fetched\n"));
}

}  // namespace
}  // namespace leat::tuner
