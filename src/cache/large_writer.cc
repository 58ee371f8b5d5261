// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>

#include "base/crc32c.h"
#include "base/log.h"
#include "cache/step.h"
#include "cache/store.h"

namespace leat::cache {
namespace {

// Runs from this length on are given their room on the disk at once: ext4 reserves room page by page otherwise, which
// took 1.7 to 7 times as long in all (docs/decisions/0014-runs-of-large-objects-are-preallocated.md).
constexpr uint64_t kPreallocateBytesMin = 2 * kBlockBytes;

// Reserved: the run's blocks and a page for the trailer; what turns out to be there already is given back at the end.
class LargeWriter final : public Cache::Writer {
 public:
  LargeWriter(Store& store, std::shared_ptr<LargeObject> object, uint64_t offset, uint64_t length, uint64_t reserved,
              uint64_t intent)
      : store_(store),
        object_(std::move(object)),
        position_(offset),
        end_(offset + length),
        reserved_(reserved),
        intent_(intent),
        preallocated_(length >= kPreallocateBytesMin &&
                      LargeObjects::Preallocate(object_->file.get(), offset, length)) {}

  ~LargeWriter() override {
    bool empty = false, removed = false;
    uint64_t stuck = 0;
    {
      std::lock_guard lock(store_.CommitLock(object_->key));
      for (const auto& [block, record] : pending_) {
        std::lock_guard object_lock(object_->mutex);
        const bool last_writer = --object_->writing[block] == 0;
        if (last_writer) object_->writing.erase(block);
        if (last_writer && !object_->present[block] && !object_->detached) {
          const uint64_t bytes = RoundUp(record.length, kPageBytes);
          if (!LargeObjects::Punch(object_->file.get(), block * kBlockBytes, bytes)) stuck += bytes;
        }
      }
      if (preallocated_) stuck += PunchUnwritten();
      store_.large->EndWrite(*object_);
      if (!object_->detached) {
        std::lock_guard object_lock(object_->mutex);
        empty = object_->present_blocks == 0;
      }
      if (empty && store_.large->WritersOf(*object_) == 0) removed = store_.large->Remove(object_->key);
    }
    if (removed) stuck = 0;
    store_.space.AddStuck(stuck);
    store_.space.Unreserve(reserved_);
    if (stuck != 0) return;  // the intent stays, the next Open tries again
    IndexBatch batch;
    batch.Delete(LargeIntentKey(object_->key, intent_));
    if (const Status written = store_.index->Write(batch); !written) LogWarning(written.error().message);
  }

  void Append(std::span<const std::byte> bytes) override {
    while (!dead_ && !bytes.empty()) {
      if (position_ == end_) {
        dead_ = true;  // more than was announced
        return;
      }
      const uint64_t block = position_ / kBlockBytes;
      const uint64_t length = object_->BlockLength(block);
      const auto piece = bytes.first(std::min<uint64_t>(bytes.size(), length - buffer_.size()));
      if (buffer_.empty() && piece.size() == length) {
        WriteBlock(static_cast<uint32_t>(block), piece);
        position_ += length;
      } else {
        buffer_.insert(buffer_.end(), piece.begin(), piece.end());
        if (buffer_.size() == length) {
          WriteBlock(static_cast<uint32_t>(block), buffer_);
          buffer_.clear();
          position_ += length;
        }
      }
      bytes = bytes.subspan(piece.size());
    }
  }

  Status Commit() override {
    if (dead_) return Fail(ErrorCode::kIo, "an object could not be written to the cache");
    if (pending_.empty()) return {};
    const auto start = std::chrono::steady_clock::now();
    Status committed = CommitPending();
    const auto took = took_ + (std::chrono::steady_clock::now() - start);
    store_.WriteTook(took / written_blocks_);
    took_ = {};
    written_blocks_ = 0;
    return committed;
  }

 private:
  // Gives back the room of the blocks that were never written. Bytes that could not be given back.
  uint64_t PunchUnwritten() {
    uint64_t stuck = 0;
    std::lock_guard lock(object_->mutex);
    for (uint64_t at = position_; at < end_ && !object_->detached; at += kBlockBytes) {
      const auto block = static_cast<uint32_t>(at / kBlockBytes);
      if (object_->present[block] || object_->writing.contains(block)) continue;
      const uint64_t bytes = RoundUp(object_->BlockLength(block), kPageBytes);
      if (!LargeObjects::Punch(object_->file.get(), block * kBlockBytes, bytes)) stuck += bytes;
    }
    return stuck;
  }

