// SPDX-License-Identifier: Apache-2.0
#include "cache/segments.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/log.h"
#include "base/text.h"
#include "cache/records.h"
#include "cache/step.h"

namespace leat::cache {
namespace {

// Gives back every block past `end`. ext4 frees blocks past the end of a file only when the size does not grow: hence
// twice.
bool Trim(int file, uint64_t end) {
  return ::ftruncate(file, static_cast<off_t>(end)) == 0 && ::ftruncate(file, static_cast<off_t>(end)) == 0;
}

}  // namespace

std::string SegmentFileName(uint32_t number) {
  std::string digits = std::to_string(number);
  return std::string(digits.size() < 8 ? 8 - digits.size() : 0, '0') + digits;
}

Segment::Segment(uint32_t number, int directory, FileDescriptor file)
    : number_(number), directory_(directory), file_(file.Release()) {}

Segment::~Segment() {
  if (const int file = file_.load(); file >= 0) ::close(file);
}

int Segment::file() {
  int file = file_.load(std::memory_order_acquire);
  if (file >= 0) return file;
  const int opened = ::openat(directory_, SegmentFileName(number_).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (opened < 0) return -1;
  if (file_.compare_exchange_strong(file, opened)) return opened;
  ::close(opened);  // another reader was first
  return file;
}

Segments::Segments(int directory, Index& index, Space& space, uint64_t segment_bytes)
    : directory_(directory), index_(index), space_(space), segment_bytes_(segment_bytes) {}

Status Segments::Open() {
  std::set<uint32_t> untidy;
  LEAT_RETURN_IF_ERROR(index_.ForEach(SegmentPrefix(), "", [&](std::string_view key, std::string_view value) {
    const auto number = NumberIn(key, 1);
    const auto counters = DecodeCounters(value);
    if (!number || counters.empty()) return true;
    auto segment = std::make_shared<Segment>(*number, directory_, FileDescriptor());
    segment->live_ = static_cast<uint64_t>(std::max<int64_t>(counters[0], 0));
    segments_.emplace(*number, segment);
    next_number_ = std::max(next_number_, *number + 1);
    if (segment->live_ == 0) untidy.insert(*number);
    return true;
  }));
  IndexBatch done;
  LEAT_RETURN_IF_ERROR(index_.ForEach(SegmentIntentPrefix(), "", [&](std::string_view key, std::string_view) {
    if (const auto number = NumberIn(key, 2)) {
      untidy.insert(*number);
      next_number_ = std::max(next_number_, *number + 1);
    }
    done.Delete(std::string(key));
    return true;
  }));
  // Files that the index has never heard of: it went back in time, or the process ended while making one.
  const int listing = ::openat(directory_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* directory = listing < 0 ? nullptr : ::fdopendir(listing);
  if (directory == nullptr) return FailErrno(errno, "cannot list the cache's segments");
  std::vector<std::string> unknown;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const auto number = ParseUnsigned(name);
    if (number && *number < UINT32_MAX) next_number_ = std::max(next_number_, static_cast<uint32_t>(*number) + 1);
    if (!number || !segments_.contains(static_cast<uint32_t>(*number))) unknown.push_back(name);
  }
  ::closedir(directory);
  for (const auto& name : unknown) ::unlinkat(directory_, name.c_str(), 0);
  for (const uint32_t number : untidy) LEAT_RETURN_IF_ERROR(Tidy(number));
  return done.empty() ? Status() : index_.Write(done);
}

// Makes a hole of everything that no record covers.
Status Segments::Tidy(uint32_t number) {
  const auto found = segments_.find(number);
  if (found == segments_.end()) return {};
  const std::shared_ptr<Segment> segment = found->second;
  uint64_t covered = 0;
  std::vector<std::pair<uint64_t, uint64_t>> gaps;
  LEAT_RETURN_IF_ERROR(index_.ForEach(PlacePrefix(number), "", [&](std::string_view key, std::string_view value) {
    const auto page = NumberIn(key, 5);
    const auto place = DecodePlace(value);
    if (!page || !place) return true;
    const uint64_t offset = *page * kPageBytes;
    if (offset > covered) gaps.emplace_back(covered, offset - covered);
    covered = std::max(covered, offset + place->pages * kPageBytes);
    return true;
  }));
  if (covered == 0) {
    segment->live_ = 0;
    SettleSealed(segment);
    return {};
  }
  if (segment->file() < 0) return {};  // its objects turn out to be misses, one by one
  for (const auto& [offset, bytes] : gaps) Punch(*segment, offset, bytes);
  if (!Trim(segment->file(), covered)) {
    LogWarning("cannot give back the tail of cache segment " + SegmentFileName(number));
  }
  return {};
}

Result<std::shared_ptr<Segment>> Segments::Create() {
  uint32_t number = 0;
  {
    std::lock_guard lock(mutex_);
    number = next_number_++;
  }
  const uint64_t intent = index_.NextSequence();
  IndexBatch batch;
  batch.Add(SegmentKey(number), {0});
  batch.Put(SegmentIntentKey(number, intent), "");
  LEAT_RETURN_IF_ERROR(index_.Write(batch));
  Step("segment.recorded");
  FileDescriptor file(
      ::openat(directory_, SegmentFileName(number).c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return FailErrno(errno, "cannot create cache segment " + SegmentFileName(number));
  auto segment = std::make_shared<Segment>(number, directory_, std::move(file));
  segment->sealed_ = false;
  segment->intent_ = intent;
  return segment;
}

Result<Place> Segments::Allocate(uint64_t bytes) {
  for (std::shared_ptr<Segment> fresh;;) {
    std::shared_ptr<Segment> full, unused;
    Place place;
    uint64_t from_tail = 0;
    bool extend = false;
    {
      std::lock_guard lock(mutex_);
      const auto fits = [&](const Segment& segment) {
        return segment.next_ == 0 || segment.next_ + bytes <= segment_bytes_;
      };
      if (fresh != nullptr) {
        segments_.emplace(fresh->number_, fresh);
        if (current_ != nullptr && fits(*current_)) {  // another thread made one at the same time
          unused = fresh;
          unused->sealed_ = true;
        } else {
          full = std::exchange(current_, fresh);
          if (full != nullptr) full->sealed_ = true;
        }
        fresh = nullptr;
      }
      if (current_ != nullptr && fits(*current_)) {
        place = {current_, current_->next_};
        current_->next_ += bytes;
        current_->reserved_ += bytes;
        if (current_->preallocated_end_ > place.offset) {
          from_tail = std::min(bytes, current_->preallocated_end_ - place.offset);
        }
        current_->preallocated_end_ = std::max(current_->preallocated_end_, current_->next_);
        extend = current_->preallocated_end_ == current_->next_ && can_preallocate_;
      }
    }
    if (full != nullptr) FinishSealing(full);
    if (unused != nullptr) FinishSealing(unused);
    if (place.segment != nullptr) {
      if (from_tail != 0) space_.ReleaseTail(from_tail);
      if (extend) Preallocate(place.segment);
      return place;
    }
    LEAT_ASSIGN_OR_RETURN(fresh, Create());
  }
}

void Segments::Preallocate(const std::shared_ptr<Segment>& segment) {
  uint64_t start = 0, bytes = 0;
  {
    std::lock_guard lock(mutex_);
    if (segment->sealed_ || segment->preallocated_end_ != segment->next_ || segment->next_ >= segment_bytes_) return;
    bytes = space_.ReserveTail(std::min(kPreallocateBytes, segment_bytes_ - segment->next_) / kPageBytes * kPageBytes);
    start = segment->next_;
    segment->preallocated_end_ += bytes;
  }
  if (bytes == 0) return;
  const bool worthwhile = bytes >= kPreallocateBytesMin;
  const int result = worthwhile ? ::fallocate(segment->file(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(start),
                                              static_cast<off_t>(bytes))
                                : 0;
  if (result != 0 && errno == EOPNOTSUPP) can_preallocate_ = false;
  bool sealed = false;
  uint64_t end = 0, given_back = 0;
  {
    std::lock_guard lock(mutex_);
    sealed = segment->sealed_;
    end = segment->next_;
    if (!sealed && (result != 0 || !worthwhile)) {  // no blocks were taken, so no tail is held
      given_back = segment->preallocated_end_ - segment->next_;
      segment->preallocated_end_ = segment->next_;
    }
  }
  if (given_back != 0) space_.ReleaseTail(given_back);
  // Sealed meanwhile: the tail that sealing gave back has been taken again just now.
  if (sealed && !Trim(segment->file(), end)) LogWarning("cannot trim a cache segment");
}

void Segments::SealCurrent() {
  std::shared_ptr<Segment> segment;
  {
    std::lock_guard lock(mutex_);
    segment = std::exchange(current_, nullptr);
    if (segment == nullptr) return;
    segment->sealed_ = true;
  }
  FinishSealing(segment);
}

// Gives the tail's blocks back, then its room. Writes in progress lie below next_, which no longer moves.
void Segments::FinishSealing(const std::shared_ptr<Segment>& segment) {
  uint64_t end = 0, tail = 0;
  {
    std::lock_guard lock(mutex_);
    end = segment->next_;
    tail = segment->preallocated_end_ - end;
    segment->preallocated_end_ = end;
  }
  if (!Trim(segment->file(), end)) {
    LogWarning("cannot give back the tail of cache segment " + SegmentFileName(segment->number_));
  }
  if (tail != 0) space_.ReleaseTail(tail);
  SettleSealed(segment);
}

// Once no write is in progress in a sealed segment its intent ends; once nothing is live either, it is deleted.
void Segments::SettleSealed(const std::shared_ptr<Segment>& segment) {
  std::optional<uint64_t> intent;
  bool empty = false;
  {
    std::lock_guard lock(mutex_);
    if (!segment->sealed_ || segment->reserved_ != 0) return;
    empty = segment->live_ == 0 && segments_.erase(segment->number_) > 0;
    intent = std::exchange(segment->intent_, std::nullopt);
  }
  if (empty) {
    // Truncated first, so that the blocks are free at once even if a reader still holds the descriptor.
    if (const int file = segment->file(); file >= 0 && !Trim(file, 0)) LogWarning("cannot trim a cache segment");
    ::unlinkat(directory_, SegmentFileName(segment->number_).c_str(), 0);
  }
  IndexBatch batch;
  if (intent) batch.Delete(SegmentIntentKey(segment->number_, *intent));
  if (empty) batch.Delete(SegmentKey(segment->number_));
  if (batch.empty()) return;
  if (const Status written = index_.Write(batch); !written) LogWarning(written.error().message);
}

void Segments::Commit(Segment& segment, uint64_t bytes) {
  std::shared_ptr<Segment> sealed;
  {
    std::lock_guard lock(mutex_);
    segment.reserved_ -= bytes;
    segment.live_ += bytes;
    if (segment.sealed_ && segment.reserved_ == 0) {
      if (const auto found = segments_.find(segment.number_); found != segments_.end()) sealed = found->second;
    }
  }
  if (sealed != nullptr) SettleSealed(sealed);
}

void Segments::Abandon(const Place& place, uint64_t bytes) {
  // A hole can be punched only below the file's end, and preallocated blocks may lie beyond it.
  const std::byte last{};
  if (::pwrite(place.segment->file(), &last, 1, static_cast<off_t>(place.offset + bytes - 1)) == 1) {
    Punch(*place.segment, place.offset, bytes);
  }
  {
    std::lock_guard lock(mutex_);
    place.segment->reserved_ -= bytes;
  }
  SettleSealed(place.segment);
}

void Segments::Discard(uint32_t number, uint64_t offset, uint64_t bytes) {
  const std::shared_ptr<Segment> segment = Find(number);
  if (segment == nullptr) return;
  Punch(*segment, offset, bytes);
  {
    std::lock_guard lock(mutex_);
    segment->live_ -= std::min(bytes, segment->live_);
  }
  SettleSealed(segment);
}

void Segments::EndIntent(uint32_t number, uint64_t sequence) {
  IndexBatch batch;
  batch.Delete(SegmentIntentKey(number, sequence));
  if (const Status written = index_.Write(batch); !written) LogWarning(written.error().message);
}

std::shared_ptr<Segment> Segments::Find(uint32_t number) {
  std::lock_guard lock(mutex_);
  const auto found = segments_.find(number);
  return found == segments_.end() ? nullptr : found->second;
}

void Segments::Punch(Segment& segment, uint64_t offset, uint64_t bytes) {
  const int file = segment.file();
  if (file < 0 || !can_punch_) return;
  if (::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(bytes)) == 0) {
    return;
  }
  if (errno == EOPNOTSUPP && can_punch_.exchange(false)) {
    LogWarning("the cache's file system cannot punch holes: room is given back only when a whole segment is free");
  }
}

void Segments::Sync(uint64_t& errors) {
  std::vector<std::shared_ptr<Segment>> unsynced;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [number, segment] : segments_) {
      if (segment->unsynced_.exchange(false)) unsynced.push_back(segment);
    }
  }
  for (const auto& segment : unsynced) {
    if (::fdatasync(segment->file()) != 0) ++errors;  // never believed later: every read is checked
  }
}

void Segments::Close() { SealCurrent(); }

}  // namespace leat::cache
