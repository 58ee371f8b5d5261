// SPDX-License-Identifier: Apache-2.0
#include "cache/store.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/log.h"
#include "base/text.h"
#include "cache/step.h"

namespace leat::cache {

using policy::Admission;

namespace {
int64_t Negative(uint64_t bytes) { return -static_cast<int64_t>(bytes); }
}  // namespace

void Store::DiskFailed(const Error& error) {
  ++io_errors;
  if (!space.BackingOff()) LogWarning("cache: " + error.message + "; nothing is cached for a few seconds");
  space.DiskRefused();
}

Error Store::RefusedByDisk(const Error& error) {
  DiskFailed(error);
  return {ErrorCode::kBusy, error.message};
}

void Store::WriteTook(std::chrono::steady_clock::duration took) {
  if (took < options.slow_write) {
    slow_writes = 0;
    return;
  }
  if (++slow_writes < kSlowWritesMax) return;
  slow_writes = 0;
  if (!space.BackingOff()) {
    LogWarning("cache: its disk takes more than " + std::to_string(options.slow_write.count()) +
               " ms to keep an object; nothing is cached for a few seconds");
  }
  space.DiskRefused();
}

Status Store::Reserve(DatasetId wanted, uint64_t bytes) {
  const Admission admission = space.Admit(bytes, evictor.Busy(), /*tail_asked=*/false);
  if (admission != Admission::kTakeBackTail && admission != Admission::kMakeRoom) return Answer(admission, bytes);
  {
    // One thread at a time asks, so that two do not evict twice what is needed; it does little more than ask.
    std::unique_lock lock(asking_mutex);
    if (!asked.wait_for(lock, kAskingTime, [this] { return !asking; })) return Answer(Admission::kLater, bytes);
    asking = true;
  }
  Status reserved = MakeRoom(wanted, bytes);
  {
    std::lock_guard lock(asking_mutex);
    asking = false;
  }
  asked.notify_all();
  return reserved;
}

Status Store::Answer(Admission admission, uint64_t bytes) const {
  if (admission == Admission::kKeep) return {};
  if (admission == Admission::kLater) {
    return Fail(ErrorCode::kBusy, space.BackingOff() ? "the cache's disk refused a write or was too slow a moment ago"
                                                     : "room is being made in the cache");
  }
  return Fail(ErrorCode::kNoSpace, "the cache is full: " + FormatBytes(bytes) + " more do not fit in " +
                                       FormatBytes(space.Capacity()) + "; raise its capacity or release a dataset");
}

Status Store::MakeRoom(DatasetId wanted, uint64_t bytes) {
  // Asked anew: another thread or an eviction may have made room just now.
  Admission admission = space.Admit(bytes, evictor.Busy(), /*tail_asked=*/false);
  if (admission == Admission::kTakeBackTail) {
    segments->SealCurrent();
    admission = space.Admit(bytes, evictor.Busy(), /*tail_asked=*/true);
  }
  if (admission != Admission::kMakeRoom) return Answer(admission, bytes);
  const uint64_t lacking = space.Lacking(bytes);
  if (lacking == 0) return Answer(Admission::kLater, bytes);  // somebody gave room back since
  // What holds nothing, or gave nothing back, makes no room and would be chosen again and again.
  std::set<DatasetId> fruitless;
  {
    std::lock_guard lock(fruitless_mutex);
    fruitless = fruitless_datasets;
  }
  uint64_t fruitless_bytes = 0;
  for (const DatasetId dataset : fruitless) fruitless_bytes += space.Usage(dataset).bytes;
  std::vector<DatasetId> chosen;
  if (chooser) chosen = chooser(wanted, lacking + fruitless_bytes);
  chosen.erase(
      std::remove_if(chosen.begin(), chosen.end(),
                     [&](DatasetId dataset) { return space.Usage(dataset).bytes == 0 || fruitless.contains(dataset); }),
      chosen.end());
  if (chosen.empty()) return Answer(Admission::kReadThrough, bytes);
  evictor.Evict(std::move(chosen), lacking);
  return Answer(Admission::kLater, bytes);
}

uint64_t Store::Evict(DatasetId dataset, const std::atomic<bool>& stop) {
  const Released released = ReleaseDataset(dataset, &stop);
  evicted_bytes += released.bytes;
  if (released.bytes == 0 && !stop) {
    std::lock_guard lock(fruitless_mutex);
    fruitless_datasets.insert(dataset);
  }
  LogInfo("cache: evicted dataset " + std::to_string(Value(dataset)) + ", " + FormatBytes(released.bytes));
  return released.bytes;
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

Released Store::ReleaseSmall(const ObjectKey& key, const ExtentRecord* only) {
  std::optional<ExtentRecord> record;
  uint64_t bytes = 0;
  const uint64_t intent = index->NextSequence();
  {
    std::lock_guard lock(CommitLock(key));
    const Result<std::string> value = index->Get(ExtentKey(key));
    extents.Erase(key);
    if (!value) return {0, value.error().code == ErrorCode::kNotFound ? Status() : Fail(value.error())};
    record = DecodeExtent(*value);
    if (only != nullptr && (!record || *record != *only)) return {};
    IndexBatch batch;
    batch.Delete(ExtentKey(key));
    if (record) {
      bytes = ExtentBytes(record->length);
      batch.Delete(PlaceKey(record->segment, record->page));
      batch.Add(SegmentKey(record->segment), {Negative(bytes)});
      batch.Add(DatasetKey(key.dataset), {Negative(bytes), -1});
      batch.Put(SegmentIntentKey(record->segment, intent), "");
    }
    if (Status written = index->Write(batch); !written) {
      DiskFailed(written.error());
      return {0, std::move(written)};
    }
    extents.Erase(key);
  }
  if (!record) return {};
  Step("release.recorded");
  segments->Discard(record->segment, record->page * kPageBytes, bytes);
  segments->EndIntent(record->segment, intent);
  space.Settle(key.dataset, 0, Negative(bytes), -1);
  return {bytes, {}};
}

Released Store::ReleaseLarge(const ObjectKey& key) {
  std::lock_guard lock(CommitLock(key));
  return ReleaseLargeLocked(key);
}

Released Store::ReleaseLargeLocked(const ObjectKey& key) {
  IndexBatch batch;
  uint64_t bytes = 0;
  Status listed = index->ForEach(BlockPrefix(key), "", [&](std::string_view at, std::string_view value) {
    const auto record = DecodeBlock(value);
    bytes += RoundUp(record ? record->length : kBlockBytes, kPageBytes);
    batch.Delete(std::string(at));
    return true;
  });
  if (!listed || bytes == 0) return {0, std::move(listed)};
  bytes += kPageBytes;
  const uint64_t intent = index->NextSequence();
  batch.Add(DatasetKey(key.dataset), {Negative(bytes), -1});
  batch.Put(LargeIntentKey(key, intent), "");
  if (Status written = index->Write(batch); !written) {
    DiskFailed(written.error());
    return {0, std::move(written)};
  }
  Step("release.recorded");
  if (large->Remove(key)) {
    IndexBatch done;
    done.Delete(LargeIntentKey(key, intent));
    if (const Status written = index->Write(done); !written) LogWarning(written.error().message);
  } else {
    space.AddStuck(bytes);  // until the next Open tries again
  }
  space.Settle(key.dataset, 0, Negative(bytes), -1);
  return {bytes, {}};
}

Released Store::ReleaseBlock(const std::shared_ptr<LargeObject>& object, uint32_t block, const BlockRecord& only) {
  std::lock_guard lock(CommitLock(object->key));
  const Result<std::string> value = index->Get(BlockKey(object->key, block));
  if (!value || object->detached) return {};
  const auto record = DecodeBlock(*value);
  if (!record || *record != only) return {};
  {
    std::lock_guard object_lock(object->mutex);
    if (object->writing.contains(block)) return {};  // its bytes are being replaced
    if (!object->present[block]) return {};
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
  if (Status written = index->Write(batch); !written) {
    DiskFailed(written.error());
    return {0, std::move(written)};
  }
  // Where no hole can be made, the block's room comes back with the whole file.
  const bool punched = LargeObjects::Punch(object->file.get(), block * kBlockBytes, bytes);
  const uint64_t rest = punched ? 0 : ReleaseLargeLocked(object->key).bytes;
  if (punched || rest != 0) {
    IndexBatch done;
    done.Delete(LargeIntentKey(object->key, intent));
    if (const Status written = index->Write(done); !written) LogWarning(written.error().message);
  } else {
    space.AddStuck(bytes);
  }
  space.Settle(object->key.dataset, 0, Negative(bytes), 0);
  return {bytes + rest, {}};
}

Released Store::ReleaseDataset(DatasetId dataset, const std::atomic<bool>* stop) {
  constexpr size_t kBatchObjects = 4096;  // bounds the memory of one round
  Released all;
  const auto add = [&](Released released) {
    all.bytes += released.bytes;
    if (all.status && !released.status) all.status = std::move(released.status);
    // An eviction takes what it can get.
    return stop == nullptr ? all.status.has_value() : !*stop;
  };
  std::string from;
  for (std::vector<ObjectKey> keys;; keys.clear()) {
    Status listed = index->ForEach(ExtentPrefix(dataset), from, [&](std::string_view key, std::string_view) {
      if (const auto object = ObjectKeyIn(key)) keys.push_back(*object);
      return keys.size() < kBatchObjects;
    });
    if (!listed) return {all.bytes, std::move(listed)};
    if (keys.empty()) break;
    for (const ObjectKey& key : keys) {
      if (!add(ReleaseSmall(key))) return all;
    }
    from = ExtentKey(keys.back()) + '\0';
  }
  std::set<ObjectKey> large_keys;
  Status listed = index->ForEach(BlockPrefix(dataset), "", [&](std::string_view key, std::string_view) {
    if (const auto object = ObjectKeyIn(key)) large_keys.insert(*object);
    return true;
  });
  if (!listed) return {all.bytes, std::move(listed)};
  for (const ObjectKey& key : large_keys) {
    if (!add(ReleaseLarge(key))) return all;
  }
  return all;
}

}  // namespace leat::cache
