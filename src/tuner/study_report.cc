// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "base/log.h"
#include "base/text.h"
#include "jobs/contract.h"
#include "jobs/describe.h"
#include "tuner/tuning_run.h"

namespace leat::tuner {
namespace {

constexpr size_t kFailuresShownMax = 5;

struct Objective {
  std::string name, type = "Maximize";
  bool maximize() const { return type == "Maximize"; }
};

Objective ObjectiveOf(const Study& study) {
  const Json config = study.request.value("HyperParameterTuningJobConfig", Json::object());
  const Json objective = config.value("HyperParameterTuningJobObjective", Json::object());
  return {objective.value("MetricName", ""), objective.value("Type", "Maximize")};
}

bool HasObjective(const Trial& trial) { return trial.objective && std::isfinite(*trial.objective); }

const char* ObjectiveStatus(const Trial& trial) {
  if (!trial.is_done) return "Pending";
  return HasObjective(trial) && trial.state.status != "Failed" ? "Succeeded" : "Failed";
}

Json Summarize(const Trial& trial, const Objective& objective) {
  Json summary = {{"TrainingJobName", trial.job_name},
                  {"TrainingJobArn", jobs::TrainingJobArn(trial.job_name)},
                  {"CreationTime", jobs::EpochSeconds(trial.state.created_ns)},
                  {"TrainingJobStatus", trial.state.status},
                  {"TunedHyperParameters", trial.tuned},
                  {"ObjectiveStatus", ObjectiveStatus(trial)}};
  if (trial.state.started_ns) summary["TrainingStartTime"] = jobs::EpochSeconds(*trial.state.started_ns);
  if (trial.state.ended_ns) summary["TrainingEndTime"] = jobs::EpochSeconds(*trial.state.ended_ns);
  if (!trial.state.failure_reason.empty()) summary["FailureReason"] = trial.state.failure_reason;
  if (HasObjective(trial)) {
    summary["FinalHyperParameterTuningJobObjectiveMetric"] = {
        {"MetricName", objective.name}, {"Value", *trial.objective}, {"Type", objective.type}};
  }
  if (!trial.state.accounting.empty()) summary["LeatDataAccounting"] = trial.state.accounting;
  return summary;
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
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  width = 0;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - row[i].size(), ' ');
      line += (i ? "  " : "") + (i ? space + row[i] : row[i] + space);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    width = std::max(width, line.size());
    text += line + "\n";
  }
  return text;
}

// What a table leaves out and shortens to fit.
struct Form {
  bool short_names = false;      // "003" for "study-003-0123abcd"
  bool tuned_below = false;      // hyperparameters on lines of their own
  size_t figures = kFiguresMax;  // of first batch, training, requests, bytes: how many
  static constexpr size_t kFiguresMax = 4;
};

// A step narrower; false: there is none.
bool Narrow(Form& form) {
  if (!form.short_names) {
    form.short_names = true;
  } else if (!form.tuned_below) {
    form.tuned_below = true;
  } else if (form.figures > 0) {
    --form.figures;
  } else {
    return false;
  }
  return true;
}

// The number of a child's name; the name itself when it is no child's.
std::string ShortName(const std::string& name) {
  constexpr size_t kNumberAndDigits = 12;  // "003-0123abcd"
  return name.size() > kNumberAndDigits ? name.substr(name.size() - kNumberAndDigits, 3) : name;
}

// `parts` with commas between, on as many lines of at most `columns` as they need; a part that is longer is cut.
std::string Wrapped(const std::vector<std::string>& parts, size_t columns, size_t indent) {
  std::string text, line;
  const std::string start(indent, ' '), next(indent + 2, ' ');
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string end = i + 1 < parts.size() ? "," : "";
    std::string part = parts[i];
    const size_t room = columns - next.size() - end.size();
    if (part.size() > room) part = part.substr(0, room - 3) + "...";
    if (line.empty()) {
      line = start + part + end;
    } else if (line.size() + 1 + part.size() + end.size() <= columns) {
      line += " " + part + end;
    } else {
      text += line + "\n";
      line = next + part + end;
    }
  }
  return text + line + "\n";
}

