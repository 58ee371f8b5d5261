// SPDX-License-Identifier: Apache-2.0
#include "sim/memory_object_store.h"

#include <algorithm>
#include <chrono>

namespace leat::sim {

using env::RequestId;
using env::RequestKind;

MemoryObjectStore::MemoryObjectStore(MemoryObjectStoreOptions options) : options_(options), random_(options.seed) {
  for (unsigned i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { Work(); });
}

MemoryObjectStore::~MemoryObjectStore() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& thread : threads_) thread.join();
  for (auto& task : tasks_) task.run(true);
}

std::string MemoryObjectStore::PutObject(const std::string& key, std::string bytes, UserMetadata metadata) {
  std::lock_guard lock(mutex_);
  ++version_;
  auto& object = objects_[key];
  object.bytes = std::make_shared<const std::string>(std::move(bytes));
  object.etag = "\"v" + std::to_string(version_) + "\"";
  object.last_modified_ns = 1'700'000'000'000'000'000 + static_cast<int64_t>(version_) * 1'000'000'000;
  object.metadata = std::move(metadata);
  return object.etag;
}

void MemoryObjectStore::RemoveObject(const std::string& key) {
  std::lock_guard lock(mutex_);
  objects_.erase(key);
}

std::map<std::string, std::string> MemoryObjectStore::Contents() const {
  std::lock_guard lock(mutex_);
  std::map<std::string, std::string> contents;
  for (const auto& [key, object] : objects_) contents[key] = *object.bytes;
  return contents;
}

void MemoryObjectStore::AddFault(Fault fault) {
  std::lock_guard lock(mutex_);
  faults_.push_back(std::move(fault));
}

int MemoryObjectStore::FaultsFired() const {
  std::lock_guard lock(mutex_);
  return faults_fired_;
}

void MemoryObjectStore::ReleaseStalled() {
  {
    std::lock_guard lock(mutex_);
    ++stall_epoch_;
  }
  wake_.notify_all();
}

uint64_t MemoryObjectStore::GetsOf(const std::string& key) const {
  std::lock_guard lock(mutex_);
  const auto found = gets_.find(key);
  return found == gets_.end() ? 0 : found->second;
}

std::vector<std::string> MemoryObjectStore::GetsInOrder() const {
  std::lock_guard lock(mutex_);
  return gets_in_order_;
}

RequestId MemoryObjectStore::NextId() {
  std::lock_guard lock(mutex_);
  return RequestId{next_id_++};
}

void MemoryObjectStore::Enqueue(RequestId id, std::function<void(bool)> run) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back({id, std::move(run)});
  }
  wake_.notify_all();  // the one that would be woken can be a request that stalls
}

void MemoryObjectStore::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stopping_ || !tasks_.empty(); });
    if (stopping_) return;
    // A seeded choice among what waits: answers come in any order, as over several connections.
    std::swap(tasks_[random_.Below(tasks_.size())], tasks_.back());
    Task task = std::move(tasks_.back());
    tasks_.pop_back();
    const auto delay =
        options_.delay_max.count() == 0
            ? std::chrono::microseconds(0)
            : std::chrono::microseconds(random_.Below(static_cast<uint64_t>(options_.delay_max.count()) + 1));
    const bool cancelled = cancelled_.erase(static_cast<uint64_t>(task.id)) != 0;
    lock.unlock();
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
    task.run(cancelled);
    task.run = nullptr;
    lock.lock();
  }
}

bool MemoryObjectStore::TakeFault(RequestKind kind, const std::string& key, Fault& fault) {
  std::lock_guard lock(mutex_);
  for (auto& candidate : faults_) {
    if (candidate.count > 0 && candidate.kind == kind && key.starts_with(candidate.key_prefix)) {
      --candidate.count;
      ++faults_fired_;
      fault = candidate;
      return true;
    }
  }
  return false;
}

bool MemoryObjectStore::Stall(RequestId id) {
  std::unique_lock lock(mutex_);
  const uint64_t epoch = stall_epoch_;
  bool cancelled = false;
  wake_.wait(lock, [&] {
    cancelled = stopping_ || cancelled_.erase(static_cast<uint64_t>(id)) != 0;
    return cancelled || stall_epoch_ != epoch;
  });
  return !cancelled;
}

template <class T>
void MemoryObjectStore::Start(RequestKind kind, std::string key, env::Callback<T> done,
                              std::function<Result<T>()> action) {
  counters_.Of(kind)++;
  const RequestId id = NextId();
  Enqueue(id,
          [this, id, kind, key = std::move(key), done = std::move(done), action = std::move(action)](bool cancelled) {
            Fault fault;
            if (cancelled) return done(Fail(ErrorCode::kCancelled, "cancelled"));
            if (TakeFault(kind, key, fault)) {
              if (!fault.stall) return done(Fail(fault.error, "injected fault"));
              if (!Stall(id)) return done(Fail(ErrorCode::kCancelled, "cancelled"));
            }
            done(action());
          });
}

