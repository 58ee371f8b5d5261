// SPDX-License-Identifier: Apache-2.0
#include "jobs/host_log.h"

#include <algorithm>

#include "base/log.h"

namespace leat::jobs {
namespace {

constexpr size_t kReadBytes = 1u << 18;
constexpr int kReadsATurn = 64;                 // then stop requests and the other hosts are looked after
constexpr uint64_t kPositionEvery = 16u << 20;  // bytes of a log without a metric that may be read again
constexpr uint64_t kTailBytes = 16u << 10;      // what is read of an adopted trainer's log for the failure's text

}  // namespace

Status HostLog::Open() {
  LEAT_ASSIGN_OR_RETURN(const uint64_t position, store_.LogPosition(job_, host_));
  position_stored_ = position;
  if (position > 0) {  // what went before matters only if the job fails
    LogReader before(directory_, position - std::min(position, kTailBytes));
    std::vector<char> bytes(position - before.position());
    const auto got = before.Read(bytes.data(), bytes.size());
    LineSplitter lines;
    lines.Add({bytes.data(), got.value_or(0)}, [&](std::string_view line) { tail_.Add(line); });
  }
  reader_ = LogReader(directory_, position);
  if (!reader_.HoldBack()) LogWarning("job " + job_ + ": its log is read by somebody else");
  return {};
}

Status HostLog::Read(bool to_its_end) {
  const auto line = [&](std::string_view text) { OnLine(text); };
  buffer_.resize(kReadBytes);
  for (int turn = 0; to_its_end || turn < kReadsATurn; ++turn) {
    LEAT_ASSIGN_OR_RETURN(const size_t got, reader_.Read(buffer_.data(), buffer_.size()));
    if (const uint64_t skipped = reader_.TakeSkipped(); skipped > 0) {
      warnings_.push_back(std::to_string(skipped) +
                          " bytes of the log came faster than they could be read; metrics in them are lost");
    }
    lines_.Add({buffer_.data(), got}, line);
    if (got == 0) break;
    StoreSamples();
  }
  if (to_its_end) {
    lines_.Finish(line);
    StoreSamples();
  }
  return {};
}

void HostLog::OnLine(std::string_view text) {
  metrics_.Read(text, WallTimeNs(), samples_);
  for (auto& warning : metrics_.TakeWarnings()) warnings_.push_back(std::move(warning));
  tail_.Add(text);
  observer_.OnLogLine(job_, text);
}

void HostLog::StoreSamples() {
  const uint64_t position = reader_.position() - lines_.pending_bytes();
  if (samples_.empty() && position - position_stored_ < kPositionEvery) return;
  const Status status = store_.AddSamples(job_, host_, samples_, position);
  if (!status) {
    LogError("job " + job_ + ": " + status.error().message);
    return;  // with the next
  }
  for (const auto& sample : samples_) observer_.OnMetric(job_, sample.name, sample.value);
  position_stored_ = position;
  samples_.clear();
}

}  // namespace leat::jobs
