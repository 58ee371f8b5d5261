// SPDX-License-Identifier: Apache-2.0
#include "jobs/retaining_store.h"

#include "base/log.h"

namespace leat::jobs {
namespace {

// What may be otherwise a while later.
bool MayPass(const Error& error) {
  return error.code == ErrorCode::kBusy || error.code == ErrorCode::kNoSpace || error.code == ErrorCode::kIo;
}

}  // namespace

Status RetainingStore::Store(const Entry& entry) {
  if (entry.event) return store_.Append(JobKind::kTraining, job_, *entry.event);
  return store_.AddSamples(job_, entry.host, entry.samples, entry.log_position);
}

Status RetainingStore::Flush() {
  while (!retained_.empty()) {
    const Status stored = Store(retained_.front());
    if (!stored && MayPass(stored.error())) return stored;
    if (!stored && stored.error().code == ErrorCode::kNotFound) {
      retained_.clear();
      weight_ = 0;
      return stored;
    }
    if (!stored) LogError("job " + job_ + ": " + stored.error().message);  // it would hold up all that is behind it
    weight_ -= retained_.front().weight();
    retained_.pop_front();
  }
  return {};
}

Status RetainingStore::Take(Entry entry) {
  Status stored = Flush();
  if (stored) stored = Store(entry);
  if (stored || !MayPass(stored.error())) return stored;
  if (weight_ + entry.weight() > kRetainedMax) return stored;
  if (retained_.empty())
    LogWarning("job " + job_ + ": " + stored.error().message + "; what it records is kept in memory until that passes");
  weight_ += entry.weight();
  retained_.push_back(std::move(entry));
  return {};
}

Status RetainingStore::Create(JobKind kind, const std::string& name, const Event& created) {
  return store_.Create(kind, name, created);
}

Status RetainingStore::Append(JobKind kind, const std::string& name, const Event& event) {
  if (kind != JobKind::kTraining || name != job_) return store_.Append(kind, name, event);
  Entry entry;
  entry.event = event;
  LEAT_RETURN_IF_ERROR(Take(std::move(entry)));
  has_ended_ = has_ended_ || event.kind == "ended";
  return {};
}

Result<std::vector<Event>> RetainingStore::Events(JobKind kind, const std::string& name, int64_t behind) {
  LEAT_ASSIGN_OR_RETURN(auto events, store_.Events(kind, name, behind));
  if (kind != JobKind::kTraining || name != job_) return events;
  for (const auto& entry : retained_) {
    if (entry.event) events.push_back(*entry.event);
  }
  return events;
}

Status RetainingStore::AddSamples(const std::string& training_job, uint32_t host,
                                  const std::vector<MetricSample>& samples, uint64_t log_position) {
  if (training_job != job_) return store_.AddSamples(training_job, host, samples, log_position);
  Entry entry;
  entry.host = host;
  entry.samples = samples;
  entry.log_position = log_position;
  return Take(std::move(entry));
}

Result<uint64_t> RetainingStore::LogPosition(const std::string& training_job, uint32_t host) {
  for (auto entry = retained_.rbegin(); training_job == job_ && entry != retained_.rend(); ++entry) {
    if (!entry->event && entry->host == host) return entry->log_position;
  }
  return store_.LogPosition(training_job, host);
}

Status RetainingStore::ForgetLogPositions(const std::string& training_job) {
  if (training_job == job_) LEAT_RETURN_IF_ERROR(Flush());
  return store_.ForgetLogPositions(training_job);
}

Result<std::vector<MetricSample>> RetainingStore::Samples(const std::string& training_job, int64_t behind) {
  LEAT_ASSIGN_OR_RETURN(auto samples, store_.Samples(training_job, behind));
  for (const auto& entry : retained_) {
    if (training_job == job_) samples.insert(samples.end(), entry.samples.begin(), entry.samples.end());
  }
  return samples;
}

}  // namespace leat::jobs
