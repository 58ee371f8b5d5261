// SPDX-License-Identifier: Apache-2.0
#include "tuner/html_report.h"

#include <gmock/gmock.h>

#include <limits>

#include "tuner/report_charts.h"
#include "tuner/study_testing.h"

namespace leat::tuner {
namespace {

using testing::HasSubstr;
using testing::Not;

size_t CountOf(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

// Elements that HTML lets stand open, and those that close themselves.
bool IsOpenByNature(const std::string& name) {
  for (const char* other : {"meta", "!DOCTYPE", "tr", "td", "th"}) {
    if (name == other) return true;
  }
  return false;
}

// The elements that are open at the end of the page, and those that end without a beginning.
std::string Unbalanced(const std::string& page) {
  std::vector<std::string> open;
  for (size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at)) {
    const size_t end = page.find('>', at);
    if (end == std::string::npos) return "a tag without an end at " + page.substr(at, 40);
    const bool is_end = page[at + 1] == '/', is_alone = page[end - 1] == '/';
    const size_t from = at + (is_end ? 2 : 1);
    const std::string name = page.substr(from, page.find_first_of(" >/", from) - from);
    at = end;
    if (is_end) {
      if (open.empty() || open.back() != name)
        return "</" + name + "> inside <" + (open.empty() ? "" : open.back()) + ">";
      open.pop_back();
    } else if (!is_alone && !IsOpenByNature(name)) {
      open.push_back(name);
      if (name == "script" || name == "style") at = page.find("</" + name, end);
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> is open";
}

TEST(HtmlReport, ShowsAStudy) {
  const Study study = TrainingStudy(80, 30);
  const std::string page = HtmlReport(study.job.name, study, study.modified_ns);
  EXPECT_EQ(Unbalanced(page), "");
  const Trial* best = BestTrial(study);
  for (const std::string& text :
       {std::string("<h1>image-classification"), best->job_name, best->tuned.at("learning-rate"),
        ShortNumber(*best->objective), std::string("of at most 80"), std::string("median 0.842 of 9 jobs at report"),
        std::string("CUDA out of memory")}) {
    EXPECT_THAT(page, HasSubstr(text));
  }
  for (const char* chart : {"history", "intermediate", "timeline", "parallel-0", "importance-0", "slice-0"}) {
    EXPECT_EQ(CountOf(page, "<figure id=\"" + std::string(chart) + "\""), 1u) << chart;
  }
  EXPECT_EQ(CountOf(page, "<div class=\"slice\">"), 6u);
  EXPECT_EQ(CountOf(page, "<tr id=\"t"), 80u);
  EXPECT_EQ(CountOf(page, "role=\"img\""), CountOf(page, "<desc"));
}

TEST(HtmlReport, IsAllInOneFile) {
  const std::string page = HtmlReport("job", TrainingStudy(30, 10), kStudyStart);
  for (const char* reference : {"http:", "https:", "src=", "@import", "url("})
    EXPECT_THAT(page, Not(HasSubstr(reference)));
}

TEST(HtmlReport, EscapesWhatUsersWrite) {
  const std::string bad = "</title><script>alert('x')</script>\"&\x01\xff";
  Study study = EmptyStudy("job", {CategoryRange(bad, {bad, "b"}), NumberRange("x", 0, 1)});
  study.job.name = study.status = study.failure_reason = study.completed_by = study.schedule = bad;
  study.warnings = {bad};
  study.job.definitions[0].objective = study.job.definitions[0].name = bad;
  study.job.definitions.push_back(study.job.definitions[0]);
  for (int i = 0; i < 24; ++i) {
    Trial& trial = AddTrial(study, {{bad, i % 3 ? bad : "b"}, {"x", "0.5"}}, i / 24.0, i % 5 ? "Completed" : bad);
    trial.job_name = trial.stop_reason = trial.state.failure_reason = trial.state.secondary = bad;
    trial.definition = i % 2;
    trial.reports.push_back({0.5, kStudyStart});
  }
  const std::string page = HtmlReport(study.job.name, study, kStudyStart);
  EXPECT_EQ(CountOf(page, "<script>"), 1u);  // ours
  EXPECT_THAT(page, Not(HasSubstr("alert('")));
  EXPECT_THAT(page, HasSubstr("&lt;/title&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;\\x01\\xff"));
  EXPECT_EQ(Unbalanced(page), "");
}

TEST(HtmlReport, OfAThousandTrialsIsBelow3MB) {
  const Study study = TrainingStudy(1000, 300, 24);  // 30 hyperparameters
  ASSERT_EQ(study.job.definitions[0].ranges.size(), 30u);
  const std::string page = HtmlReport(study.job.name, study, study.modified_ns);
  EXPECT_LT(page.size(), 3000000u);
  EXPECT_EQ(CountOf(page, "<tr id=\"t"), 1000u);
}

TEST(HtmlReport, CutsLongTexts) {
  Study study = EmptyStudy("job", {CategoryRange("x", {std::string(256, 'v')})});
  AddTrial(study, {{"x", std::string(256, 'v')}}, std::nullopt, "Failed").state.failure_reason = std::string(1024, 'r');
  const std::string page = HtmlReport(study.job.name, study, kStudyStart);
  EXPECT_THAT(page, Not(HasSubstr(std::string(70, 'v'))));
  EXPECT_THAT(page, Not(HasSubstr(std::string(250, 'r'))));
}

TEST(HtmlReport, OfAStudyWithoutTrials) {
  const std::string page = HtmlReport("empty", EmptyStudy("empty", {NumberRange("x", 0, 1)}), kStudyStart);
  EXPECT_THAT(page, HasSubstr("No training job was started."));
  EXPECT_THAT(page, Not(HasSubstr("<figure")));
  EXPECT_EQ(Unbalanced(page), "");
}

TEST(HtmlReport, OfJobsThatAllFailed) {
  Study study = EmptyStudy("bad", {NumberRange("x", 0, 1)});
  for (int i = 0; i < 5; ++i)
    AddTrial(study, {{"x", "0.5"}}, std::nullopt, "Failed").state.failure_reason = "AlgorithmError: no";
  const std::string page = HtmlReport(study.job.name, study, kStudyStart);
  EXPECT_THAT(page, HasSubstr("No training job has told its objective."));
  EXPECT_EQ(CountOf(HistoryChart(study), "class=\"fa\"><svg"), 5u);
  EXPECT_EQ(Unbalanced(page), "");
}

TEST(HtmlReport, KeepsNumbersThatAreNoneOutOfTheCharts) {
  Study study = EmptyStudy("odd", {NumberRange("x", 0, 1)}, false);
  const double values[] = {1, std::nan(""), std::numeric_limits<double>::infinity(), -3, 1e308, 2};
  for (const double value : values) AddTrial(study, {{"x", "0.25"}}, value).reports.push_back({value, kStudyStart});
  const std::string page = HtmlReport(study.job.name, study, kStudyStart);
  const std::string charts = HistoryChart(study) + IntermediateChart(study) + SliceCharts(study, 0, {});
  for (const char* text : {"d=\"nan", "Mnan", "\"inf", "\"-nan", "Lnan"}) EXPECT_THAT(page, Not(HasSubstr(text)));
  EXPECT_EQ(CountOf(HistoryChart(study), "<circle class=\"o\" cx="), 4u + 1u);  // and the legend's
}

TEST(HtmlReport, HasASectionForEachDefinition) {
  Study study = TrainingStudy(60, 10);
  study.job.definitions.push_back(study.job.definitions[0]);
  study.job.definitions[0].name = "first";
  study.job.definitions[1].name = "second";
  for (auto& trial : study.trials) trial.definition = trial.number % 2;
  const std::string page = HtmlReport(study.job.name, study, study.modified_ns);
  EXPECT_THAT(page, HasSubstr("Hyperparameters of second"));
  EXPECT_EQ(CountOf(page, "<figure id=\"parallel-"), 2u);
}

TEST(HistoryChart, DrawsTheBestSoFar) {
  Study study = EmptyStudy("steps", {NumberRange("x", 0, 1)}, false);
  for (const double value : {5.0, 7.0, 3.0, 4.0}) AddTrial(study, {{"x", "0.5"}}, value);
  const std::string chart = HistoryChart(study);
  // Begins half way down (5 in 3 to 7), one step to the lowest place, then on to the last job.
  EXPECT_THAT(chart, testing::ContainsRegex("class=\"best\" d=\"M[0-9]+ 120H[0-9]+V240H[0-9]+\""));
}

TEST(OutcomeOf, SaysHowATrialEnded) {
  Study study = EmptyStudy("ends", {NumberRange("x", 0, 1)});
  EXPECT_EQ(OutcomeOf(AddTrial(study, {}, 1.0)), Outcome::kSucceeded);
  EXPECT_EQ(OutcomeOf(AddTrial(study, {}, 1.0, "Stopped")), Outcome::kStopped);
  EXPECT_EQ(OutcomeOf(AddTrial(study, {}, 1.0, "Failed")), Outcome::kFailed);
  EXPECT_EQ(OutcomeOf(AddTrial(study, {}, std::nullopt)), Outcome::kFailed);
  EXPECT_EQ(OutcomeOf(AddTrial(study, {}, 1.0, "InProgress")), Outcome::kRunning);
}

}  // namespace
}  // namespace leat::tuner
