// SPDX-License-Identifier: Apache-2.0
#include "tuner/study_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>
#include <sstream>

#include "base/text.h"
#include "jobs/contract.h"
#include "jobs/describe.h"
#include "tuner/display_text.h"

namespace leat::tuner {
namespace {

constexpr size_t kFailuresShownMax = 5;

const TuningDefinition& DefinitionOf(const Study& study, const Trial& trial) {
  return study.job.definitions[trial.definition];
}

const char* ObjectiveStatus(const Trial& trial) {
  if (!trial.is_done) return "Pending";
  return trial.HasObjective() ? "Succeeded" : "Failed";
}

// Of TrainingJobStatusCounters. A training job that was deleted is counted by what it left.
std::string CounterOf(const Trial& trial) {
  const std::string& status = trial.state.status;
  if (status == "Stopping") return "InProgress";
  if (status == "Deleted") return trial.HasObjective() && trial.stop_reason.empty() ? "Completed" : "Stopped";
  if (status != "Failed") return status;
  const bool is_internal = trial.state.failure_reason.rfind("InternalServerError", 0) == 0;
  return is_internal ? "RetryableError" : "NonRetryableError";
}

// What a summary and a description share.
Json StatusOf(const std::string& name, const Study& study) {
  Json by_status = {
      {"Completed", 0}, {"InProgress", 0}, {"RetryableError", 0}, {"NonRetryableError", 0}, {"Stopped", 0}};
  Json by_objective = {{"Succeeded", 0}, {"Pending", 0}, {"Failed", 0}};
  for (const auto& trial : study.trials) {
    const std::string counter = CounterOf(trial);
    by_status[counter] = by_status.value(counter, 0) + 1;
    const char* objective = ObjectiveStatus(trial);
    by_objective[objective] = by_objective.value(objective, 0) + 1;
  }
  Json status = {{"HyperParameterTuningJobName", name},
                 {"HyperParameterTuningJobArn", TuningJobArn(name)},
                 {"HyperParameterTuningJobStatus", study.status},
                 {"CreationTime", jobs::EpochSeconds(study.created_ns)},
                 {"LastModifiedTime", jobs::EpochSeconds(study.modified_ns)},
                 {"TrainingJobStatusCounters", std::move(by_status)},
                 {"ObjectiveStatusCounters", std::move(by_objective)}};
  if (study.ended_ns) status["HyperParameterTuningEndTime"] = jobs::EpochSeconds(*study.ended_ns);
  return status;
}

std::string Number(const char* format, double value) {
  char text[40];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string Figure(const Json& accounting, const char* name) {
  const auto found = accounting.find(name);
  return found == accounting.end() || !found->is_number() ? "-" : Number("%.1f", found->get<double>());
}

// Columns as wide as their widest cell, two spaces between; the first is set left, the others right.
std::string Layout(const std::vector<std::vector<std::string>>& rows, size_t& width) {
  std::vector<size_t> widths(rows[0].size(), 0);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], DisplayColumns(row[i]));
  }
  std::string text;
  width = 0;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += (i ? "  " : "") + PadToColumns(row[i], widths[i], i > 0);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    width = std::max(width, DisplayColumns(line));
    text += line + "\n";
  }
  return text;
}

// What a table leaves out and shortens to fit.
struct Form {
  bool short_names = false;      // "003" for "study-003-0123abcd"
  bool reasons_below = false;    // why jobs were stopped, on lines of their own
  bool tuned_below = false;      // hyperparameters as well
  size_t figures = kFiguresMax;  // of first batch, training, requests, bytes: how many
  static constexpr size_t kFiguresMax = 4;
};

// A step narrower; false: there is none.
bool Narrow(Form& form) {
  if (!form.short_names) {
    form.short_names = true;
  } else if (!form.reasons_below) {
    form.reasons_below = true;
  } else if (!form.tuned_below) {
    form.tuned_below = true;
  } else if (form.figures > 0) {
    --form.figures;
  } else {
    return false;
  }
  return true;
}