std::string Table(const Study& study, const Trial* best, const Form& form, size_t columns, size_t& width) {
  std::vector<std::string> heads = {form.short_names ? "job" : "training job", "status"};
  if (!form.tuned_below) {
    for (const auto& [name, value] : study.trials[0].tuned) heads.push_back(EscapeForDisplay(name));
  }
  heads.emplace_back("objective");
  const char* figures[Form::kFiguresMax] = {form.short_names ? "batch s" : "1st batch s", "train s", "S3 req",
                                            "S3 bytes"};
  heads.insert(heads.end(), figures, figures + form.figures);
  std::vector<std::vector<std::string>> rows = {heads};
  for (const auto& trial : study.trials) {
    const Json& data = trial.state.accounting;
    std::vector<std::string> row = {
        (form.short_names ? ShortName(trial.job_name) : trial.job_name) + (&trial == best ? " *" : ""),
        trial.state.status};
    if (!form.tuned_below) {
      for (const auto& [name, value] : trial.tuned) row.push_back(EscapeForDisplay(value));
    }
    row.push_back(trial.objective ? Number("%#.6g", *trial.objective) : "-");
    const std::string values[Form::kFiguresMax] = {
        Figure(data, "SecondsToFirstBatch"), Figure(data, "SecondsOfTraining"),
        data.contains("S3Requests") ? std::to_string(data["S3Requests"].get<uint64_t>()) : "-",
        data.contains("S3Bytes") ? FormatBytes(data["S3Bytes"]) : "-"};
    row.insert(row.end(), values, values + form.figures);
    rows.push_back(std::move(row));
  }
  const std::string text = Layout(rows, width);
  if (!form.tuned_below) return text;
  std::string out;
  size_t number = 0;
  for (const auto& line : Split(text, '\n')) {
    if (line.empty()) continue;
    out += line + "\n";
    if (number++ == 0) continue;  // the heads
    std::vector<std::string> parts;
    for (const auto& [name, value] : study.trials[number - 2].tuned) {
      parts.push_back(EscapeForDisplay(name) + " " + EscapeForDisplay(value));
    }
    if (!parts.empty()) out += Wrapped(parts, columns, 4);
  }
  return out;
}

}  // namespace

Json DescribeTuningJob(const std::string& name, const Study& study) {
  const Objective objective = ObjectiveOf(study);
  Json description = study.request;
  description["HyperParameterTuningJobName"] = name;
  description["HyperParameterTuningJobArn"] =
      "arn:aws:sagemaker:local:000000000000:hyper-parameter-tuning-job/" + ToLower(name);
  description["HyperParameterTuningJobStatus"] = study.status;
  description["CreationTime"] = jobs::EpochSeconds(study.created_ns);
  description["LastModifiedTime"] = jobs::EpochSeconds(study.modified_ns);
  if (study.ended_ns) description["HyperParameterTuningEndTime"] = jobs::EpochSeconds(*study.ended_ns);
  if (!study.failure_reason.empty()) description["FailureReason"] = study.failure_reason;
  Json jobs_by_status = {
      {"Completed", 0}, {"InProgress", 0}, {"RetryableError", 0}, {"NonRetryableError", 0}, {"Stopped", 0}};
  Json by_objective = {{"Succeeded", 0}, {"Pending", 0}, {"Failed", 0}};
  Json children = Json::array();
  double seconds = 0;
  for (const auto& trial : study.trials) {
    std::string counter = trial.state.status;
    if (counter == "Stopping") counter = "InProgress";
    if (counter == "Failed") {
      const bool internal = trial.state.failure_reason.rfind("InternalServerError", 0) == 0;
      counter = internal ? "RetryableError" : "NonRetryableError";
    }
    jobs_by_status[counter] = jobs_by_status.value(counter, 0) + 1;
    const char* status = ObjectiveStatus(trial);
    by_objective[status] = by_objective.value(status, 0) + 1;
    if (trial.state.started_ns && trial.state.ended_ns) {
      seconds += static_cast<double>(*trial.state.ended_ns - *trial.state.started_ns) / 1e9;
    }
    children.push_back(Summarize(trial, objective));
  }
  description["TrainingJobStatusCounters"] = jobs_by_status;
  description["ObjectiveStatusCounters"] = by_objective;
  description["ConsumedResources"] = {{"RuntimeInSeconds", static_cast<int64_t>(std::ceil(seconds))}};
  if (const Trial* best = BestTrial(study, objective.maximize()))
    description["BestTrainingJob"] = Summarize(*best, objective);
  description["LeatTrainingJobs"] = std::move(children);
  description["LeatRandomSeed"] = study.seed;
  return description;
}

std::string StudyTable(const Study& study, size_t columns) {
  if (study.trials.empty()) return "no training job was started\n";
  const Objective objective = ObjectiveOf(study);
  const Trial* best = BestTrial(study, objective.maximize());
  Form form;
  size_t width = 0;
  std::string text = Table(study, best, form, columns, width);
  // Names first, then hyperparameters to lines of their own, then what the job's own description tells as well.
  while (width > columns && Narrow(form)) text = Table(study, best, form, columns, width);
  if (!best) return text + Wrapped({"no job has told its objective, " + EscapeForDisplay(objective.name)}, columns, 0);
  std::vector<std::string> parts = {"* best: " + best->job_name,
                                    EscapeForDisplay(objective.name) + " " + Number("%#.6g", *best->objective)};
  for (const auto& [name, value] : best->tuned) {
    parts.push_back(EscapeForDisplay(name) + " " + EscapeForDisplay(value));
  }
  return text + Wrapped(parts, columns, 0);
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