  Status CommitPending() {
    std::lock_guard lock(store_.CommitLock(object_->key));
    if (object_->detached) {
      dead_ = true;
      return Fail(ErrorCode::kCancelled, "the object was released from the cache while it was being written");
    }
    return Record();
  }

  void WriteBlock(uint32_t block, std::span<const std::byte> bytes) {
    BlockRecord record{static_cast<uint32_t>(bytes.size()), {}};
    for (size_t at = 0; at < bytes.size(); at += kChecksumBytes) {
      record.checksums.push_back(Crc32c(bytes.subspan(at, std::min<size_t>(kChecksumBytes, bytes.size() - at))));
    }
    {
      std::lock_guard lock(object_->mutex);
      ++object_->writing[block];
    }
    pending_.emplace_back(block, std::move(record));
    const auto start = std::chrono::steady_clock::now();
    const Status written = WriteAll(object_->file.get(), bytes, block * kBlockBytes);
    took_ += std::chrono::steady_clock::now() - start;
    ++written_blocks_;
    if (!written) {
      dead_ = true;
      store_.DiskFailed(written.error());
    }
    Step("large.written");
  }

  Status Record() {
    IndexBatch batch;
    uint64_t bytes = 0, length = 0, blocks = 0;
    bool first = false;
    {
      std::lock_guard lock(object_->mutex);
      first = object_->present_blocks == 0;
      for (const auto& [block, record] : pending_) {
        batch.Put(BlockKey(object_->key, block), Encode(record));
        if (object_->present[block]) continue;
        bytes += RoundUp(record.length, kPageBytes);
        length += record.length;
        ++blocks;
      }
    }
    if (first) bytes += kPageBytes;
    batch.Add(DatasetKey(object_->key.dataset), {static_cast<int64_t>(bytes), first ? 1 : 0});
    if (const Status written = store_.index->Write(batch); !written) {
      dead_ = true;
      store_.DiskFailed(written.error());
      return written;
    }
    Step("large.recorded");
    object_->unsynced = true;
    {
      std::lock_guard lock(object_->mutex);
      for (const auto& [block, record] : pending_) {
        object_->present[block] = true;
        if (--object_->writing[block] == 0) object_->writing.erase(block);
      }
      object_->present_blocks += blocks;
      object_->present_bytes += length;
    }
    pending_.clear();
    reserved_ -= bytes;
    store_.space.Settle(object_->key.dataset, bytes, static_cast<int64_t>(bytes), first ? 1 : 0);
    return {};
  }

  Store& store_;
  const std::shared_ptr<LargeObject> object_;
  uint64_t position_;  // of the block that is being gathered
  const uint64_t end_;
  uint64_t reserved_;
  const uint64_t intent_;
  const bool preallocated_;
  std::vector<std::byte> buffer_;
  std::chrono::steady_clock::duration took_{};             // of the writes since the last commit
  int written_blocks_ = 0;                                 // by them
  std::vector<std::pair<uint32_t, BlockRecord>> pending_;  // in the file, not committed
  bool dead_ = false;
};

}  // namespace

Result<std::unique_ptr<Cache::Writer>> StartLargeWrite(Store& store, const ObjectRef& object, uint64_t offset,
                                                       uint64_t length) {
  if (object.size_bytes > kLargeObjectBytesMax)
    return Fail(ErrorCode::kNoSpace, "the object is too large to be cached");
  const ObjectKey key = KeyOf(object);
  const uint64_t bytes = RoundUp(length, kPageBytes) + kPageBytes;
  LEAT_RETURN_IF_ERROR(store.Reserve(object.dataset, bytes));
  const uint64_t intent = store.index->NextSequence();
  IndexBatch batch;
  batch.Put(LargeIntentKey(key, intent), "");
  Result<std::shared_ptr<LargeObject>> acquired = Fail(ErrorCode::kInternal, {});
  if (const Status written = store.index->Write(batch); !written) {
    acquired = Fail(written.error());
  } else {
    Step("large.intended");
    for (int attempt = 0; attempt < 2; ++attempt) {
      {
        std::lock_guard lock(store.CommitLock(key));
        acquired = store.large->Acquire(key, object.size_bytes);
      }
      if (acquired || acquired.error().code != ErrorCode::kCorrupt) break;
      ++store.corrupt;
      LogWarning(acquired.error().message + "; dropped");
      store.ReleaseLarge(key);
    }
  }
  if (!acquired) {
    store.space.Unreserve(bytes);
    return Fail(store.RefusedByDisk(acquired.error()));
  }
  Step("large.reserved");
  return std::unique_ptr<Cache::Writer>(
      std::make_unique<LargeWriter>(store, std::move(*acquired), offset, length, bytes, intent));
}

}  // namespace leat::cache
