// SPDX-License-Identifier: Apache-2.0
#include "cache/store.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/log.h"
#include "base/text.h"
#include "cache/step.h"

namespace leat::cache {
namespace {
int64_t Negative(uint64_t bytes) { return -static_cast<int64_t>(bytes); }
}  // namespace

void Store::DiskFailed(const Error& error) {
  ++io_errors;
  if (!space.BackingOff()) LogWarning("cache: " + error.message + "; nothing is cached for a few seconds");
  space.DiskRefused();
}

Status Store::Reserve(DatasetId wanted, uint64_t bytes) {
  const auto full = [&] {
    return Fail(ErrorCode::kNoSpace, "the cache is full: " + FormatBytes(bytes) + " more do not fit in " +
                                         FormatBytes(space.Capacity()) + "; raise its capacity or release a dataset");
  };
  if (space.BackingOff()) return Fail(ErrorCode::kNoSpace, "the cache's disk refused a write a moment ago");
  if (bytes > space.Capacity()) return full();
  if (space.Reserve(bytes)) return {};
  {
    std::unique_lock lock(eviction_mutex);
    eviction_over.wait(lock, [this] { return !evicting; });
    evicting = true;  // one thread at a time asks, so that two do not evict twice what is needed
  }
  bool reserved = space.Reserve(bytes);
  if (!reserved && space.HasTail()) {
    segments->SealCurrent();
    reserved = space.Reserve(bytes);
  }
  if (!reserved && chooser) {
    for (const DatasetId dataset : chooser(wanted, space.Lacking(bytes))) {
      const uint64_t freed = ReleaseDataset(dataset);
      evicted_bytes += freed;
      LogInfo("cache: evicted dataset " + std::to_string(Value(dataset)) + ", " + FormatBytes(freed));
      if ((reserved = space.Reserve(bytes))) break;
    }
  }
  {
    std::lock_guard lock(eviction_mutex);
    evicting = false;
  }
  eviction_over.notify_all();
  if (!reserved) return full();
  return {};
}

std::shared_ptr<const Extent> Store::FindExtent(const ObjectKey& key) {
  if (auto known = extents.Find(key)) return known;
  const uint64_t generation = extents.Generation(key);
  const Result<std::string> value = index->Get(ExtentKey(key));
  if (!value) {
    if (value.error().code == ErrorCode::kCorrupt) ++corrupt;
    if (value.error().code == ErrorCode::kIo) ++io_errors;
    return nullptr;
  }
  auto record = DecodeExtent(*value);
  if (!record) {
    ++corrupt;
    return nullptr;
  }
  auto segment = segments->Find(record->segment);
  if (segment == nullptr) return nullptr;
  auto extent = std::make_shared<const Extent>(Extent{std::move(*record), std::move(segment)});
  extents.Insert(key, extent, generation);
  return extent;
}

std::shared_ptr<LargeObject> Store::FindLarge(const ObjectRef& object) {
  if (object.size_bytes > kLargeObjectBytesMax) return nullptr;
  const ObjectKey key = KeyOf(object);
  if (auto open = large->Peek(key)) return open;
  {
    std::lock_guard lock(CommitLock(key));
    auto found = large->Find(key, object.size_bytes);
    if (found) return *found;
    if (found.error().code == ErrorCode::kNotFound) return nullptr;
    LogWarning("cache: " + found.error().message);
    if (found.error().code != ErrorCode::kCorrupt) {
      ++io_errors;
      return nullptr;
    }
    ++corrupt;
    ReleaseLargeLocked(key);
  }
  return nullptr;
}

uint64_t Store::ReleaseSmall(const ObjectKey& key, const ExtentRecord* only) {
  std::optional<ExtentRecord> record;
  uint64_t bytes = 0;
  const uint64_t intent = index->NextSequence();
  {
    std::lock_guard lock(CommitLock(key));
    const Result<std::string> value = index->Get(ExtentKey(key));
    extents.Erase(key);
    if (!value) return 0;
    record = DecodeExtent(*value);
    if (only != nullptr && (!record || *record != *only)) return 0;
    IndexBatch batch;
    batch.Delete(ExtentKey(key));
    if (record) {
      bytes = ExtentBytes(record->length);
      batch.Delete(PlaceKey(record->segment, record->page));
      batch.Add(SegmentKey(record->segment), {Negative(bytes)});
      batch.Add(DatasetKey(key.dataset), {Negative(bytes), -1});
      batch.Put(SegmentIntentKey(record->segment, intent), "");
    }
    if (const Status written = index->Write(batch); !written) {
      DiskFailed(written.error());
      return 0;
    }
    extents.Erase(key);
  }
  if (!record) return 0;
  Step("release.recorded");
  segments->Discard(record->segment, record->page * kPageBytes, bytes);
  segments->EndIntent(record->segment, intent);
  space.Settle(key.dataset, 0, Negative(bytes), -1);
  return bytes;
}

uint64_t Store::ReleaseLarge(const ObjectKey& key) {
  std::lock_guard lock(CommitLock(key));
  return ReleaseLargeLocked(key);
}

uint64_t Store::ReleaseLargeLocked(const ObjectKey& key) {
  IndexBatch batch;
  uint64_t bytes = 0;
  const Status listed = index->ForEach(BlockPrefix(key), "", [&](std::string_view at, std::string_view value) {
    const auto record = DecodeBlock(value);
    bytes += RoundUp(record ? record->length : kBlockBytes, kPageBytes);
    batch.Delete(std::string(at));
    return true;
  });
  if (!listed || bytes == 0) return 0;
  bytes += kPageBytes;
  const uint64_t intent = index->NextSequence();
  batch.Add(DatasetKey(key.dataset), {Negative(bytes), -1});
  batch.Put(LargeIntentKey(key, intent), "");
  if (const Status written = index->Write(batch); !written) {
    DiskFailed(written.error());
    return 0;
  }
  Step("release.recorded");
  large->Remove(key);
  IndexBatch done;
  done.Delete(LargeIntentKey(key, intent));
  if (const Status written = index->Write(done); !written) LogWarning(written.error().message);
  space.Settle(key.dataset, 0, Negative(bytes), -1);
  return bytes;
}

uint64_t Store::ReleaseBlock(const std::shared_ptr<LargeObject>& object, uint32_t block, const BlockRecord& only) {
  std::lock_guard lock(CommitLock(object->key));
  const Result<std::string> value = index->Get(BlockKey(object->key, block));
  if (!value || object->detached) return 0;
  const auto record = DecodeBlock(*value);
  if (!record || *record != only) return 0;
  {
    std::lock_guard object_lock(object->mutex);
    if (object->writing.contains(block)) return 0;  // its bytes are being replaced
    if (!object->present[block]) return 0;
    if (object->present_blocks > 1) {
      object->present[block] = false;
      --object->present_blocks;
      object->present_bytes -= object->BlockLength(block);
    }
  }
  bool last = false;
  {
    std::lock_guard object_lock(object->mutex);
    last = object->present[block];
  }
  if (last) return ReleaseLargeLocked(object->key);
  const uint64_t bytes = RoundUp(record->length, kPageBytes);
  const uint64_t intent = index->NextSequence();
  IndexBatch batch;
  batch.Delete(BlockKey(object->key, block));
  batch.Add(DatasetKey(object->key.dataset), {Negative(bytes), 0});
  batch.Put(LargeIntentKey(object->key, intent), "");
  if (const Status written = index->Write(batch); !written) {
    DiskFailed(written.error());
    return 0;
  }
  LargeObjects::Punch(object->file.get(), block * kBlockBytes, bytes);
  IndexBatch done;
  done.Delete(LargeIntentKey(object->key, intent));
  if (const Status written = index->Write(done); !written) LogWarning(written.error().message);
  space.Settle(object->key.dataset, 0, Negative(bytes), 0);
  return bytes;
}

uint64_t Store::ReleaseDataset(DatasetId dataset) {
  constexpr size_t kBatchObjects = 4096;  // bounds the memory of one round
  uint64_t bytes = 0;
  std::string from;
  for (std::vector<ObjectKey> keys;; keys.clear()) {
    const Status listed = index->ForEach(ExtentPrefix(dataset), from, [&](std::string_view key, std::string_view) {
      if (const auto object = ObjectKeyIn(key)) keys.push_back(*object);
      return keys.size() < kBatchObjects;
    });
    if (!listed || keys.empty()) break;
    for (const ObjectKey& key : keys) bytes += ReleaseSmall(key);
    from = ExtentKey(keys.back()) + '\0';
  }
  std::set<ObjectKey> large_keys;
  const Status listed = index->ForEach(BlockPrefix(dataset), "", [&](std::string_view key, std::string_view) {
    if (const auto object = ObjectKeyIn(key)) large_keys.insert(*object);
    return true;
  });
  if (!listed) LogWarning(listed.error().message);
  for (const ObjectKey& key : large_keys) bytes += ReleaseLarge(key);
  return bytes;
}

}  // namespace leat::cache
