// SPDX-License-Identifier: Apache-2.0
// Index: the cache's records in RocksDB. A batch is applied whole or not at all, and survives the end of the process at
// once; Sync makes it survive a power loss. Time to open does not depend on how many records there are.
// Threads: any; a lock that all share, held alone only while a failed index is opened anew.
// Failure: kCorrupt when the records themselves are damaged or gone, kNoSpace and kIo for what may pass: RocksDB
// refuses every write after one that failed, so the first write after a back-off has it resume, or opens it anew.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "database/database_memory.h"

namespace leat::cache {

// Changes that are applied together.
class IndexBatch {
 public:
  void Put(std::string key, std::string value) { changes_.push_back({Kind::kPut, std::move(key), std::move(value)}); }
  void Delete(std::string key) { changes_.push_back({Kind::kDelete, std::move(key), {}}); }
  // Adds to the counters stored under `key`, which start at zero.
  void Add(std::string key, std::initializer_list<int64_t> deltas);
  bool empty() const { return changes_.empty(); }

 private:
  friend class Index;
  enum class Kind { kPut, kDelete, kAdd };
  struct Change {
    Kind kind;
    std::string key, value;
  };
  std::vector<Change> changes_;
};

class Index {
 public:
  // After a write failed, how long no other is tried.
  static constexpr std::chrono::seconds kBackOff{5};

  // kCorrupt: damaged or of another format; the caller starts empty. kIo: it may be well, and nothing of it is to be
  // deleted. `on_new` runs before a new index is marked as made: until it has succeeded, every Open runs it. Without
  // `memory` it has its own.
  static Result<std::unique_ptr<Index>> Open(const std::string& path, const std::function<Status()>& on_new = {},
                                             std::chrono::milliseconds back_off = kBackOff,
                                             std::shared_ptr<database::DatabaseMemory> memory = nullptr);
  ~Index();

  Result<std::string> Get(const std::string& key) const;  // kNotFound
  Status Write(const IndexBatch& batch);
  // Keys that start with `prefix`, in order, from `from` (or the prefix when empty), until `visit` returns false.
  Status ForEach(const std::string& prefix, const std::string& from,
                 const std::function<bool(std::string_view key, std::string_view value)>& visit) const;
  Status Sync();
  // After a failed write, once the back-off is over: makes the index writable again, or says why not. Until then it can
  // be read. Every Write begins with it.
  Status Recover();
  // The next number for an intent's key.
  uint64_t NextSequence() { return sequence_++; }
  // True when damage has been seen since Open.
  bool Damaged() const { return damaged_.load(); }

 private:
  struct Database;
  Index(std::unique_ptr<Database> database, std::string path, std::chrono::milliseconds back_off);

  const std::string path_;
  const std::chrono::milliseconds back_off_;
  const std::unique_ptr<Database> database_;
  std::atomic<bool> failed_{false};
  std::atomic<uint64_t> sequence_{1};
  mutable std::atomic<bool> damaged_{false};
};

}  // namespace leat::cache
