// SPDX-License-Identifier: Apache-2.0
#include "fs/metadata_collector.h"

#include <pthread.h>

#include <string_view>

#include "base/log.h"
#include "fs/file_system_implementation.h"
#include "model/posix_metadata.h"

namespace leat::fs {
namespace {

// As FSx, s3fs and rclone write it.
bool IsSymlinkObject(const ObjectInfo& info) {
  return info.size_bytes > 0 && info.size_bytes <= kSymlinkBytesMax &&
         DecodePosixMetadata(info.user_metadata, nullptr).is_symlink;
}

}  // namespace

MetadataCollector::~MetadataCollector() { Stop(); }

void MetadataCollector::Start() {
  std::lock_guard lock(mutex_);
  stopping_ = false;
  thread_ = std::thread([this] { Work(); });
  pthread_setname_np(thread_.native_handle(), "leat-meta");
}

void MetadataCollector::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void MetadataCollector::Expect(const catalog::Inode& inode) {
  if (inode.metadata_known) return;
  std::lock_guard lock(mutex_);
  if (stopping_) return;
  if (!expected_.insert_or_assign(inode.key, inode.id).second) return;
  expected_order_.push_back(inode.key);
  if (expected_order_.size() <= kExpectedMax) return;
  expected_.erase(expected_order_.front());
  expected_order_.pop_front();
}

void MetadataCollector::OnObjectInfo(const ObjectInfo& info) {
  if (!info.has_user_metadata) return;
  std::lock_guard lock(mutex_);
  const auto found = expected_.find(info.key);
  if (found == expected_.end() || stopping_) return;
  const InodeId id = found->second;
  // Its place in expected_order_ stays until it comes to the front; expecting the key again is harmless.
  expected_.erase(found);
  if (info.user_metadata.empty() || queue_.size() >= kQueueMax) return;
  queue_.emplace_back(id, info);
  wake_.notify_one();
}

void MetadataCollector::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const auto [id, info] = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    ApplyFetched(id, info);
    lock.lock();
  }
}

void MetadataCollector::ApplyFetched(InodeId id, const ObjectInfo& info) {
  const auto record = file_system_->Record(id);
  if (!record || (*record)->inode.metadata_known || (*record)->inode.removed) return;
  if ((*record)->inode.etag != info.etag) return;  // another version than this inode's
  Apply(id, info, [key = info.key](Status status) {
    if (!status && status.error().code != ErrorCode::kCancelled) {
      LogWarning("metadata of " + key + " is not applied: " + status.error().message);
    }
  });
}

void MetadataCollector::Apply(InodeId id, const ObjectInfo& info, std::function<void(Status)> done) {
  if (!IsSymlinkObject(info)) return done(file_system_->catalog().ApplyMetadata(id, info, {}));
  const auto record = file_system_->Record(id);
  if (!record) return done(Fail(record.error()));
  auto gate = file_system_->gate();
  auto* file_system = file_system_;
  file_system_->hydrator().Read(
      file_system_->repository(), (*record)->object, 0, (*record)->object.size_bytes,
      [gate, file_system, id, info, done = std::move(done)](Result<hydrate::DataSlice> slice) {
        GateScope scope(gate);
        if (!scope) return done(Fail(ErrorCode::kCancelled, "the file system is being closed"));
        if (!slice) return done(Fail(slice.error()));
        const std::string_view body(reinterpret_cast<const char*>(slice->bytes.data()), slice->bytes.size());
        done(file_system->catalog().ApplyMetadata(id, info, body));
      });
}

}  // namespace leat::fs
