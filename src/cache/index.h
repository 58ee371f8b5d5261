// SPDX-License-Identifier: Apache-2.0
// Index: the cache's records in RocksDB. A batch is applied whole or not at all, and survives the end of the process at
// once; Sync makes it survive a power loss. Time to open does not depend on how many records there are.
// Threads: any. Failure: kCorrupt when the records themselves are damaged, kIo otherwise.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

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
  // kCorrupt: damaged or of another format; the caller starts empty.
  static Result<std::unique_ptr<Index>> Open(const std::string& path);
  ~Index();

  Result<std::string> Get(const std::string& key) const;  // kNotFound
  Status Write(const IndexBatch& batch);
  // Keys that start with `prefix`, in order, from `from` (or the prefix when empty), until `visit` returns false.
  Status ForEach(const std::string& prefix, const std::string& from,
                 const std::function<bool(std::string_view key, std::string_view value)>& visit) const;
  Status Sync();
  // The next number for an intent's key.
  uint64_t NextSequence() { return sequence_++; }
  // True when damage has been seen since Open.
  bool Damaged() const { return damaged_.load(); }

 private:
  struct Database;
  explicit Index(std::unique_ptr<Database> database);
  std::unique_ptr<Database> database_;
  std::atomic<uint64_t> sequence_{1};
  mutable std::atomic<bool> damaged_{false};
};

}  // namespace leat::cache
