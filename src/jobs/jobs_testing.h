// SPDX-License-Identifier: Apache-2.0
// What the tests of jobs share: a directory that goes away, buckets in memory, file systems that are directories, and a
// job store whose disk can be full.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "jobs/job_store.h"
#include "jobs/services.h"
#include "sim/memory_object_store.h"

namespace leat::jobs {

class TestDirectory {
 public:
  TestDirectory() {
    char name[] = "/tmp/leat-jobs-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TestDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestDirectory(const TestDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Buckets by their URL. s3://bucket is there, and whatever is added; any other does not exist. Filled by one thread
// before others open anything.
class Buckets final : public RepositoryFactory {
 public:
  explicit Buckets(sim::MemoryObjectStoreOptions options = {}) { Add("s3://bucket", options); }
  sim::MemoryObjectStore& Add(const std::string& url, sim::MemoryObjectStoreOptions options = {}) {
    stores_[url] = std::make_shared<sim::MemoryObjectStore>(options);
    return *stores_[url];
  }
  // Whoever opens `url` gets `front`, which passes on to the bucket what it does not answer itself.
  void PutBefore(const std::string& url, std::shared_ptr<env::ObjectStore> front) { fronts_[url] = std::move(front); }
  sim::MemoryObjectStore& bucket() { return *stores_.at("s3://bucket"); }
  size_t times_opened() const { return times_opened_; }

  Result<Repository> Open(const std::string& url, unsigned) override {
    ++times_opened_;
    if (!has_credentials) return Fail(ErrorCode::kNoCredentials, "no AWS credentials found");
    const auto found = stores_.find(url);
    if (found == stores_.end()) return Fail(ErrorCode::kNoSuchBucket, url + " does not exist");
    const auto front = fronts_.find(url);
    if (front != fronts_.end()) return Repository{front->second, &found->second->counters()};
    return Repository{found->second, &found->second->counters()};
  }

  std::atomic<bool> has_credentials{true};

 private:
  std::map<std::string, std::shared_ptr<sim::MemoryObjectStore>> stores_;
  std::map<std::string, std::shared_ptr<env::ObjectStore>> fronts_;
  std::atomic<size_t> times_opened_{0};
};

// Every file system is one directory; each time that it is asked, ten requests and ten bytes more were needed.
class Directories final : public FileSystemResolver {
 public:
  Result<std::string> DirectoryOf(const std::string&, const std::string& path) override {
    lost.clear();
    return root + path;
  }
  std::string LostFileSystem() override { return lost; }
  Result<FileSystemCounters> Counters(const std::string&) override {
    FileSystemCounters counters;
    counters.requests[0] = counters.bytes_received = ++asked * 10;
    return counters;
  }
  std::string root, lost;
  uint64_t asked = 0;
};

// A store that takes nothing while `failure` is set, as one whose disk is full; reading goes on.
class FailingJobStore final : public JobStore {
 public:
  FailingJobStore(std::string state_directory, std::unique_ptr<JobStore> store)
      : JobStore(std::move(state_directory)), store_(std::move(store)) {}
  Status Create(JobKind kind, const std::string& name, const Event& created) override {
    LEAT_RETURN_IF_ERROR(Refuse(created.kind));
    return store_->Create(kind, name, created);
  }
  Status Append(JobKind kind, const std::string& name, const Event& event) override {
    LEAT_RETURN_IF_ERROR(Refuse(event.kind));
    return store_->Append(kind, name, event);
  }
  Result<std::vector<Event>> Events(JobKind kind, const std::string& name, int64_t behind) override {
    return store_->Events(kind, name, behind);
  }
  Result<std::vector<std::string>> Names(JobKind kind) override { return store_->Names(kind); }
  Result<std::vector<std::string>> Unfinished(JobKind kind) override { return store_->Unfinished(kind); }
  Result<std::vector<std::string>> UnfinishedToStop() override { return store_->UnfinishedToStop(); }
  Status AddSamples(const std::string& job, uint32_t host, const std::vector<MetricSample>& samples,
                    uint64_t log_position) override {
    LEAT_RETURN_IF_ERROR(Refuse("samples"));
    return store_->AddSamples(job, host, samples, log_position);
  }
  Result<uint64_t> LogPosition(const std::string& job, uint32_t host) override {
    return store_->LogPosition(job, host);
  }
  Status ForgetLogPositions(const std::string& job) override {
    LEAT_RETURN_IF_ERROR(Refuse("positions"));
    return store_->ForgetLogPositions(job);
  }
  Result<std::vector<MetricSample>> Samples(const std::string& job, int64_t behind) override {
    return store_->Samples(job, behind);
  }
  Status Remove(JobKind kind, const std::string& name) override { return store_->Remove(kind, name); }

  std::atomic<ErrorCode> failure{ErrorCode::kNoSpace};
  std::atomic<bool> is_failing{false};
  std::string fails_from;  // an event of this kind, and all that comes behind it, is refused; set before the run
  std::atomic<int> refused{0};

 private:
  Status Refuse(const std::string& kind) {
    if (!fails_from.empty() && kind == fails_from && refused == 0) is_failing = true;
    if (!is_failing) return {};
    ++refused;
    return Fail(failure, "no room for " + kind);
  }
  const std::unique_ptr<JobStore> store_;
};

}  // namespace leat::jobs
