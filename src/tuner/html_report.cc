// SPDX-License-Identifier: Apache-2.0
#include "tuner/html_report.h"

#include <algorithm>

#include "base/text.h"
#include "jobs/failure.h"
#include "tuner/chart_axis.h"
#include "tuner/importance.h"
#include "tuner/report_charts.h"
#include "tuner/report_style.h"
#include "tuner/study_report.h"

namespace leat::tuner {
namespace {

constexpr size_t kCellMax = 64, kReasonMax = 240;  // characters of a text that the table shows

std::string Count(size_t count) { return std::to_string(count); }

std::string Cut(const std::string& text, size_t characters_max) {
  const std::string start = CutToCharacters(text, characters_max);
  return EscapeMarkup(start) + (start.size() < text.size() ? "…" : "");
}

std::string Pair(const std::string& name, const std::string& value) {
  return "<div><dt>" + name + "</dt><dd>" + value + "</dd></div>";
}

double SecondsOf(const Trial& trial, int64_t now_ns) {
  if (!trial.state.started_ns) return 0;
  const int64_t end_ns = trial.state.ended_ns.value_or(trial.is_done ? *trial.state.started_ns : now_ns);
  return static_cast<double>(std::max<int64_t>(0, end_ns - *trial.state.started_ns)) / 1e9;
}

bool HasManyDefinitions(const Study& study) { return study.job.definitions.size() > 1; }

std::string BestCard(const Study& study) {
  const Trial* best = BestTrial(study);
  if (!best)
    return "<section class=\"card\"><h3>Best training job</h3><p class=\"soft\">No training job has told its "
           "objective.</p></section>";
  const auto& definition = study.job.definitions[best->definition];
  std::string card = "<section class=\"card\"><h3>Best training job</h3><p class=\"big\">" +
                     ShortNumber(*best->objective) + "</p><p class=\"soft\">" + EscapeMarkup(definition.objective) +
                     ", " + (definition.maximize ? "higher is better" : "lower is better") + "</p><p><a href=\"#t" +
                     Count(best->number) + "\">" + EscapeMarkup(best->job_name) + "</a></p><dl class=\"pairs\">";
  if (!definition.name.empty()) card += Pair("definition", EscapeMarkup(definition.name));
  for (const auto& [name, value] : best->tuned) card += Pair(EscapeMarkup(name), Cut(value, kReasonMax));
  return card + "</dl></section>";
}

std::string CountsCard(const Study& study, int64_t now_ns) {
  size_t counts[4] = {};
  double seconds = 0;
  for (const auto& trial : study.trials) {
    ++counts[static_cast<size_t>(OutcomeOf(trial))];
    seconds += SecondsOf(trial, now_ns);
  }
  const bool is_limited = study.job.is_limited_by_jobs;
  const double elapsed = static_cast<double>(study.ended_ns.value_or(now_ns) - study.created_ns) / 1e9;
  std::string card = "<section class=\"card\"><h3>Training jobs</h3><p class=\"big\">" + Count(study.trials.size()) +
                     "</p><p class=\"soft\">" +
                     (is_limited ? "of at most " + Count(study.job.jobs_max) : std::string("without a limit")) +
                     ", up to " + Count(study.job.parallel_max) + " at once</p><dl class=\"pairs\">";
  for (const auto outcome : {Outcome::kSucceeded, Outcome::kStopped, Outcome::kFailed, Outcome::kRunning}) {
    card += Pair(std::string(OutcomeText(outcome)), Count(counts[static_cast<size_t>(outcome)]));
  }
  card += Pair("elapsed", FormatSeconds(elapsed)) + Pair("time of all jobs", FormatSeconds(seconds));
  return card + Pair("random seed", std::to_string(study.seed)) + "</dl></section>";
}

std::string Notes(const Study& study) {
  std::vector<std::string> notes;
  if (!study.failure_reason.empty()) notes.push_back(study.failure_reason);
  if (!study.completed_by.empty()) notes.push_back("Ended by: " + study.completed_by);
  if (!study.schedule.empty()) notes.push_back("Waiting: " + study.schedule);
  notes.insert(notes.end(), study.warnings.begin(), study.warnings.end());
  if (notes.empty()) return "";
  std::string list = "<ul class=\"notes\">";
  for (const auto& note : notes) list += "<li>" + Cut(note, jobs::kFailureReasonMax) + "</li>";
  return list + "</ul>";
}

std::vector<std::string> TunedNames(const Study& study) {
  std::vector<std::string> names;
  for (const auto& definition : study.job.definitions) {
    for (const auto& range : definition.ranges) names.push_back(range.name);
  }
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::string TrialRow(const Study& study, const Trial& trial, const Trial* best, const std::vector<std::string>& names,
                     int64_t now_ns) {
  std::string row = "<tr id=\"t" + Count(trial.number) + "\" class=\"" + std::string(ClassOf(OutcomeOf(trial))) +
                    (&trial == best ? " top" : "") + "\"><td class=\"v\">" + Count(trial.number) + "<td>" +
                    EscapeMarkup(trial.job_name);
  if (HasManyDefinitions(study)) row += "<td>" + EscapeMarkup(study.job.definitions[trial.definition].name);
  const bool is_preparing = !trial.is_done && trial.state.status == "InProgress";
  row += "<td class=\"s\">" + EscapeMarkup(is_preparing ? trial.state.secondary : trial.state.status);
  row += "<td class=\"v\">" + (trial.objective ? ShortNumber(*trial.objective) : std::string());
  for (const auto& name : names) {
    const auto value = trial.tuned.find(name);
    row += "<td class=\"v\">" + (value == trial.tuned.end() ? std::string() : Cut(value->second, kCellMax));
  }
  const double seconds = SecondsOf(trial, now_ns);
  row += "<td class=\"v\" data-v=\"" + ShortNumber(seconds) + "\">" +
         (trial.state.started_ns ? FormatSeconds(seconds) : std::string());
  return row + "<td class=\"v\">" + Count(trial.reports.size()) + "<td class=\"why\">" +
         Cut(trial.stop_reason.empty() ? trial.state.failure_reason : trial.stop_reason, kReasonMax) + "\n";
}

std::string TrialTable(const Study& study, int64_t now_ns) {
  if (study.trials.empty()) return "<p class=\"card\">No training job was started.</p>";
  const auto names = TunedNames(study);
  const Trial* best = BestTrial(study);
  std::string table =
      "<div class=\"table\" tabindex=\"0\" role=\"region\" aria-label=\"All training jobs\"><table><thead><tr>"
      "<th class=\"v\" scope=\"col\">#<th scope=\"col\">training job";
  if (HasManyDefinitions(study)) table += "<th scope=\"col\">definition";
  table += "<th scope=\"col\">status<th class=\"v\" scope=\"col\">" +
           (HasManyDefinitions(study) ? "objective" : EscapeMarkup(study.job.definitions[0].objective));
  for (const auto& name : names) table += "<th class=\"v\" scope=\"col\">" + EscapeMarkup(name);
  table +=
      "<th class=\"v\" scope=\"col\">time<th class=\"v\" scope=\"col\">reports<th scope=\"col\">why it "
      "ended</thead><tbody>\n";
  for (const auto& trial : study.trials) table += TrialRow(study, trial, best, names, now_ns);
  return table + "</tbody></table></div>";
}

// Charts of the hyperparameters of one definition.
std::string DefinitionSection(const Study& study, size_t definition) {
  const auto importances = ImportancesOf(study, definition);
  const std::string charts = ParallelChart(study, definition, importances) + ImportanceChart(importances, definition) +
                             SliceCharts(study, definition, importances);
  if (charts.empty()) return "";
  std::string title = "Hyperparameters";
  if (HasManyDefinitions(study)) title += " of " + EscapeMarkup(study.job.definitions[definition].name);
  return "<h2>" + title + "</h2><div class=\"charts of\">" + charts + "</div>";
}

}  // namespace

std::string HtmlReport(const std::string& name, const Study& study, int64_t now_ns) {
  const std::string title = EscapeMarkup(name), status = EscapeMarkup(study.status);
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\"><title>" +
      title + " - tuning job</title><style>" + std::string(kReportStyle) + "</style></head><body><main><header><h1>" +
      title + " <span class=\"status " + status + "\">" + status + "</span></h1><p class=\"about\">" +
      StrategyName(study.job.strategy) + " tuning job, begun " + FormatTimeUtc(study.created_ns);
  if (study.ended_ns) page += ", ended " + FormatTimeUtc(*study.ended_ns);
  page +=
      "</p>" + Notes(study) + "</header><div class=\"head\">" + BestCard(study) + CountsCard(study, now_ns) + "</div>";
  const std::string progress = HistoryChart(study) + IntermediateChart(study) + TimelineChart(study, now_ns);
  if (!progress.empty()) page += "<h2>Progress</h2><div class=\"charts\">" + progress + "</div>";
  for (size_t i = 0; i < study.job.definitions.size(); ++i) page += DefinitionSection(study, i);
  page += "<h2>All training jobs</h2>" + TrialTable(study, now_ns);
  page += "<footer>Written by leat at " + FormatTimeUtc(now_ns) + ".</footer></main><script>" +
          std::string(kReportScript) + "</script></body></html>\n";
  return page;
}

}  // namespace leat::tuner
