// SPDX-License-Identifier: Apache-2.0
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include "base/crc32c.h"
#include "cache/step.h"
#include "cache/store.h"

namespace leat::cache {
namespace {

constexpr size_t kBufferBytes = 256u << 10;  // small pieces are gathered into writes of at least this

// pwritev until all is written.
Status WritePieces(int file, std::array<std::span<const std::byte>, 3> pieces, uint64_t position) {
  for (;;) {
    std::array<iovec, 3> vectors{};
    int count = 0;
    for (const auto& piece : pieces) {
      if (piece.empty()) continue;
      vectors[static_cast<size_t>(count++)] = {const_cast<std::byte*>(piece.data()), piece.size()};
    }
    if (count == 0) return {};
    const ssize_t written = ::pwritev(file, vectors.data(), count, static_cast<off_t>(position));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FailErrno(errno, "cannot write to the cache");
    if (written == 0) return Fail(ErrorCode::kIo, "cannot write to the cache");
    position += static_cast<uint64_t>(written);
    auto left = static_cast<size_t>(written);
    for (auto& piece : pieces) {
      const size_t taken = std::min(left, piece.size());
      piece = piece.subspan(taken);
      left -= taken;
    }
  }
}

class SmallWriter final : public Cache::Writer {
 public:
  SmallWriter(Store& store, const ObjectRef& object, Place place)
      : store_(store), key_(KeyOf(object)), length_(object.size_bytes), place_(std::move(place)) {}

  ~SmallWriter() override {
    if (committed_) return;
    store_.segments->Abandon(place_, ExtentBytes(length_));
    store_.space.Unreserve(ExtentBytes(length_));
  }

  void Append(std::span<const std::byte> bytes) override {
    if (dead_) return;
    if (bytes.size() > length_ - arrived_) {
      dead_ = true;
      return;
    }
    if (bytes.empty()) return;
    Check(bytes);
    arrived_ += bytes.size();
    // What completes the object goes out together with the trailer; an object in one piece is never copied.
    if (arrived_ == length_ || buffer_.size() + bytes.size() >= kBufferBytes) return Flush(bytes);
    if (buffer_.empty()) buffer_.reserve(std::min<uint64_t>(length_, kBufferBytes));
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }

  Status Commit() override {
    if (dead_) return Fail(ErrorCode::kIo, "an object could not be written to the cache");
    if (committed_) return Fail(ErrorCode::kInvalidArgument, "an object is committed to the cache once");
    if (arrived_ != length_) return Fail(ErrorCode::kInvalidArgument, "an object is committed to the cache whole");
    if (length_ == 0) Flush({});
    if (dead_) return Fail(ErrorCode::kIo, "an object could not be written to the cache");
    const auto start = std::chrono::steady_clock::now();
    Step("small.written");
    Status recorded = Record();
    store_.WriteTook(took_ + (std::chrono::steady_clock::now() - start));
    return recorded;
  }

 private:
  void Check(std::span<const std::byte> bytes) {
    uint64_t at = arrived_;
    while (!bytes.empty()) {
      const auto piece = bytes.first(std::min<uint64_t>(bytes.size(), kChecksumBytes - at % kChecksumBytes));
      if (at % kChecksumBytes == 0) checksums_.push_back(0);
      checksums_.back() = Crc32c(piece, checksums_.back());
      at += piece.size();
      bytes = bytes.subspan(piece.size());
    }
  }

  void Flush(std::span<const std::byte> bytes) {
    const auto start = std::chrono::steady_clock::now();
    const Trailer trailer = MakeTrailer(key_.id, length_);
    const bool last = arrived_ == length_;
    const Segment::File file = place_.segment->Open();
    const Status written =
        file == nullptr
            ? Status(FailErrno(errno, "cannot open a cache segment"))
            : WritePieces(file->get(), {buffer_, bytes, std::span(trailer).first(last ? trailer.size() : 0)},
                          place_.offset + flushed_);
    flushed_ += buffer_.size() + bytes.size();
    buffer_.clear();
    took_ += std::chrono::steady_clock::now() - start;
    if (written) return;
    dead_ = true;
    store_.DiskFailed(written.error());
  }