RequestId MemoryObjectStore::Get(env::GetRequest request, std::shared_ptr<env::GetReceiver> receiver) {
  counters_.Of(RequestKind::kGet)++;
  const RequestId id = NextId();
  {
    std::lock_guard lock(mutex_);
    gets_in_order_.push_back(request.key);
  }
  Enqueue(id, [this, id, request = std::move(request), receiver = std::move(receiver)](bool cancelled) {
    if (cancelled) return receiver->OnDone(Fail(ErrorCode::kCancelled, "cancelled"));
    RunGet(id, request, *receiver);
  });
  return id;
}

void MemoryObjectStore::RunGet(RequestId id, const env::GetRequest& request, env::GetReceiver& receiver) {
  Fault fault;
  const bool faulty = TakeFault(RequestKind::kGet, request.key, fault);
  if (faulty && fault.stall && !Stall(id)) return receiver.OnDone(Fail(ErrorCode::kCancelled, "cancelled"));
  const bool fails = faulty && !fault.stall && !fault.flip_bit;
  if (fails && fault.after_bytes == 0) return receiver.OnDone(Fail(fault.error, "injected fault"));
  ObjectInfo info;
  std::shared_ptr<const std::string> bytes;
  {
    std::unique_lock lock(mutex_);
    ++gets_[request.key];
    const auto found = objects_.find(request.key);
    if (found == objects_.end()) {
      lock.unlock();
      return receiver.OnDone(Fail(ErrorCode::kNotFound, "no such key: " + request.key));
    }
    if (!request.if_match.empty() && request.if_match != found->second.etag) {
      lock.unlock();
      return receiver.OnDone(Fail(ErrorCode::kObjectChanged, "the object has changed: " + request.key));
    }
    info = *DescribeLocked(request.key, found->second);
    bytes = found->second.bytes;
  }
  if (request.offset > bytes->size()) return receiver.OnDone(Fail(ErrorCode::kInvalidArgument, "range beyond the end"));
  std::string body = bytes->substr(request.offset, request.length.value_or(std::string::npos));
  if (faulty && fault.flip_bit && !body.empty()) body[body.size() / 2] = static_cast<char>(body[body.size() / 2] ^ 1);
  if (fails) body.resize(std::min<size_t>(body.size(), fault.after_bytes));
  counters_.bytes_received += body.size();  // before a reader can be served, so that a test sees it counted
  receiver.OnStart(info);
  for (size_t at = 0; at < body.size(); at += options_.data_piece_bytes) {
    const size_t length = std::min(options_.data_piece_bytes, body.size() - at);
    receiver.OnData(std::as_bytes(std::span(body).subspan(at, length)));
  }
  if (fails) return receiver.OnDone(Fail(fault.error, "injected fault"));
  // A store that verifies checksums notices the flipped bit at the end.
  if (faulty && fault.flip_bit) return receiver.OnDone(Fail(ErrorCode::kCorrupt, "checksum mismatch: " + request.key));
  receiver.OnDone({});
}

Result<ObjectInfo> MemoryObjectStore::DescribeLocked(const std::string& key, const Object& object) const {
  ObjectInfo info;
  info.key = key;
  info.etag = object.etag;
  info.size_bytes = object.bytes->size();
  info.last_modified_ns = object.last_modified_ns;
  info.has_user_metadata = true;
  info.user_metadata = object.metadata;
  return info;
}

void MemoryObjectStore::Head(std::string key, env::Callback<ObjectInfo> done) {
  Start<ObjectInfo>(RequestKind::kHead, key, std::move(done), [this, key]() -> Result<ObjectInfo> {
    std::lock_guard lock(mutex_);
    const auto found = objects_.find(key);
    if (found == objects_.end()) return Fail(ErrorCode::kNotFound, "no such key: " + key);
    return DescribeLocked(key, found->second);
  });
}

void MemoryObjectStore::List(env::ListRequest request, env::Callback<env::ListPage> done) {
  Start<env::ListPage>(RequestKind::kList, request.prefix, std::move(done),
                       [this, request] { return ListNow(request); });
}

