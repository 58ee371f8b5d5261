// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <future>
#include <vector>

#include "base/file.h"
#include "jobs/archive.h"
#include "jobs/artifact_files.h"
#include "jobs/stoppable.h"
#include "jobs/transfer.h"

namespace leat::jobs {
namespace {

constexpr size_t kFirstPartBytes = 16u << 20;
constexpr size_t kPartsInFlightMax = 4;            // times the part size: the memory of an upload
constexpr std::chrono::seconds kAbortPatience{5};  // for each answer, once an upload is given up
constexpr uint32_t kPartsPerSize = 1000;           // then parts double, so that 10,000 reach the 5 TiB limit

class FileArtifact final : public ArtifactWriter {
 public:
  FileArtifact(std::string path, FileDescriptor file, std::string temporary)
      : path_(std::move(path)), file_(std::move(file)), temporary_(std::move(temporary)) {}
  ~FileArtifact() override {
    if (!temporary_.empty()) unlink(temporary_.c_str());
  }
  Status Write(std::span<const std::byte> bytes) override {
    LEAT_RETURN_IF_ERROR(WriteAll(file_.get(), bytes, offset_));
    offset_ += bytes.size();
    return {};
  }
  Result<std::string> Finish() override {
    if (fsync(file_.get()) != 0) return FailErrno(errno, temporary_);
    if (rename(temporary_.c_str(), path_.c_str()) != 0) return FailErrno(errno, path_);
    temporary_.clear();
    return std::string();
  }

 private:
  const std::string path_;
  FileDescriptor file_;
  std::string temporary_;
  uint64_t offset_ = 0;
};

// A multipart upload, or one PUT when everything fits into a part. Confined to one thread.
class S3Artifact final : public ArtifactWriter {
 public:
  S3Artifact(Repository repository, std::string key, StopCheck stopped)
      : repository_(std::move(repository)), key_(std::move(key)), stopped_(std::move(stopped)) {}
  ~S3Artifact() override {
    if (upload_id_.empty()) return;
    // Parts that arrive after the abort would stay; a server that does not answer must not hold the job's end up.
    const auto end = std::chrono::steady_clock::now() + kAbortPatience;
    for (auto& part : in_flight_) part.wait_until(end);
    (void)AwaitUnlessStopped<void>(
        [until = std::chrono::steady_clock::now() + kAbortPatience] {
          return std::chrono::steady_clock::now() >= until;
        },
        [&](auto done) { repository_.store->AbortMultipartUpload(key_, upload_id_, std::move(done)); });
  }
  Status Write(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const size_t part_bytes = kFirstPartBytes << (next_part_ / kPartsPerSize);
      const size_t taken = std::min(bytes.size(), part_bytes - buffer_.size());
      buffer_.append(reinterpret_cast<const char*>(bytes.data()), taken);
      bytes = bytes.subspan(taken);
      if (buffer_.size() == part_bytes) LEAT_RETURN_IF_ERROR(SendPart());
    }
    return {};
  }
  Result<std::string> Finish() override {
    env::ObjectStore& store = *repository_.store;
    if (upload_id_.empty()) {
      env::PutRequest put;
      put.key = key_;
      put.body = std::make_shared<const std::string>(std::move(buffer_));
      return AwaitUnlessStopped<std::string>(stopped_, [&](auto done) { store.Put(std::move(put), std::move(done)); });
    }
    if (!buffer_.empty()) LEAT_RETURN_IF_ERROR(SendPart());
    while (!in_flight_.empty()) LEAT_RETURN_IF_ERROR(TakeOldest());
    auto etag = AwaitUnlessStopped<std::string>(stopped_, [&](auto done) {
      store.CompleteMultipartUpload(key_, upload_id_, std::move(parts_), std::move(done));
    });
    if (etag) upload_id_.clear();
    return etag;
  }

 private:
  Status SendPart() {
    env::ObjectStore& store = *repository_.store;
    if (upload_id_.empty()) {
      env::PutRequest put;
      put.key = key_;
      LEAT_ASSIGN_OR_RETURN(upload_id_, AwaitUnlessStopped<std::string>(stopped_, [&](auto done) {
                              store.CreateMultipartUpload(std::move(put), std::move(done));
                            }));
    }
    while (in_flight_.size() >= kPartsInFlightMax) LEAT_RETURN_IF_ERROR(TakeOldest());
    auto promise = std::make_shared<std::promise<Result<env::UploadedPart>>>();
    in_flight_.push_back(promise->get_future());
    store.UploadPart(key_, upload_id_, next_part_++, std::make_shared<const std::string>(std::move(buffer_)),
                     [promise](Result<env::UploadedPart> part) { promise->set_value(std::move(part)); });
    buffer_.clear();
    return {};
  }
  Status TakeOldest() {
    while (in_flight_.front().wait_for(kStopPoll) != std::future_status::ready) {
      if (stopped_ && stopped_()) return Fail(ErrorCode::kCancelled, "stopped");
    }
    auto part = in_flight_.front().get();
    in_flight_.pop_front();
    if (!part) return Fail(part.error());
    parts_.push_back(std::move(*part));
    return {};
  }

