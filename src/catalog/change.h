// SPDX-License-Identifier: Apache-2.0
// Change: one atomic change of the catalog in the making: reads that see what it has changed so far, writes that become
// one batch, the totals and inode numbers that go with it, and what the listener will be told. Dropped without
// Commit(), nothing has happened. Thread: confined to the one that holds the catalog's write lock. Internal to
// catalog/.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <functional>
#include <map>
#include <memory>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "catalog/catalog.h"
#include "catalog/record.h"

namespace leat::catalog {

struct Storage {
  std::unique_ptr<rocksdb::DB> database;
  rocksdb::ColumnFamilyHandle* meta = nullptr;  // the default family
  rocksdb::ColumnFamilyHandle* inodes = nullptr;
  rocksdb::ColumnFamilyHandle* entries = nullptr;
  rocksdb::ColumnFamilyHandle* removed = nullptr;
  std::string key_prefix;
};

tl::unexpected<Error> FailRocks(const rocksdb::Status& status, std::string_view what);

// Changes with every batch and is stored with it. Inode numbers below inode_limit are reserved on disk.
struct Counters {
  CatalogTotals totals;
  uint64_t next_inode = 0;
  uint64_t inode_limit = 0;
};

struct Event {
  enum class Kind { kAdded, kRemoved, kAttributes } kind;
  InodeId parent{};
  std::string name;
  InodeId inode{};
};

class Change {
 public:
  Change(Storage& storage, const Counters& counters) : storage_(storage), counters_(counters) {}

  Result<std::optional<Entry>> Find(InodeId parent, std::string_view name);
  Result<Record> Get(InodeId id);
  // Names and entries in `directory` after `after` (not in this change, committed ones only), until `visit` returns
  // false.
  Status VisitCommitted(InodeId directory, std::string_view after,
                        const std::function<Result<bool>(std::string_view name, Entry entry)>& visit);
  // At most `count` live entries, this change's included.
  Result<std::vector<std::pair<std::string, Entry>>> FirstEntries(InodeId directory, size_t count);

  InodeId Add(Record record);  // a new inode with its entry; gives it a number
  void Remove(Record record);  // its entry goes; the record stays, marked
  void Update(const Record& before, const Record& after, bool attributes_changed);  // same inode, same entry
  void CompleteImport(int64_t wall_time_ns);

  bool empty() const { return batch_.Count() == 0; }
  Status Commit();
  const Counters& counters() const { return counters_; }
  std::vector<Event> TakeEvents() { return std::move(events_); }

 private:
  void PutRecord(const Record& record);
  void PutEntry(const std::string& key, std::optional<Entry> entry);
  std::string_view Keep(std::string_view bytes);  // a copy that lives as long as this
  void Count(const Record& record, bool add);

  Storage& storage_;
  Counters counters_;
  rocksdb::WriteBatch batch_;
  // A page's thousand names and records come one by one and go all at once.
  std::pmr::monotonic_buffer_resource memory_;
  std::pmr::unordered_map<std::string_view, std::optional<Entry>> entries_{&memory_};  // by EntryKey; nothing: gone
  std::pmr::unordered_map<uint64_t, std::string_view> records_{&memory_};
  std::string key_, bytes_;  // of the entry and the record at hand
  std::vector<Event> events_;
  // Pages come sorted, so that what a lookup wants is mostly where the last one stopped.
  std::unique_ptr<rocksdb::Iterator> entry_cursor_;
  std::string cursor_floor_;  // no committed key lies between this and the cursor
  std::unique_ptr<rocksdb::Iterator> inode_cursor_;
};

}  // namespace leat::catalog