Result<env::ListPage> MemoryObjectStore::ListNow(const env::ListRequest& request) const {
  std::lock_guard lock(mutex_);
  env::ListPage page;
  const size_t limit = std::min(request.keys_max, options_.keys_per_page_max);
  if (limit == 0) return page;
  // The token is the last key or common prefix returned, after a mark.
  std::string after = request.continuation_token.empty() ? request.start_after : request.continuation_token.substr(1);
  auto at = after.empty() ? objects_.lower_bound(request.prefix) : objects_.upper_bound(after);
  if (!after.empty() && after < request.prefix) at = objects_.lower_bound(request.prefix);
  for (; at != objects_.end() && at->first.starts_with(request.prefix); ++at) {
    const std::string& key = at->first;
    std::string common;
    if (!request.delimiter.empty()) {
      const size_t found = key.find(request.delimiter, request.prefix.size());
      if (found != std::string::npos) common = key.substr(0, found + request.delimiter.size());
    }
    // A common prefix that the page before has given out already.
    if (!common.empty() && !request.continuation_token.empty() && common <= after) continue;
    if (!common.empty() && !page.common_prefixes.empty() && page.common_prefixes.back() == common) continue;
    if (page.objects.size() + page.common_prefixes.size() == limit) {
      page.next_token = "+" + std::max(page.objects.empty() ? std::string() : page.objects.back().key,
                                       page.common_prefixes.empty() ? std::string() : page.common_prefixes.back());
      return page;
    }
    if (common.empty()) {
      ObjectInfo info = *DescribeLocked(key, at->second);
      info.has_user_metadata = false;
      info.user_metadata.clear();
      page.objects.push_back(std::move(info));
    } else {
      page.common_prefixes.push_back(common);
    }
  }
  return page;
}

void MemoryObjectStore::Put(env::PutRequest request, env::Callback<std::string> done) {
  Start<std::string>(RequestKind::kPut, request.key, std::move(done), [this, request] { return PutNow(request); });
}

Result<std::string> MemoryObjectStore::PutNow(const env::PutRequest& request) {
  {
    std::lock_guard lock(mutex_);
    const auto found = objects_.find(request.key);
    if (request.if_none_match && found != objects_.end())
      return Fail(ErrorCode::kExists, "the key exists: " + request.key);
    if (!request.if_match.empty()) {
      if (found == objects_.end()) return Fail(ErrorCode::kNotFound, "no such key: " + request.key);
      if (found->second.etag != request.if_match) return Fail(ErrorCode::kObjectChanged, "the object has changed");
    }
  }
  counters_.bytes_sent += request.body->size();
  return PutObject(request.key, *request.body, request.user_metadata);
}

void MemoryObjectStore::Delete(std::string key, env::Callback<void> done) {
  Start<void>(RequestKind::kDelete, key, std::move(done), [this, key]() -> Status {
    RemoveObject(key);
    return {};
  });
}

void MemoryObjectStore::CreateMultipartUpload(env::PutRequest request, env::Callback<std::string> done) {
  Start<std::string>(RequestKind::kMultipart, request.key, std::move(done), [this, request]() -> Result<std::string> {
    std::lock_guard lock(mutex_);
    const std::string id = "upload-" + std::to_string(++version_);
    uploads_[id] = Upload{request.key, request.user_metadata, {}};
    return id;
  });
}

void MemoryObjectStore::UploadPart(std::string key, std::string upload_id, uint32_t number,
                                   std::shared_ptr<const std::string> body, env::Callback<env::UploadedPart> done) {
  Start<env::UploadedPart>(RequestKind::kMultipart, key, std::move(done),
                           [this, upload_id, number, body]() -> Result<env::UploadedPart> {
                             std::lock_guard lock(mutex_);
                             const auto found = uploads_.find(upload_id);
                             if (found == uploads_.end()) return Fail(ErrorCode::kNotFound, "no such upload");
                             found->second.parts[number] = body;
                             return env::UploadedPart{number, "\"part" + std::to_string(number) + "\""};
                           });
}

void MemoryObjectStore::CompleteMultipartUpload(std::string key, std::string upload_id,
                                                std::vector<env::UploadedPart> parts, env::Callback<std::string> done) {
  Start<std::string>(RequestKind::kMultipart, key, std::move(done),
                     [this, key, upload_id, parts]() -> Result<std::string> {
                       std::string bytes;
                       UserMetadata metadata;
                       {
                         std::lock_guard lock(mutex_);
                         const auto found = uploads_.find(upload_id);
                         if (found == uploads_.end()) return Fail(ErrorCode::kNotFound, "no such upload");
                         for (const auto& part : parts) {
                           const auto piece = found->second.parts.find(part.number);
                           if (piece == found->second.parts.end()) {
                             return Fail(ErrorCode::kInvalidArgument, "no such part");
                           }
                           bytes += *piece->second;
                         }
                         metadata = found->second.metadata;
                         uploads_.erase(found);
                       }
                       return PutObject(key, std::move(bytes), std::move(metadata));
                     });
}

void MemoryObjectStore::AbortMultipartUpload(std::string key, std::string upload_id, env::Callback<void> done) {
  Start<void>(RequestKind::kMultipart, key, std::move(done), [this, upload_id]() -> Status {
    std::lock_guard lock(mutex_);
    uploads_.erase(upload_id);
    return {};
  });
}

void MemoryObjectStore::Cancel(RequestId id) {
  {
    std::lock_guard lock(mutex_);
    cancelled_.insert(static_cast<uint64_t>(id));
  }
  wake_.notify_all();
}

}  // namespace leat::sim
