// SPDX-License-Identifier: Apache-2.0
#include "catalog/change.h"

#include <cstring>

#include "base/check.h"

namespace leat::catalog {
namespace {

constexpr uint64_t kInodeBlock = 4096;  // numbers reserved at a time: a crash loses at most this many of 2^64
constexpr int kCursorStepsMax = 4;      // steps tried before a seek, which costs about as much

rocksdb::ReadOptions CursorOptions() {
  rocksdb::ReadOptions options;
  options.fill_cache = true;
  return options;
}

std::string_view View(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

}  // namespace

tl::unexpected<Error> FailRocks(const rocksdb::Status& status, std::string_view what) {
  const std::string text = std::string(what) + ": " + status.ToString();
  if (status.IsCorruption()) {
    return Fail(ErrorCode::kCorrupt, text + "; remove the catalog's directory, it is then imported again");
  }
  if (status.IsNoSpace()) return Fail(ErrorCode::kNoSpace, text + "; free space on the catalog's disk");
  if (status.IsNotFound()) return Fail(ErrorCode::kNotFound, text);
  if (status.IsIOError()) return Fail(ErrorCode::kIo, text);
  return Fail(ErrorCode::kInternal, text);
}

Result<std::optional<Entry>> Change::Find(InodeId parent, std::string_view name) {
  EntryKeyInto(parent, name, key_);
  const std::string& key = key_;
  if (const auto found = entries_.find(key); found != entries_.end()) return found->second;
  if (!entry_cursor_) {
    entry_cursor_.reset(storage_.database->NewIterator(CursorOptions(), storage_.entries));
    entry_cursor_->Seek(key);
  } else {
    bool seek = key < cursor_floor_ || !entry_cursor_->Valid();
    // Valid() is false behind the last key too: then nothing from the floor on is there.
    if (!entry_cursor_->Valid() && key >= cursor_floor_ && entry_cursor_->status().ok()) return std::optional<Entry>();
    for (int step = 0; !seek && entry_cursor_->Valid() && View(entry_cursor_->key()) < key; ++step) {
      if (step == kCursorStepsMax) {
        seek = true;
      } else {
        entry_cursor_->Next();
      }
    }
    if (seek) entry_cursor_->Seek(key);
  }
  if (!entry_cursor_->status().ok()) return FailRocks(entry_cursor_->status(), "cannot read the catalog's entries");
  cursor_floor_ = key;
  if (!entry_cursor_->Valid() || View(entry_cursor_->key()) != cursor_floor_) return std::optional<Entry>();
  LEAT_ASSIGN_OR_RETURN(const Entry entry, DecodeEntry(View(entry_cursor_->value())));
  return std::optional(entry);
}

Result<Record> Change::Get(InodeId id) {
  if (const auto found = records_.find(Value(id)); found != records_.end()) {
    return DecodeRecord(id, found->second, storage_.key_prefix);
  }
  const std::string key = InodeKey(id);
  if (!inode_cursor_) {
    inode_cursor_.reset(storage_.database->NewIterator(CursorOptions(), storage_.inodes));
  } else if (inode_cursor_->Valid() && View(inode_cursor_->key()) < key) {
    inode_cursor_->Next();
  }
  if (!inode_cursor_->Valid() || View(inode_cursor_->key()) != key) inode_cursor_->Seek(key);
  if (!inode_cursor_->status().ok()) return FailRocks(inode_cursor_->status(), "cannot read the catalog's inodes");
  if (!inode_cursor_->Valid() || View(inode_cursor_->key()) != key) {
    return Fail(ErrorCode::kNotFound, "no inode " + std::to_string(Value(id)) + " in the catalog");
  }
  return DecodeRecord(id, View(inode_cursor_->value()), storage_.key_prefix);
}

Status Change::VisitCommitted(InodeId directory, std::string_view after,
                              const std::function<Result<bool>(std::string_view name, Entry entry)>& visit) {
  const std::string first = after.empty() ? InodeKey(directory) : EntryKey(directory, after) + '\0';
  const std::string end = InodeKey(InodeId{Value(directory) + 1});
  rocksdb::ReadOptions options;
  const rocksdb::Slice bound(end);
  options.iterate_upper_bound = &bound;
  const std::unique_ptr<rocksdb::Iterator> cursor(storage_.database->NewIterator(options, storage_.entries));
  for (cursor->Seek(first); cursor->Valid(); cursor->Next()) {
    LEAT_ASSIGN_OR_RETURN(const Entry entry, DecodeEntry(View(cursor->value())));
    LEAT_ASSIGN_OR_RETURN(const bool go_on, visit(View(cursor->key()).substr(8), entry));
    if (!go_on) return {};
  }
  if (!cursor->status().ok()) return FailRocks(cursor->status(), "cannot read the catalog's entries");
  return {};
}

Result<std::vector<std::pair<std::string, Entry>>> Change::FirstEntries(InodeId directory, size_t count) {
  const std::string prefix = InodeKey(directory);
  size_t taken_away = 0;
  std::map<std::string, Entry> live;
  for (const auto& [key, entry] : entries_) {
    if (!key.starts_with(prefix)) continue;
    if (entry) {
      live[std::string(key.substr(8))] = *entry;
    } else {
      ++taken_away;
    }
  }
  size_t left = count + taken_away;
  LEAT_RETURN_IF_ERROR(VisitCommitted(directory, "", [&](std::string_view name, Entry entry) -> Result<bool> {
    if (!entries_.contains(EntryKey(directory, name))) live.emplace(name, entry);
    return --left > 0;
  }));
  std::vector<std::pair<std::string, Entry>> result;
  for (const auto& item : live) {
    if (result.size() == count) break;
    result.push_back(item);
  }
  return result;
}

void Change::Count(const Record& record, bool add) {
  const uint64_t one = add ? 1 : ~uint64_t{0};  // wraps: adds or takes away
  if (record.inode.type == FileType::kDirectory) {
    counters_.totals.directories += one;
  } else {
    counters_.totals.files += one;
    counters_.totals.bytes += add ? record.inode.size_bytes : ~record.inode.size_bytes + 1;
  }
}

std::string_view Change::Keep(std::string_view bytes) {
  if (bytes.empty()) return {};
  char* const copy = static_cast<char*>(memory_.allocate(bytes.size(), 1));
  std::memcpy(copy, bytes.data(), bytes.size());
  return {copy, bytes.size()};
}

void Change::PutRecord(const Record& record) {
  EncodeRecordInto(record, storage_.key_prefix, bytes_);
  LEAT_CHECK(batch_.Put(storage_.inodes, InodeKey(record.inode.id), bytes_).ok());
  records_[Value(record.inode.id)] = Keep(bytes_);
}

void Change::PutEntry(const std::string& key, std::optional<Entry> entry) {
  LEAT_CHECK(
      (entry ? batch_.Put(storage_.entries, key, EncodeEntry(*entry)) : batch_.Delete(storage_.entries, key)).ok());
  if (const auto found = entries_.find(key); found != entries_.end()) {
    found->second = entry;
  } else {
    entries_.emplace(Keep(key), entry);
  }
}

InodeId Change::Add(Record record) {
  if (counters_.next_inode >= counters_.inode_limit) {
    counters_.inode_limit = counters_.next_inode + kInodeBlock;
    LEAT_CHECK(batch_.Put(storage_.meta, "next_inode", InodeKey(InodeId{counters_.inode_limit})).ok());
  }
  record.inode.id = InodeId{counters_.next_inode++};
  const Entry entry{record.inode.id, record.inode.type};
  EntryKeyInto(record.inode.parent, record.inode.name, key_);
  PutEntry(key_, entry);
  PutRecord(record);
  Count(record, true);
  events_.push_back({Event::Kind::kAdded, record.inode.parent, std::move(record.inode.name), entry.id});
  return entry.id;
}

void Change::Remove(Record record) {
  Count(record, false);
  record.inode.removed = true;
  LEAT_CHECK(batch_.Put(storage_.removed, InodeKey(record.inode.id), rocksdb::Slice()).ok());
  EntryKeyInto(record.inode.parent, record.inode.name, key_);
  PutEntry(key_, std::nullopt);
  PutRecord(record);
  events_.push_back({Event::Kind::kRemoved, record.inode.parent, record.inode.name, record.inode.id});
}

void Change::Update(const Record& before, const Record& after, bool attributes_changed) {
  LEAT_CHECK(before.inode.id == after.inode.id && before.inode.type == after.inode.type);
  if (before.inode.id != kRootInode) {
    Count(before, false);
    Count(after, true);
  }
  PutRecord(after);
  if (attributes_changed) events_.push_back({Event::Kind::kAttributes, after.inode.parent, {}, after.inode.id});
}

void Change::CompleteImport(int64_t wall_time_ns) {
  counters_.totals.complete = true;
  counters_.totals.imported_at_ns = wall_time_ns;
  LEAT_CHECK(batch_.Put(storage_.meta, "totals", EncodeTotals(counters_.totals)).ok());
}

Status Change::Commit() {
  if (empty()) return {};
  LEAT_CHECK(batch_.Put(storage_.meta, "totals", EncodeTotals(counters_.totals)).ok());
  const auto status = storage_.database->Write(rocksdb::WriteOptions(), &batch_);
  if (!status.ok()) return FailRocks(status, "cannot write the catalog");
  return {};
}

}  // namespace leat::catalog
