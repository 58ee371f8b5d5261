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
  const auto table = [&](bool narrow, size_t& width) {
    std::vector<std::string> heads = {narrow ? "job" : "training job", "status"};
    for (const auto& [name, value] : study.trials[0].tuned) heads.push_back(EscapeForDisplay(name));
    for (const char* head : {"objective", "1st batch s", "train s", "S3 req", "S3 bytes"}) heads.emplace_back(head);
    if (narrow) heads[heads.size() - 4] = "batch s";
    std::vector<std::vector<std::string>> rows = {heads};
    for (const auto& trial : study.trials) {
      const Json& data = trial.state.accounting;
      std::string job = narrow ? trial.job_name.substr(trial.job_name.size() > 12 ? trial.job_name.size() - 12 : 0, 3)
                               : trial.job_name;
      std::vector<std::string> row = {job + (&trial == best ? " *" : ""), trial.state.status};
      for (const auto& [name, value] : trial.tuned) row.push_back(EscapeForDisplay(value));
      row.push_back(trial.objective ? Number("%#.6g", *trial.objective) : "-");
      row.push_back(Figure(data, "SecondsToFirstBatch"));
      row.push_back(Figure(data, "SecondsOfTraining"));
      row.push_back(data.contains("S3Requests") ? std::to_string(data["S3Requests"].get<uint64_t>()) : "-");
      row.push_back(data.contains("S3Bytes") ? FormatBytes(data["S3Bytes"]) : "-");
      rows.push_back(std::move(row));
    }
    return Layout(rows, width);
  };
  size_t width = 0;
  std::string text = table(false, width);
  if (width > columns) text = table(true, width);
  if (!best) return text + "no job has told its objective, " + objective.name + "\n";
  text += "* best: " + best->job_name + ", " + objective.name + " " + Number("%#.6g", *best->objective);
  for (const auto& [name, value] : best->tuned) text += ", " + EscapeForDisplay(name) + " " + EscapeForDisplay(value);
  return text + "\n";
}

}  // namespace leat::tuner
