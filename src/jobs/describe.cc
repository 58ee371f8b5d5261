// SPDX-License-Identifier: Apache-2.0
#include "jobs/describe.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "base/text.h"
#include "jobs/contract.h"

namespace leat::jobs {
namespace {

constexpr const char* kFirstBatchMetric = "first_batch_seconds";  // since the script's start

// JSON has no NaN; a metric that is one says so in words.
Json NumberOrText(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

void SetIfAbsent(Json& object, const char* name, const Json& value) {
  if (!object.contains(name) || object[name].is_null()) object[name] = value;
}

// What the service fills in where the request says nothing.
void AddDefaults(Json& description) {
  for (const char* flag :
       {"EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"}) {
    SetIfAbsent(description, flag, false);
  }
  SetIfAbsent(description, "ProfilingStatus", "Disabled");
  SetIfAbsent(description, "StoppingCondition", Json::object());
  SetIfAbsent(description["StoppingCondition"], "MaxRuntimeInSeconds", TrainingJob{}.max_runtime_s);
  if (const auto output = description.find("OutputDataConfig"); output != description.end() && output->is_object()) {
    SetIfAbsent(*output, "CompressionType", "GZIP");
    SetIfAbsent(*output, "KmsKeyId", "");
  }
  const auto channels = description.find("InputDataConfig");
  if (channels == description.end() || !channels->is_array()) return;
  for (Json& channel : *channels) {
    for (const char* name : {"CompressionType", "RecordWrapperType"}) SetIfAbsent(channel, name, "None");
  }
}

void AddMetrics(Json& description, const std::vector<MetricSample>& samples) {
  std::vector<std::string> order;
  std::map<std::string, MetricSample> last;
  std::map<std::string, std::pair<double, double>> range;
  for (const auto& sample : samples) {
    if (last.insert_or_assign(sample.name, sample).second) order.push_back(sample.name);
    if (std::isnan(sample.value)) continue;
    auto& [lowest, highest] = range.try_emplace(sample.name, sample.value, sample.value).first->second;
    lowest = std::min(lowest, sample.value);
    highest = std::max(highest, sample.value);
  }
  if (order.empty()) return;
  Json finals = Json::array(), best = Json::array();
  for (const auto& name : order) {
    const auto& sample = last.at(name);
    finals.push_back(
        {{"MetricName", name}, {"Value", NumberOrText(sample.value)}, {"Timestamp", EpochSeconds(sample.at_ns)}});
    const auto found = range.find(name);
    if (found == range.end()) continue;
    best.push_back({{"MetricName", name},
                    {"Lowest", NumberOrText(found->second.first)},
                    {"Highest", NumberOrText(found->second.second)}});
  }
  description["FinalMetricDataList"] = std::move(finals);
  description["LeatBestMetrics"] = std::move(best);
}

std::string ThousandsText(uint64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<int>(text.size()) - 3; at > 0; at -= 3) text.insert(static_cast<size_t>(at), ",");
  return text;
}

std::string SecondsText(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", seconds);
  return text;
}

}  // namespace

double EpochSeconds(int64_t epoch_ns) { return static_cast<double>(epoch_ns / 1000000) / 1000; }

Json SummarizeTrainingJob(const std::string& name, const JobState& state) {
  Json summary = {{"TrainingJobName", name},
                  {"TrainingJobArn", TrainingJobArn(name)},
                  {"CreationTime", EpochSeconds(state.created_ns)},
                  {"LastModifiedTime", EpochSeconds(state.modified_ns)},
                  {"TrainingJobStatus", state.status},
                  {"SecondaryStatus", state.secondary}};
  if (state.ended_ns) summary["TrainingEndTime"] = EpochSeconds(*state.ended_ns);
  return summary;
}

Json DescribeTrainingJob(const std::string& name, const JobState& state, const std::vector<MetricSample>& samples) {
  Json description = state.request;
  description.update(SummarizeTrainingJob(name, state));
  if (!state.tuning_job.empty()) {
    description["TuningJobArn"] =
        "arn:aws:sagemaker:local:000000000000:hyper-parameter-tuning-job/" + ToLower(state.tuning_job);
  }
  AddDefaults(description);
  if (!state.failure_reason.empty()) description["FailureReason"] = state.failure_reason;
  if (!state.model_artifacts.empty()) description["ModelArtifacts"] = {{"S3ModelArtifacts", state.model_artifacts}};
  if (state.started_ns) {
    description["TrainingStartTime"] = EpochSeconds(*state.started_ns);
    if (state.ended_ns) {
      const auto seconds = std::max<int64_t>(1, (*state.ended_ns - *state.started_ns) / 1000000000);
      description["TrainingTimeInSeconds"] = seconds;
      description["BillableTimeInSeconds"] = seconds;
    }
  }
  Json transitions = Json::array();
  for (const auto& transition : state.transitions) {
    Json entry = {{"Status", transition.status},
                  {"StartTime", EpochSeconds(transition.start_ns)},
                  {"StatusMessage", transition.message}};
    if (transition.end_ns) entry["EndTime"] = EpochSeconds(*transition.end_ns);
    transitions.push_back(std::move(entry));
  }
  description["SecondaryStatusTransitions"] = std::move(transitions);
  AddMetrics(description, samples);
  if (!state.accounting.empty()) description["LeatDataAccounting"] = state.accounting;
  if (!state.warnings.empty()) description["LeatWarnings"] = state.warnings;
  return description;
}

std::string AccountingText(const JobState& state) {
  const Json& data = state.accounting;
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (data.contains("SecondsToFirstBatch")) {
    const std::string seen_as = data.value("FirstBatchSeenAs", kFirstBatchMetric);
    add((seen_as == kFirstBatchMetric ? "first batch " : seen_as + " ") + SecondsText(data["SecondsToFirstBatch"]) +
        " after submission");
  } else if (data.contains("SecondsToStart")) {
    add("script started " + SecondsText(data["SecondsToStart"]) + " after submission");
  }
  if (data.contains("SecondsOfTraining")) add("trained " + SecondsText(data["SecondsOfTraining"]));
  if (data.contains("S3Requests")) {
    add(ThousandsText(data["S3Requests"]) + " S3 requests");
    add(FormatBytes(data["S3Bytes"]) + " from S3");
  }
  return text;
}

Json ReadsJson(const std::vector<ReadCounters>& file_systems, int64_t submitted_ns) {
  ReadCounters sum;
  for (const auto& reads : file_systems) {
    sum.reads += reads.reads;
    sum.bytes += reads.bytes;
    sum.bytes_cached += reads.bytes_cached;
    sum.bytes_cold += reads.bytes_cold;
    sum.wait_seconds += reads.wait_seconds;
    sum.stalled_seconds += reads.stalled_seconds;
    if (reads.first_read_ns == 0) continue;
    if (sum.first_read_ns == 0 || reads.first_read_ns < sum.first_read_ns) sum.first_read_ns = reads.first_read_ns;
  }
  Json json = {{"Reads", sum.reads},
               {"BytesRead", sum.bytes},
               {"BytesReadCached", sum.bytes_cached},
               {"BytesReadCold", sum.bytes_cold},
               {"ReadSecondsWaited", sum.wait_seconds},
               {"ReadSecondsStalled", sum.stalled_seconds}};
  if (sum.first_read_ns != 0) json["SecondsToFirstRead"] = static_cast<double>(sum.first_read_ns - submitted_ns) / 1e9;
  return json;
}

Json ToJson(const FileSystemCounters& counters) {
  return {{"requests", counters.requests}, {"bytes", counters.bytes_received}};
}
FileSystemCounters CountersFrom(const Json& json) {
  FileSystemCounters counters;
  const Json requests = json.value("requests", Json::array());
  for (size_t i = 0; i < counters.requests.size() && i < requests.size(); ++i) counters.requests[i] = requests[i];
  counters.bytes_received = json.value("bytes", uint64_t{0});
  return counters;
}

void AddCounters(FileSystemCounters& total, const FileSystemCounters& after, const FileSystemCounters& before) {
  for (size_t i = 0; i < total.requests.size(); ++i)
    total.requests[i] += after.requests[i] - std::min(before.requests[i], after.requests[i]);
  total.bytes_received += after.bytes_received - std::min(before.bytes_received, after.bytes_received);
}

Json AccountingOf(const JobState& state, const FileSystemCounters& total, const std::vector<ReadCounters>& reads,
                  const std::vector<MetricSample>& samples, int64_t now_ns) {
  const auto seconds_between = [](int64_t from_ns, int64_t to_ns) {
    return static_cast<double>(to_ns - from_ns) / 1e9;
  };
  uint64_t requests = 0;
  Json by_kind = Json::object();
  for (size_t i = 0; i < total.requests.size(); ++i) {
    requests += total.requests[i];
    by_kind[std::string(env::kRequestKindNames[i])] = total.requests[i];
  }
  Json accounting = {{"S3Requests", requests},
                     {"S3RequestsByKind", by_kind},
                     {"S3Bytes", total.bytes_received},
                     {"SecondsInTotal", seconds_between(state.created_ns, now_ns)}};
  if (!reads.empty()) accounting.update(ReadsJson(reads, state.created_ns));
  if (!state.first_training_started_ns) return accounting;
  const double to_start = seconds_between(state.created_ns, *state.first_training_started_ns);
  accounting["SecondsToStart"] = to_start;
  int64_t trained_ns = state.trained_before_ns;
  if (state.training_started_ns && state.training_ended_ns)
    trained_ns += *state.training_ended_ns - *state.training_started_ns;
  if (trained_ns > 0) accounting["SecondsOfTraining"] = seconds_between(0, trained_ns);
  if (!samples.empty()) accounting["SecondsToFirstMetric"] = seconds_between(state.created_ns, samples[0].at_ns);
  const auto told = std::ranges::find_if(samples, [](const MetricSample& sample) {
    return sample.name == kFirstBatchMetric && std::isfinite(sample.value);
  });
  // A script that does not say when it had its first batch had it when it first read its data, as far as Leat sees
  // that.
  const auto take = [&](double seconds, const char* seen_as) {
    accounting["SecondsToFirstBatch"] = seconds;
    accounting["FirstBatchSeenAs"] = seen_as;
  };
  if (told != samples.end()) {
    // Since the script's start, in the attempt that told it.
    const bool is_of_first = !state.training_started_ns || told->at_ns < *state.training_started_ns;
    take((is_of_first ? to_start : seconds_between(state.created_ns, *state.training_started_ns)) + told->value,
         kFirstBatchMetric);
  } else if (accounting.contains("SecondsToFirstRead")) {
    take(accounting["SecondsToFirstRead"], "first read");
  } else if (!samples.empty()) {
    take(accounting["SecondsToFirstMetric"], "first metric");
  }
  return accounting;
}

std::string DataText(const Json& accounting) {
  if (!accounting.contains("BytesRead")) return "";
  const auto bytes = accounting["BytesRead"].get<uint64_t>();
  const auto cold = accounting.value("BytesReadCold", uint64_t{0});
  const double stalled = accounting.value("ReadSecondsStalled", 0.0);
  // READs that failed, or that were given up, have no bytes.
  if (bytes == 0 && accounting.value("Reads", uint64_t{0}) == 0) return "no data was asked for beside the page cache";
  std::string text = "no data was read";
  if (bytes > 0) {
    const auto percent = static_cast<int>(std::lround(100.0 * static_cast<double>(cold) / static_cast<double>(bytes)));
    std::string share = std::to_string(percent) + " %";
    if (percent == 0) share = cold == 0 ? "none" : "less than 1 %";
    if (percent == 100 && cold < bytes) share = "more than 99 %";
    text = (cold == bytes ? "all" : share) + " of the " + FormatBytes(bytes) + " read was cold";
  }
  if (stalled <= 0) return text;
  text += "; readers waited " + FormatSeconds(stalled);
  if (accounting.contains("SecondsOfTraining")) text += " of " + FormatSeconds(accounting["SecondsOfTraining"]);
  return text + " for S3";
}

}  // namespace leat::jobs
