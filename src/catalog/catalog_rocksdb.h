// SPDX-License-Identifier: Apache-2.0
// RocksCatalog: the Catalog. Reads take no lock (RocksDB's own snapshots); changes are made one after another under
// write_mutex_, which is held through the write of the batch, since that order is the point of it; the listener is told
// after it is released. Internal to catalog/. Reading is in catalog_rocksdb.cc, changing in catalog_changes.cc,
// sweeping in catalog_sweep.cc.
#pragma once

#include <atomic>
#include <mutex>

#include "catalog/change.h"

namespace leat::catalog {

class RocksCatalog final : public Catalog {
 public:
  RocksCatalog(Options options, Storage storage, Counters counters);
  ~RocksCatalog() override;

  void SetListener(ChangeListener* listener) override { listener_ = listener; }
  Result<Inode> Get(InodeId id) override;
  Result<Inode> Lookup(InodeId parent, std::string_view name) override;
  Status VisitDirectory(InodeId directory, uint64_t cookie, const std::function<bool(const Inode&)>& visit) override;
  Result<std::vector<DirectoryEntry>> ReadDirectory(InodeId directory, uint64_t cookie, size_t count) override;
  Status VisitFiles(InodeId directory, const std::function<bool(const Inode&)>& visit) override;
  Result<InodeId> ResolvePath(std::string_view path) override;
  std::string PathOf(InodeId id) override;
  CatalogTotals Totals() override;

  Status Upsert(std::span<const ObjectInfo> objects, std::span<const std::string> common_prefixes,
                SeenSet* seen) override;
  Status ApplyMetadata(InodeId id, const ObjectInfo& info, std::string_view symlink_body) override;
  Status Remove(InodeId id) override;
  Status Replace(InodeId id, const ObjectInfo& now) override;
  Status MarkListed(InodeId directory) override;
  uint64_t BeginSweep() override;
  std::unique_ptr<Sweep> StartSweep(InodeId directory, const SeenSet& seen, uint64_t mark,
                                    int64_t wall_time_ns) override;
  void Sync() override;

 private:
  class TreeSweep;
  struct SweepFrame {
    InodeId directory{};
    std::string after;  // entries up to this name are done
  };

  // Makes one change: `edit(change)`, commit, and then the listener's turn.
  template <class Edit>
  Status Apply(Edit edit);
  void Notify(std::vector<Event> events);

  // --- under write_mutex_
  // The directory of keys that begin with `prefix` (relative, empty or ending in '/'); made when missing.
  Result<InodeId> DirectoryOfPrefix(Change& change, std::string_view prefix);
  Result<InodeId> ChildDirectory(Change& change, InodeId parent, std::string_view name, std::string key);
  Status UpsertObject(Change& change, const ObjectInfo& object, SeenSet* seen);
  Status UpsertFile(Change& change, InodeId parent, std::string_view name, const ObjectInfo& object, SeenSet* seen);
  Status UpsertMarker(Change& change, const ObjectInfo& object, SeenSet* seen);
  // After something was taken out of `directory`: without keys below it, it goes too, and so on upwards.
  // `x/@leat-object` becomes `x`.
  Status PruneEmptied(Change& change, InodeId directory);
  Result<bool> RemoveIfEmpty(Change& change, const Record& directory);
  Status SweepEntries(SweepFrame& frame, const SeenSet& seen, uint64_t mark, bool is_top, std::vector<InodeId>& below,
                      bool& done);
  Status FinishSweepOf(InodeId directory, const SeenSet& seen, uint64_t mark, bool is_top);
  Status FinishSweep(InodeId top, int64_t wall_time_ns);
  // `directory` and all above it are gone through by the listing that `seen` is of.
  Status CoverLocked(Change& change, InodeId directory, SeenSet* seen);
  void ForgetDirectories() { directories_.clear(); }
  // Adds `record` anew as a move of the inode that it was until now.
  void AddMoved(Change& change, Record record);
  // Whether a listing that began at `mark` and named `seen` shows that the object of this file is gone.
  bool IsGone(InodeId file, const SeenSet& seen, uint64_t mark) const;

  const Options options_;
  Storage storage_;
  std::atomic<ChangeListener*> listener_{nullptr};
  std::mutex write_mutex_;  // protects what follows
  // Prefix (relative) -> its live directory: what consecutive keys of a page share.
  struct PrefixHash {
    using is_transparent = void;
    size_t operator()(std::string_view prefix) const { return std::hash<std::string_view>()(prefix); }
  };
  std::unordered_map<std::string, InodeId, PrefixHash, std::equal_to<>> directories_;
  // New inode -> old one, of files that changed place since the last BeginSweep() without being named by a listing: for
  // a sweep they are as old, and as seen, as they were before.
  std::unordered_map<uint64_t, InodeId> moved_from_;
  mutable std::mutex counters_mutex_;  // inside write_mutex_; lets Totals() not wait for a batch
  Counters counters_;
};

}  // namespace leat::catalog
