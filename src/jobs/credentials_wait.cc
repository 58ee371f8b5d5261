// SPDX-License-Identifier: Apache-2.0
#include "jobs/credentials_wait.h"

#include <thread>

#include "jobs/stoppable.h"
#include "jobs/transfer.h"

namespace leat::jobs {
namespace {

// To look for credentials may mean to run a program, or to ask over the network.
constexpr std::chrono::milliseconds kLookEvery{2000};

bool IsBucket(const std::string& uri) { return uri.rfind("s3://", 0) == 0; }

}  // namespace

std::string BucketOf(const TrainingJob& job) {
  std::vector<std::string> uris = {job.output_path, job.checkpoint_uri};
  for (const auto& channel : job.channels) {
    if (channel.s3) uris.push_back(channel.s3->uri);
    if (channel.file_system) uris.push_back(channel.file_system->file_system_id);
  }
  for (const auto& uri : uris) {
    if (IsBucket(uri)) return LocationOf(uri).repository;
  }
  return "";
}

bool LacksCredentials(RepositoryFactory& repositories, const std::string& url, const StopCheck& stopped) {
  if (!IsBucket(url)) return false;
  const Status probed = ProbeOutput(repositories, url, stopped);
  return !probed && probed.error().code == ErrorCode::kNoCredentials;
}

Status AwaitCredentials(RepositoryFactory& repositories, const std::string& url, const StopCheck& stopped,
                        const std::function<void()>& on_wait, std::chrono::steady_clock::time_point deadline) {
  for (bool has_waited = false;; has_waited = true) {
    if (!LacksCredentials(repositories, url, stopped)) return {};
    if (!has_waited) on_wait();
    const auto look_at = std::chrono::steady_clock::now() + kLookEvery;
    for (auto now = look_at - kLookEvery; now < look_at; now = std::chrono::steady_clock::now()) {
      if (stopped && stopped()) return Fail(ErrorCode::kCancelled, "stopped while it waited for AWS credentials");
      if (now >= deadline) {
        return Fail(ErrorCode::kNoCredentials, "no AWS credentials for " + url +
                                                   ", and no leat command has brought any for as long as a job waits");
      }
      std::this_thread::sleep_for(kStopPoll);
    }
  }
}

}  // namespace leat::jobs