// The number of a child's name, "job-003-0123abcd"; the name itself when it is no child's.
std::string ShortName(const std::string& name) {
  const size_t digits = name.rfind('-');
  if (digits == std::string::npos || digits == 0) return name;
  const size_t number = name.rfind('-', digits - 1);
  return number == std::string::npos ? name : name.substr(number + 1, digits - number - 1);
}

// `parts` with commas between, on as many lines of at most `columns` as they need, broken between words; a word that is
// longer is cut.
std::string Wrapped(const std::vector<std::string>& parts, size_t columns, size_t indent) {
  std::string text, line(indent, ' ');
  const std::string next(indent + 2, ' ');
  bool is_begun = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    std::istringstream words(parts[i] + (i + 1 < parts.size() ? "," : ""));
    for (std::string word; words >> word;) {
      const size_t room = columns - next.size();
      if (DisplayColumns(word) > room) word = CutToColumns(word, room - 2, ".") + "..";
      if (is_begun && DisplayColumns(line) + 1 + DisplayColumns(word) > columns) {
        text += line + "\n";
        line = next + word;
      } else {
        line += (is_begun ? " " : "") + word;
      }
      is_begun = true;
    }
  }
  return text + line + "\n";
}

// What any of the trials has: conditional ranges are not in all of them.
std::vector<std::string> TunedNames(const Study& study) {
  std::set<std::string> names;
  for (const auto& trial : study.trials) {
    for (const auto& [name, value] : trial.tuned) names.insert(name);
  }
  return {names.begin(), names.end()};
}

bool HasManyDefinitions(const Study& study) { return study.job.definitions.size() > 1; }

bool HasStopReasons(const Study& study) {
  return std::ranges::any_of(study.trials, [](const auto& trial) { return !trial.stop_reason.empty(); });
}

std::vector<std::string> TunedParts(const Study& study, const Trial& trial) {
  std::vector<std::string> parts;
  if (HasManyDefinitions(study)) parts.push_back("definition " + DisplayText(DefinitionOf(study, trial).name));
  for (const auto& [name, value] : trial.tuned) parts.push_back(DisplayText(name) + " " + DisplayText(value));
  return parts;
}

std::vector<std::string> Heads(const Study& study, const Form& form, const std::vector<std::string>& names) {
  std::vector<std::string> heads = {form.short_names ? "job" : "training job", "status"};
  if (!form.tuned_below) {
    if (HasManyDefinitions(study)) heads.emplace_back("definition");
    for (const auto& name : names) heads.push_back(DisplayText(name));
  }
  heads.emplace_back("objective");
  const char* figures[Form::kFiguresMax] = {form.short_names ? "batch s" : "1st batch s", "train s", "S3 req",
                                            "S3 bytes"};
  heads.insert(heads.end(), figures, figures + form.figures);
  if (!form.reasons_below && HasStopReasons(study)) heads.emplace_back("stopped because");
  return heads;
}

std::vector<std::string> Row(const Study& study, const Trial& trial, const Trial* best, const Form& form,
                             const std::vector<std::string>& names) {
  const Json& data = trial.state.accounting;
  std::vector<std::string> row = {
      (form.short_names ? ShortName(trial.job_name) : trial.job_name) + (&trial == best ? " *" : ""),
      trial.state.status};
  if (!form.tuned_below) {
    if (HasManyDefinitions(study)) row.push_back(DisplayText(DefinitionOf(study, trial).name));
    for (const auto& name : names) {
      const auto value = trial.tuned.find(name);
      row.push_back(value == trial.tuned.end() ? "-" : DisplayText(value->second));
    }
  }
  row.push_back(trial.objective ? Number("%#.6g", *trial.objective) : "-");
  const std::string values[Form::kFiguresMax] = {
      Figure(data, "SecondsToFirstBatch"), Figure(data, "SecondsOfTraining"),
      data.contains("S3Requests") ? std::to_string(data["S3Requests"].get<uint64_t>()) : "-",
      data.contains("S3Bytes") ? FormatBytes(data["S3Bytes"]) : "-"};
  row.insert(row.end(), values, values + form.figures);
  if (!form.reasons_below && HasStopReasons(study)) row.push_back(DisplayText(trial.stop_reason));
  return row;
}

