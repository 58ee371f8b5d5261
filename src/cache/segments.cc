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

Segments::Segments(int directory, Index& index, Space& space, uint64_t segment_bytes, size_t open_max)
    : directory_(directory), index_(index), space_(space), segment_bytes_(segment_bytes), files_(directory, open_max) {}

Status Segments::Open() {
  std::set<uint32_t> untidy;
  LEAT_RETURN_IF_ERROR(index_.ForEach(SegmentPrefix(), "", [&](std::string_view key, std::string_view value) {
    const auto number = NumberIn(key, 1);
    const auto counters = DecodeCounters(value);
    if (!number || counters.empty()) return true;
    auto segment = std::make_shared<Segment>(*number, files_);
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
  for (const uint32_t number : untidy) {
    const std::shared_ptr<Segment> segment = Find(number);
    if (segment == nullptr) continue;
    LEAT_RETURN_IF_ERROR(Tidy(segment));
    if (segment->stuck_ == 0 || !segments_.contains(number)) continue;
    segment->stuck_intent_ = index_.NextSequence();  // the next Open tries again
    done.Put(SegmentIntentKey(number, *segment->stuck_intent_), "");
  }
  return done.empty() ? Status() : index_.Write(done);
}

// Makes a hole of everything that no record covers.
Status Segments::Tidy(const std::shared_ptr<Segment>& segment) {
  uint64_t covered = 0;
  std::vector<std::pair<uint64_t, uint64_t>> gaps;
  LEAT_RETURN_IF_ERROR(
      index_.ForEach(PlacePrefix(segment->number_), "", [&](std::string_view key, std::string_view value) {
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
  for (const auto& [offset, bytes] : gaps) {
    if (!Punch(*segment, offset, bytes)) Strand(*segment, bytes);
  }
  // How long the tail was is not known any more: at least a page stands for it, so that the intent is kept.
  if (!Trim(*segment, covered) && segment->stuck_ == 0) Strand(*segment, kPageBytes);
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
  auto segment = std::make_shared<Segment>(number, files_);
  files_.Keep(*segment, std::make_shared<const FileDescriptor>(std::move(file)));
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
  const Segment::File file = segment->Open();
  const int result =
      file == nullptr ? -1
      : worthwhile ? ::fallocate(file->get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(start), static_cast<off_t>(bytes))
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
  if (sealed) (void)Trim(*segment, end);
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
  if (!Trim(*segment, end) && tail != 0) Strand(*segment, tail);
  if (tail != 0) space_.ReleaseTail(tail);
  SettleSealed(segment);
}

// Once no write is in progress in a sealed segment its intent ends; once nothing is live either, it is deleted.
void Segments::SettleSealed(const std::shared_ptr<Segment>& segment) {
  std::optional<uint64_t> intent, stuck_intent;
  uint64_t stuck = 0;
  bool empty = false;
  {
    std::lock_guard lock(mutex_);
    if (!segment->sealed_ || segment->reserved_ != 0) return;
    empty = segment->live_ == 0 && segments_.erase(segment->number_) > 0;
    intent = std::exchange(segment->intent_, std::nullopt);
    if (empty) {
      stuck = segment->stuck_;
      stuck_intent = segment->stuck_intent_;
    } else if (segment->stuck_ != 0 && !segment->stuck_intent_) {
      segment->stuck_intent_ = std::exchange(intent, std::nullopt);
    }
  }
  IndexBatch batch;
  if (empty) {
    // Emptied first, so that the blocks are free at once even if a reader still holds the file open.
    const Segment::File file = segment->Open();
    const bool emptied = file != nullptr && ::ftruncate(file->get(), 0) == 0 && ::ftruncate(file->get(), 0) == 0;
    const bool deleted = ::unlinkat(directory_, SegmentFileName(segment->number_).c_str(), 0) == 0 || errno == ENOENT;
    if (emptied || deleted) {
      batch.Delete(SegmentKey(segment->number_));
      if (stuck_intent) batch.Delete(SegmentIntentKey(segment->number_, *stuck_intent));
      space_.ReleaseStuck(stuck);
    } else {  // the next Open finds it without a live byte and tries again
      LogWarning("cannot delete cache segment " + SegmentFileName(segment->number_));
    }
  }
  if (intent) batch.Delete(SegmentIntentKey(segment->number_, *intent));
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
  // A hole can be punched only below the file's end, and preallocated blocks may lie beyond it. Where this write fails
  // (a full disk) nothing was preallocated, and what was written lies below the end.
  if (const Segment::File file = place.segment->Open(); file != nullptr) {
    const std::byte last{};
    [[maybe_unused]] const ssize_t written =
        ::pwrite(file->get(), &last, 1, static_cast<off_t>(place.offset + bytes - 1));
  }
  if (!Punch(*place.segment, place.offset, bytes)) Strand(*place.segment, bytes);
  {
    std::lock_guard lock(mutex_);
    place.segment->reserved_ -= bytes;
  }
  SettleSealed(place.segment);
}

void Segments::Discard(uint32_t number, uint64_t offset, uint64_t bytes) {
  const std::shared_ptr<Segment> segment = Find(number);
  if (segment == nullptr) return;
  if (!Punch(*segment, offset, bytes)) Strand(*segment, bytes);
  {
    std::lock_guard lock(mutex_);
    segment->live_ -= std::min(bytes, segment->live_);
  }
  SettleSealed(segment);
}

void Segments::EndIntent(uint32_t number, uint64_t sequence) {
  {
    std::lock_guard lock(mutex_);
    const auto found = segments_.find(number);
    if (found != segments_.end() && found->second->stuck_ != 0 && !found->second->stuck_intent_) {
      found->second->stuck_intent_ = sequence;  // one is enough: it makes the next Open tidy the whole segment
      return;
    }
  }
  IndexBatch batch;
  batch.Delete(SegmentIntentKey(number, sequence));
  if (const Status written = index_.Write(batch); !written) LogWarning(written.error().message);
}

std::shared_ptr<Segment> Segments::Find(uint32_t number) {
  std::lock_guard lock(mutex_);
  const auto found = segments_.find(number);
  return found == segments_.end() ? nullptr : found->second;
}

bool Segments::Punch(Segment& segment, uint64_t offset, uint64_t bytes) {
  if (!can_punch_) return false;
  const Segment::File file = segment.Open();
  if (file == nullptr) return errno == ENOENT;  // what has no file has no blocks
  if (::fallocate(file->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(bytes)) == 0) {
    return true;
  }
  if (errno == EOPNOTSUPP) {
    if (can_punch_.exchange(false)) {
      LogWarning("the cache's file system cannot punch holes: room is given back only when a whole segment is free");
    }
    return false;
  }
  LogWarning("cannot give back room of cache segment " + SegmentFileName(segment.number_) + ": " +
             FailErrno(errno, "fallocate").value().message);
  return false;
}

bool Segments::Trim(Segment& segment, uint64_t end) {
  const Segment::File file = segment.Open();
  if (file == nullptr && errno == ENOENT) return true;
  // ext4 frees blocks past the end of a file only when the size does not grow: hence twice.
  const auto length = static_cast<off_t>(end);
  if (file != nullptr && ::ftruncate(file->get(), length) == 0 && ::ftruncate(file->get(), length) == 0) return true;
  LogWarning("cannot give back the tail of cache segment " + SegmentFileName(segment.number_));
  return false;
}

// Bytes that belong to nobody and still take room on the disk.
void Segments::Strand(Segment& segment, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  if (!segments_.contains(segment.number_)) return;  // deleted meanwhile, and they with it
  segment.stuck_ += bytes;
  space_.AddStuck(bytes);
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
    const Segment::File file = segment->Open();
    if (file == nullptr || ::fdatasync(file->get()) != 0) ++errors;  // never believed later: every read is checked
  }
}

void Segments::Close() { SealCurrent(); }

}  // namespace leat::cache
