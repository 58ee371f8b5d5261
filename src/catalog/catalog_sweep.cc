// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "catalog/catalog_apply.h"
#include "catalog/catalog_rocksdb.h"
#include "model/key_rules.h"

namespace leat::catalog {
namespace {

constexpr size_t kSweepPage = 2000;  // entries looked at under one hold of the write lock

// Inode numbers are dense: a bitmap in pieces costs a bit or so an inode.
class BitmapSeenSet final : public Catalog::SeenSet {
 public:
  void Insert(InodeId id) override {
    auto& piece = pieces_[Value(id) / kPieceBits];
    if (piece.empty()) piece.resize(kPieceBits / 64);
    piece[Value(id) % kPieceBits / 64] |= uint64_t{1} << (Value(id) % 64);
  }
  bool Contains(InodeId id) const override {
    const auto piece = pieces_.find(Value(id) / kPieceBits);
    return piece != pieces_.end() && (piece->second[Value(id) % kPieceBits / 64] >> (Value(id) % 64) & 1) != 0;
  }

 private:
  static constexpr uint64_t kPieceBits = 32'768;  // 4 KiB
  std::unordered_map<uint64_t, std::vector<uint64_t>> pieces_;
};

}  // namespace

std::unique_ptr<Catalog::SeenSet> Catalog::MakeSeenSet() { return std::make_unique<BitmapSeenSet>(); }

uint64_t RocksCatalog::BeginSweep() {
  const std::lock_guard lock(write_mutex_);
  moved_from_.clear();
  return counters_.next_inode;
}

bool RocksCatalog::IsGone(InodeId file, const SeenSet& seen, uint64_t mark) const {
  for (;;) {
    if (seen.Contains(file)) return false;
    const auto moved = moved_from_.find(Value(file));
    if (moved == moved_from_.end()) return Value(file) < mark;
    file = moved->second;
  }
}

Status RocksCatalog::SweepEntries(SweepFrame& frame, const SeenSet& seen, uint64_t mark, bool is_top,
                                  std::vector<InodeId>& below, bool& done) {
  return Apply([&](Change& change) -> Status {
    LEAT_ASSIGN_OR_RETURN(const auto entries, change.CommittedEntries(frame.directory, frame.after, kSweepPage));
    done = entries.size() < kSweepPage;
    for (const auto& [name, entry] : entries) {
      frame.after = name;
      if (entry.type == FileType::kDirectory) {
        below.push_back(entry.id);
        continue;
      }
      // The key of x/@leat-object is `x`, which a listing of `x/` does not hold.
      if (is_top && name == kObjectBesideDirectoryName) continue;
      if (!IsGone(entry.id, seen, mark)) continue;
      LEAT_ASSIGN_OR_RETURN(Record record, change.Get(entry.id));
      change.Remove(std::move(record));
    }
    return {};
  });
}

Status RocksCatalog::FinishSweepOf(InodeId directory, const SeenSet& seen, uint64_t mark) {
  return Apply([&](Change& change) -> Status {
    LEAT_ASSIGN_OR_RETURN(const Record old, change.Get(directory));
    if (old.inode.removed) return {};
    Record now = old;
    const bool unseen = Value(directory) < mark && !seen.Contains(directory);
    if (unseen && old.has_marker) {
      now.has_marker = false;
      now.inode.etag.clear();
    }
    if (unseen) {
      if (now.has_marker != old.has_marker) change.Update(old, now, false);
      LEAT_ASSIGN_OR_RETURN(const bool removed, RemoveIfEmpty(change, now));
      if (removed) return {};
    }
    now.inode.listed = true;
    if (!old.inode.listed || now.has_marker != old.has_marker) change.Update(old, now, false);
    return {};
  });
}

Status RocksCatalog::Sweep(InodeId directory, const SeenSet& seen, uint64_t mark, int64_t wall_time_ns) {
  // A directory is finished after what is below it, so that emptiness travels upwards.
  struct Level {
    SweepFrame frame;
    std::vector<InodeId> below;  // directories of the page at hand, not yet entered
    bool done = false;
  };
  std::vector<Level> levels;
  levels.push_back({{directory, {}}, {}, false});
  while (!levels.empty()) {
    Level& level = levels.back();
    if (!level.below.empty()) {
      const InodeId next = level.below.back();
      level.below.pop_back();
      levels.push_back({{next, {}}, {}, false});
    } else if (!level.done) {
      LEAT_RETURN_IF_ERROR(SweepEntries(level.frame, seen, mark, levels.size() == 1, level.below, level.done));
    } else {
      LEAT_RETURN_IF_ERROR(FinishSweepOf(level.frame.directory, seen, mark));
      levels.pop_back();
    }
  }
  // The directory above may have nothing left below it now.
  LEAT_ASSIGN_OR_RETURN(const Inode swept, Get(directory));
  if (swept.removed) {
    LEAT_RETURN_IF_ERROR(Apply([&](Change& change) { return PruneEmptied(change, swept.parent); }));
  }
  if (directory != kRootInode) return {};
  return Apply([&](Change& change) -> Status {
    change.CompleteImport(wall_time_ns);
    return {};
  });
}

}  // namespace leat::catalog