std::string Table(const Study& study, const Trial* best, const Form& form, size_t columns, size_t& width) {
  const auto names = TunedNames(study);
  std::vector<std::vector<std::string>> rows = {Heads(study, form, names)};
  for (const auto& trial : study.trials) rows.push_back(Row(study, trial, best, form, names));
  std::string out;
  size_t number = 0;
  for (const auto& line : Split(Layout(rows, width), '\n')) {
    if (line.empty()) continue;
    out += line + "\n";
    if (number++ == 0) continue;  // the heads
    const Trial& trial = study.trials[number - 2];
    std::vector<std::string> parts;
    if (form.tuned_below) parts = TunedParts(study, trial);
    if (!parts.empty()) out += Wrapped(parts, columns, 4);
    if (form.reasons_below && !trial.stop_reason.empty()) {
      out += Wrapped({"stopped: " + DisplayText(trial.stop_reason)}, columns, 4);
    }
  }
  return out;
}

// "every second job since 102 is of a new search"; empty: none did.
std::string RestartText(const Study& study) {
  uint32_t restart = 0, first = 0;
  for (const auto& trial : study.trials) {
    if (trial.restart <= restart) continue;
    restart = trial.restart;
    first = trial.number;
  }
  if (restart == 0) return "";
  return "every second job since " + Number("%03.0f", first) + " is of a new search";
}

}  // namespace

const char* StrategyName(TuningJob::Strategy strategy) {
  switch (strategy) {
    case TuningJob::Strategy::kBayesian:
      return "Bayesian";
    case TuningJob::Strategy::kRandom:
      return "Random";
    case TuningJob::Strategy::kGrid:
      return "Grid";
    case TuningJob::Strategy::kHyperband:
      return "Hyperband";
  }
  return "";
}

Json SummarizeTrial(const Study& study, const Trial& trial) {
  const TuningDefinition& definition = DefinitionOf(study, trial);
  Json summary = {
      {"TrainingJobName", trial.job_name},        {"TrainingJobArn", jobs::TrainingJobArn(trial.job_name)},
      {"TuningJobName", study.job.name},          {"CreationTime", jobs::EpochSeconds(trial.state.created_ns)},
      {"TrainingJobStatus", trial.state.status},  {"TunedHyperParameters", trial.tuned},
      {"ObjectiveStatus", ObjectiveStatus(trial)}};
  if (!definition.name.empty()) summary["TrainingJobDefinitionName"] = definition.name;
  if (trial.state.started_ns) summary["TrainingStartTime"] = jobs::EpochSeconds(*trial.state.started_ns);
  if (trial.state.ended_ns) summary["TrainingEndTime"] = jobs::EpochSeconds(*trial.state.ended_ns);
  if (!trial.state.failure_reason.empty()) summary["FailureReason"] = trial.state.failure_reason;
  if (trial.is_done && trial.HasObjective()) {
    summary["FinalHyperParameterTuningJobObjectiveMetric"] = {{"MetricName", definition.objective},
                                                              {"Value", *trial.objective},
                                                              {"Type", definition.maximize ? "Maximize" : "Minimize"}};
  }
  if (!trial.state.accounting.empty()) summary["LeatDataAccounting"] = trial.state.accounting;
  if (!trial.stop_reason.empty()) summary["LeatStopReason"] = trial.stop_reason;
  if (trial.restart > 0) summary["LeatRestart"] = trial.restart;
  return summary;
}

std::string TuningJobArn(const std::string& name) {
  return "arn:aws:sagemaker:local:000000000000:hyper-parameter-tuning-job/" + ToLower(name);
}

