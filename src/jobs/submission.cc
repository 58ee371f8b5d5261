// SPDX-License-Identifier: Apache-2.0
#include "jobs/submission.h"

#include "jobs/contract.h"
#include "jobs/metrics.h"

namespace leat::jobs {

Json ToJson(const RunOptions& options) {
  return {{"sandbox", options.sandbox},
          {"file_mode_connections", options.file_mode_connections},
          {"python", options.python},
          {"requirements", static_cast<int>(options.requirements)},
          {"stop_grace_ms", options.stop_grace.count()},
          {"submitted_from", options.submitted_from},
          {"submission", options.submission},
          {"tuning_job", options.tuning_job},
          {"pass_credentials", options.pass_credentials},
          {"credentials_identity", options.credentials_identity}};
}

RunOptions RunOptionsFrom(const Json& json) {
  RunOptions options;
  options.sandbox = json.value("sandbox", options.sandbox);
  options.file_mode_connections = json.value("file_mode_connections", options.file_mode_connections);
  options.python = json.value("python", options.python);
  options.requirements = static_cast<Requirements>(json.value("requirements", 0));
  options.stop_grace = std::chrono::milliseconds(json.value("stop_grace_ms", options.stop_grace.count()));
  options.submitted_from = json.value("submitted_from", options.submitted_from);
  options.submission = json.value("submission", options.submission);
  options.tuning_job = json.value("tuning_job", options.tuning_job);
  options.pass_credentials = json.value("pass_credentials", options.pass_credentials);
  options.credentials_identity = json.value("credentials_identity", options.credentials_identity);
  return options;
}

Status SubmitTrainingJob(const TrainingJob& job, const RunOptions& options, JobStore& store) {
  LEAT_RETURN_IF_ERROR(MetricReader::Make(job.metrics));
  const Event created{"created", WallTimeNs(), {{"request", job.request}, {"options", ToJson(options)}}};
  Status status = store.Create(JobKind::kTraining, job.name, created);
  if (status || status.error().code != ErrorCode::kExists) return status;
  return Fail(ErrorCode::kExists,
              "ResourceInUse: Training job names must be unique within an AWS account and region, and a training job "
              "with this name already exists (" +
                  TrainingJobArn(job.name) + "); choose another TrainingJobName (leat jobs describe " + job.name +
                  " shows the one that has it)");
}

}  // namespace leat::jobs