  Repository repository_;
  const std::string key_;
  const StopCheck stopped_;
  std::string buffer_, upload_id_;
  uint32_t next_part_ = 1;
  std::deque<std::future<Result<env::UploadedPart>>> in_flight_;
  std::vector<env::UploadedPart> parts_;
};

Status CopyFile(RepositoryFactory& repositories, const std::string& path, const std::string& uri,
                const StopCheck& stopped) {
  LEAT_ASSIGN_OR_RETURN(auto writer, OpenArtifact(repositories, uri, stopped));
  FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid()) return FailErrno(errno, path);
  std::vector<std::byte> buffer(1u << 20);
  for (;;) {
    const ssize_t got = read(file.get(), buffer.data(), buffer.size());
    if (got < 0) return FailErrno(errno, path);
    if (stopped && stopped()) return Fail(ErrorCode::kCancelled, "stopped");
    if (got == 0) break;
    LEAT_RETURN_IF_ERROR(writer->Write({buffer.data(), static_cast<size_t>(got)}));
  }
  LEAT_RETURN_IF_ERROR(writer->Finish());
  return {};
}

}  // namespace

Result<std::unique_ptr<ArtifactWriter>> OpenArtifact(RepositoryFactory& repositories, const std::string& uri,
                                                     const StopCheck& stopped) {
  if (uri.rfind("file://", 0) == 0) {
    const std::string path = uri.substr(7);
    LEAT_RETURN_IF_ERROR(CreateDirectories(path.substr(0, path.rfind('/'))));
    std::string temporary = path + ".leat-" + std::to_string(getpid()) + ".tmp";
    FileDescriptor file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!file.valid()) return FailErrno(errno, temporary);
    return std::unique_ptr<ArtifactWriter>(std::make_unique<FileArtifact>(path, std::move(file), std::move(temporary)));
  }
  const RepositoryLocation location = LocationOf(uri);
  LEAT_ASSIGN_OR_RETURN(Repository repository,
                        repositories.Open(location.repository, static_cast<unsigned>(kPartsInFlightMax)));
  return WriteObject(std::move(repository), location.key, stopped);
}

std::unique_ptr<ArtifactWriter> WriteObject(Repository repository, const std::string& key, const StopCheck& stopped) {
  return std::make_unique<S3Artifact>(std::move(repository), key, stopped);
}

Status ProbeOutput(RepositoryFactory& repositories, const std::string& uri, const StopCheck& stopped) {
  if (uri.rfind("file://", 0) == 0) {
    const std::string path = uri.substr(7);
    LEAT_RETURN_IF_ERROR(CreateDirectories(path));
    if (access(path.c_str(), W_OK | X_OK) != 0) return FailErrno(errno, path + " cannot be written");
    return {};
  }
  const RepositoryLocation location = LocationOf(uri);
  LEAT_ASSIGN_OR_RETURN(const Repository repository, repositories.Open(location.repository, 1));
  env::ListRequest request;
  request.prefix = location.key;
  request.keys_max = 1;
  LEAT_RETURN_IF_ERROR(
      AwaitUnlessStopped<env::ListPage>(stopped, [&](auto done) { repository.store->List(request, std::move(done)); }));
  return {};
}

Result<std::string> UploadDirectory(RepositoryFactory& repositories, const std::string& directory,
                                    const std::string& uri, bool compress, const StopCheck& stopped) {
  if (compress) {
    const std::string artifact = uri + ".tar.gz";
    LEAT_ASSIGN_OR_RETURN(auto writer, OpenArtifact(repositories, artifact, stopped));
    LEAT_RETURN_IF_ERROR(WriteArchive(directory, [&](std::span<const std::byte> bytes) -> Status {
      if (stopped && stopped()) return Fail(ErrorCode::kCancelled, "stopped");
      return writer->Write(bytes);
    }));
    LEAT_RETURN_IF_ERROR(writer->Finish());
    return artifact;
  }
  LEAT_ASSIGN_OR_RETURN(const ArtifactFiles found, ArtifactFilesIn(directory));
  for (const auto& file : found.files)
    LEAT_RETURN_IF_ERROR(CopyFile(repositories, file.path, uri + "/" + file.name, stopped));
  return uri + "/";
}

}  // namespace leat::jobs