Json SummarizeTuningJob(const std::string& name, const Study& study) {
  Json summary = StatusOf(name, study);
  summary["Strategy"] = StrategyName(study.job.strategy);
  const auto config = study.job.request.find("HyperParameterTuningJobConfig");
  if (config == study.job.request.end()) return summary;
  if (const auto limits = config->find("ResourceLimits"); limits != config->end()) summary["ResourceLimits"] = *limits;
  return summary;
}

Json DescribeTuningJob(const std::string& name, const Study& study) {
  Json description = study.job.request;
  description.update(StatusOf(name, study));
  if (!study.failure_reason.empty()) description["FailureReason"] = study.failure_reason;
  Json children = Json::array();
  double seconds = 0;
  for (const auto& trial : study.trials) {
    if (trial.state.started_ns && trial.state.ended_ns) {
      seconds += static_cast<double>(*trial.state.ended_ns - *trial.state.started_ns) / 1e9;
    }
    children.push_back(SummarizeTrial(study, trial));
  }
  description["ConsumedResources"] = {{"RuntimeInSeconds", static_cast<int64_t>(std::ceil(seconds))}};
  Json completion = {{"NumberOfTrainingJobsObjectiveNotImproving", CompletionOf(study).not_improving}};
  if (study.converged_ns) completion["ConvergenceDetectedTime"] = jobs::EpochSeconds(*study.converged_ns);
  description["TuningJobCompletionDetails"] = std::move(completion);
  if (const Trial* best = BestTrial(study)) description["BestTrainingJob"] = SummarizeTrial(study, *best);
  description["LeatTrainingJobs"] = std::move(children);
  description["LeatRandomSeed"] = study.seed;
  if (!study.schedule.empty()) description["LeatWaiting"] = study.schedule;
  if (study.is_exhausted) description["LeatCompletedBy"] = "AllCombinationsTried";
  if (!study.completed_by.empty()) description["LeatCompletedBy"] = study.completed_by;
  if (!study.warnings.empty()) description["LeatWarnings"] = study.warnings;
  return description;
}

std::string StudyLine(const Study& study) {
  std::string line = std::to_string(study.order_of_ends.size());
  if (study.job.is_limited_by_jobs) line += " of " + std::to_string(study.job.jobs_max);
  line += " done";
  if (const Trial* best = BestTrial(study)) line += ", best " + Number("%.6g", *best->objective);
  return line;
}

std::string StudyTable(const Study& study, size_t columns) {
  if (study.trials.empty()) return "no training job was started\n";
  const Trial* best = BestTrial(study);
  Form form;
  size_t width = 0;
  std::string text = Table(study, best, form, columns, width);
  // Names first, then reasons and hyperparameters to lines of their own, then what the job's own description tells too.
  while (width > columns && Narrow(form)) text = Table(study, best, form, columns, width);
  if (!best) {
    const std::string objective = DisplayText(DefinitionOf(study, study.trials[0]).objective);
    return text + Wrapped({"no job has told its objective, " + objective}, columns, 0);
  }
  std::vector<std::string> parts = {"* best: " + best->job_name, DisplayText(DefinitionOf(study, *best).objective) +
                                                                     " " + Number("%#.6g", *best->objective)};
  for (auto& part : TunedParts(study, *best)) parts.push_back(std::move(part));
  text += Wrapped(parts, columns, 0);
  const std::string restart = RestartText(study);
  return restart.empty() ? text : text + Wrapped({"nothing more gained", restart}, columns, 0);
}

std::vector<std::string> FailureLines(const Study& study) {
  std::vector<std::string> lines;
  size_t more = 0;
  for (const auto& trial : study.trials) {
    if (trial.state.failure_reason.empty()) continue;
    if (lines.size() < kFailuresShownMax) {
      lines.push_back(trial.job_name + ": " + trial.state.failure_reason);
    } else {
      ++more;
    }
  }
  if (more > 0) {
    lines.push_back("and " + std::to_string(more) + (more == 1 ? " more job" : " more jobs") +
                    " failed (leat jobs list shows them, leat jobs describe tells why)");
  }
  return lines;
}

}  // namespace leat::tuner
