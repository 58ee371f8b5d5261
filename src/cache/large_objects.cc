// SPDX-License-Identifier: Apache-2.0
#include "cache/large_objects.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/log.h"
#include "base/text.h"

namespace leat::cache {

std::string LargeFileName(const ObjectKey& key) {
  const std::string id = ToLower(HexEncode(key.id.bytes));
  std::string dataset;
  for (int shift = 28; shift >= 0; shift -= 4) dataset.push_back("0123456789abcdef"[Value(key.dataset) >> shift & 15]);
  return id.substr(0, 2) + "/" + id + "-" + dataset;
}

uint64_t LargeObject::BlockLength(uint64_t block) const {
  return std::min(kBlockBytes, size_bytes - block * kBlockBytes);
}

bool LargeObject::Has(uint64_t offset, uint64_t length) {
  std::lock_guard lock(mutex);
  if (length == 0) return true;
  for (uint64_t block = offset / kBlockBytes; block <= (offset + length - 1) / kBlockBytes; ++block) {
    if (block >= present.size() || !present[block]) return false;
  }
  return true;
}

std::shared_ptr<LargeObject> LargeObjects::Peek(const ObjectKey& key) {
  std::lock_guard lock(mutex_);
  const auto found = open_.find(key);
  if (found == open_.end()) return nullptr;
  by_use_.splice(by_use_.begin(), by_use_, found->second);
  return *found->second;
}

void LargeObjects::Remember(const std::shared_ptr<LargeObject>& object, bool writer) {
  std::vector<std::shared_ptr<LargeObject>> closed;  // closed after the lock
  std::lock_guard lock(mutex_);
  if (writer) ++object->writers;
  if (!open_.contains(object->key)) {
    by_use_.push_front(object);
    open_.emplace(object->key, by_use_.begin());
  }
  for (auto at = by_use_.end(); open_.size() > open_max_ && at != by_use_.begin();) {
    --at;
    if ((*at)->writers != 0 || *at == object) continue;
    if ((*at)->unsynced) closed_unsynced_.insert((*at)->key);
    closed.push_back(*at);
    open_.erase((*at)->key);
    at = by_use_.erase(at);
  }
}

Result<std::shared_ptr<LargeObject>> LargeObjects::Find(const ObjectKey& key, uint64_t size_bytes) {
  if (auto open = Peek(key)) return open;
  auto object = std::make_shared<LargeObject>();
  object->key = key;
  object->size_bytes = size_bytes;
  object->present.resize(RoundUp(size_bytes, kBlockBytes) / kBlockBytes);
  const std::string prefix = BlockPrefix(key);
  LEAT_RETURN_IF_ERROR(index_.ForEach(prefix, "", [&](std::string_view at, std::string_view) {
    const auto block = NumberIn(at, prefix.size());
    if (!block || *block >= object->present.size()) return true;
    object->present[*block] = true;
    ++object->present_blocks;
    object->present_bytes += object->BlockLength(*block);
    return true;
  }));
  if (object->present_blocks == 0) return Fail(ErrorCode::kNotFound, {});
  const std::string name = LargeFileName(key);
  object->file = FileDescriptor(::openat(directory_, name.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!object->file.valid()) {
    const bool gone = errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
    if (!gone) return FailErrno(errno, "cannot open cache file " + name);
    return Fail(ErrorCode::kCorrupt, "cache file " + name + " is gone");
  }
  Trailer found{};
  const ssize_t got =
      ::pread(object->file.get(), found.data(), found.size(), static_cast<off_t>(RoundUp(size_bytes, kPageBytes)));
  if (got < 0) return FailErrno(EIO, "cannot read cache file " + name);
  if (got != static_cast<ssize_t>(found.size()) || found != MakeTrailer(key.id, size_bytes)) {
    return Fail(ErrorCode::kCorrupt, "cache file " + name + " does not hold the object that its name tells");
  }
  Remember(object, false);
  return object;
}

Result<std::shared_ptr<LargeObject>> LargeObjects::Acquire(const ObjectKey& key, uint64_t size_bytes) {
  auto found = Find(key, size_bytes);
  if (found) {
    Remember(*found, true);
    return found;
  }
  if (found.error().code != ErrorCode::kNotFound) return found;
  auto object = std::make_shared<LargeObject>();
  object->key = key;
  object->size_bytes = size_bytes;
  object->present.resize(RoundUp(size_bytes, kBlockBytes) / kBlockBytes);
  const std::string name = LargeFileName(key);
  if (::mkdirat(directory_, name.substr(0, 2).c_str(), 0700) != 0 && errno != EEXIST) {
    return FailErrno(errno, "cannot create a directory in the cache");
  }
  // What a crash left under this name has no record.
  if (::unlinkat(directory_, name.c_str(), 0) != 0 && errno != ENOENT) {
    return FailErrno(errno, "cannot replace cache file " + name);
  }
  object->file =
      FileDescriptor(::openat(directory_, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!object->file.valid()) return FailErrno(errno, "cannot create cache file " + name);
  const Trailer trailer = MakeTrailer(key.id, size_bytes);
  const Status written = WriteAll(object->file.get(), trailer, RoundUp(size_bytes, kPageBytes));
  if (!written) {
    ::unlinkat(directory_, name.c_str(), 0);
    return Fail(written.error());
  }
  object->unsynced = true;
  Remember(object, true);
  return object;
}

void LargeObjects::EndWrite(LargeObject& object) {
  std::lock_guard lock(mutex_);
  --object.writers;
}

bool LargeObjects::Remove(const ObjectKey& key) {
  std::shared_ptr<LargeObject> object;
  {
    std::lock_guard lock(mutex_);
    if (const auto found = open_.find(key); found != open_.end()) {
      object = *found->second;
      by_use_.erase(found->second);
      open_.erase(found);
    }
  }
  const std::string name = LargeFileName(key);
  bool emptied = false;
  if (object != nullptr) {
    object->detached = true;
    // So that the blocks are free at once even if a reader still holds the descriptor.
    emptied = ::ftruncate(object->file.get(), 0) == 0;
    if (!emptied) LogWarning("cannot empty cache file " + name);
  }
  const bool deleted = ::unlinkat(directory_, name.c_str(), 0) == 0 || errno == ENOENT || errno == ENOTDIR;
  if (!deleted) LogWarning("cannot delete cache file " + name);
  return emptied || deleted;
}

uint32_t LargeObjects::WritersOf(const LargeObject& object) {
  std::lock_guard lock(mutex_);
  return object.writers;
}

Status LargeObjects::Tidy() {
  std::set<ObjectKey> keys;
  IndexBatch done;
  LEAT_RETURN_IF_ERROR(index_.ForEach(LargeIntentPrefix(), "", [&](std::string_view key, std::string_view) {
    if (const auto object = ObjectKeyIn(key)) keys.insert(*object);
    done.Delete(std::string(key));
    return true;
  }));
  for (const ObjectKey& key : keys) {
    std::vector<uint32_t> blocks;
    const std::string prefix = BlockPrefix(key);
    LEAT_RETURN_IF_ERROR(index_.ForEach(prefix, "", [&](std::string_view at, std::string_view) {
      if (const auto block = NumberIn(at, prefix.size())) blocks.push_back(*block);
      return true;
    }));
    const std::string name = LargeFileName(key);
    const auto try_again = [&] { done.Put(LargeIntentKey(key, index_.NextSequence()), ""); };
    if (blocks.empty()) {
      if (::unlinkat(directory_, name.c_str(), 0) != 0 && errno != ENOENT) try_again();
      continue;
    }
    FileDescriptor file(::openat(directory_, name.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (!file.valid() || ::fstat(file.get(), &info) != 0) {
      if (file.valid() || errno != ENOENT) try_again();
      continue;
    }
    // The trailer stands at the start of the last page.
    const uint64_t end = static_cast<uint64_t>(info.st_size) / kPageBytes * kPageBytes;
    uint64_t next = 0;
    bool tidy = true;
    for (const uint32_t block : blocks) {
      tidy = Punch(file.get(), next, block * kBlockBytes - next) && tidy;
      next = (block + uint64_t{1}) * kBlockBytes;
    }
    if (next < end) tidy = Punch(file.get(), next, end - next) && tidy;
    if (!tidy) try_again();
  }
  return done.empty() ? Status() : index_.Write(done);
}

bool LargeObjects::Preallocate(int file, uint64_t offset, uint64_t bytes) {
  // What failed may have taken some room all the same, which is to be given back; where it is not supported, none.
  return ::fallocate(file, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                     static_cast<off_t>(RoundUp(bytes, kPageBytes))) == 0 ||
         errno != EOPNOTSUPP;
}

bool LargeObjects::Punch(int file, uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return true;
  if (::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(bytes)) == 0) {
    return true;
  }
  LogWarning("cannot give back room of a cache file: " + FailErrno(errno, "fallocate").value().message);
  return false;
}

void LargeObjects::Sync(uint64_t& errors) {
  std::vector<std::shared_ptr<LargeObject>> unsynced;
  std::set<ObjectKey> closed;
  {
    std::lock_guard lock(mutex_);
    for (const auto& object : by_use_) {
      if (object->unsynced.exchange(false)) unsynced.push_back(object);
    }
    closed.swap(closed_unsynced_);
  }
  for (const auto& object : unsynced) {
    if (::fdatasync(object->file.get()) != 0) ++errors;
  }
  for (const ObjectKey& key : closed) {
    const FileDescriptor file(::openat(directory_, LargeFileName(key).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
    if (!file.valid() && errno == ENOENT) continue;  // released meanwhile
    if (!file.valid() || ::fdatasync(file.get()) != 0) ++errors;
  }
}

}  // namespace leat::cache