  // The record and every counter in one batch; a record that it replaces gives its room back afterwards.
  Status Record() {
    const uint64_t bytes = ExtentBytes(length_);
    const ExtentRecord record{place_.segment->number(), static_cast<uint32_t>(place_.offset / kPageBytes),
                              static_cast<uint32_t>(length_), checksums_};
    std::optional<ExtentRecord> replaced;
    uint64_t replaced_bytes = 0, intent = 0;
    {
      std::lock_guard lock(store_.CommitLock(key_));
      const Status writable = store_.index->Recover();
      const Result<std::string> before = writable ? store_.index->Get(ExtentKey(key_)) : Fail(writable.error());
      if (!before && before.error().code != ErrorCode::kNotFound) {
        // Whether this replaces a record is not known: the room of that one would be lost for ever.
        dead_ = true;
        store_.DiskFailed(before.error());
        return Fail(before.error());
      }
      if (before) replaced = DecodeExtent(*before);
      IndexBatch batch;
      if (replaced) {
        replaced_bytes = ExtentBytes(replaced->length);
        intent = store_.index->NextSequence();
        batch.Delete(PlaceKey(replaced->segment, replaced->page));
        batch.Add(SegmentKey(replaced->segment), {-static_cast<int64_t>(replaced_bytes)});
        batch.Put(SegmentIntentKey(replaced->segment, intent), "");
      }
      batch.Put(ExtentKey(key_), Encode(record));
      batch.Put(PlaceKey(record.segment, record.page),
                Encode(PlaceRecord{key_, static_cast<uint32_t>(bytes / kPageBytes)}));
      batch.Add(SegmentKey(record.segment), {static_cast<int64_t>(bytes)});
      batch.Add(DatasetKey(key_.dataset),
                {static_cast<int64_t>(bytes) - static_cast<int64_t>(replaced_bytes), replaced ? 0 : 1});
      if (const Status written = store_.index->Write(batch); !written) {
        dead_ = true;
        store_.DiskFailed(written.error());
        return written;
      }
      Step("small.recorded");
      committed_ = true;
      store_.extents.Erase(key_);
      store_.segments->MarkWritten(*place_.segment);
      store_.segments->Commit(*place_.segment, bytes);
      store_.space.Settle(key_.dataset, bytes, static_cast<int64_t>(bytes), replaced ? 0 : 1);
    }
    if (replaced) {
      store_.segments->Discard(replaced->segment, replaced->page * kPageBytes, replaced_bytes);
      store_.segments->EndIntent(replaced->segment, intent);
      store_.space.Settle(key_.dataset, 0, -static_cast<int64_t>(replaced_bytes), 0);
    }
    return {};
  }

  Store& store_;
  const ObjectKey key_;
  const uint64_t length_;
  const Place place_;
  std::vector<std::byte> buffer_;
  std::vector<uint32_t> checksums_;
  uint64_t arrived_ = 0, flushed_ = 0;
  std::chrono::steady_clock::duration took_{};  // of the writes
  bool dead_ = false, committed_ = false;
};

}  // namespace

Result<std::unique_ptr<Cache::Writer>> StartSmallWrite(Store& store, const ObjectRef& object) {
  const uint64_t bytes = ExtentBytes(object.size_bytes);
  LEAT_RETURN_IF_ERROR(store.Reserve(object.dataset, bytes));
  auto place = store.segments->Allocate(bytes);
  if (!place) {
    store.space.Unreserve(bytes);
    return Fail(store.RefusedByDisk(place.error()));
  }
  Step("small.reserved");
  return std::unique_ptr<Cache::Writer>(std::make_unique<SmallWriter>(store, object, std::move(*place)));
}

}  // namespace leat::cache
