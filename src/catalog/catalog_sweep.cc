// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "catalog/catalog_apply.h"
#include "catalog/catalog_rocksdb.h"
#include "model/key_rules.h"

namespace leat::catalog {
namespace {

constexpr size_t kSweepPage = 2000;  // entries looked at under one hold of the write lock

// Inode numbers are dense: a bitmap in pieces costs a bit or so an inode.
class Bitmap {
 public:
  void Insert(InodeId id) {
    auto& piece = pieces_[Value(id) / kPieceBits];
    if (piece.empty()) piece.resize(kPieceBits / 64);
    piece[Value(id) % kPieceBits / 64] |= uint64_t{1} << (Value(id) % 64);
  }
  bool Contains(InodeId id) const {
    const auto piece = pieces_.find(Value(id) / kPieceBits);
    return piece != pieces_.end() && (piece->second[Value(id) % kPieceBits / 64] >> (Value(id) % 64) & 1) != 0;
  }

 private:
  static constexpr uint64_t kPieceBits = 32'768;  // 4 KiB
  std::unordered_map<uint64_t, std::vector<uint64_t>> pieces_;
};

class BitmapSeenSet final : public Catalog::SeenSet {
 public:
  void Insert(InodeId id) override { seen_.Insert(id); }
  bool Contains(InodeId id) const override { return seen_.Contains(id); }
  void Cover(InodeId directory) override { covered_.Insert(directory); }
  bool Covers(InodeId directory) const override { return covered_.Contains(directory); }

 private:
  Bitmap seen_, covered_;
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
    size_t left = kSweepPage;
    std::string last;
    const auto look_at = [&](std::string_view name, Entry entry) -> Result<bool> {
      if (--left == 0) last = name;
      if (entry.type == FileType::kDirectory) {
        below.push_back(entry.id);
      } else if ((!is_top || name != kObjectBesideDirectoryName) && IsGone(entry.id, seen, mark)) {
        // Not x/@leat-object of the top: its key is `x`, which a listing of `x/` does not hold.
        LEAT_ASSIGN_OR_RETURN(Record record, change.Get(entry.id));
        change.Remove(std::move(record));
      }
      return left > 0;
    };
    LEAT_RETURN_IF_ERROR(change.VisitCommitted(frame.directory, frame.after, look_at));
    done = left > 0;
    frame.after = std::move(last);
    return {};
  });
}

Status RocksCatalog::FinishSweepOf(InodeId directory, const SeenSet& seen, uint64_t mark, bool is_top) {
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
    // What the listing never went through may hold a name that a look-up found since, and others beside it.
    if (is_top || seen.Covers(directory)) now.inode.listed = true;
    if (now.inode.listed != old.inode.listed || now.has_marker != old.has_marker) change.Update(old, now, false);
    return {};
  });
}

// A directory is finished after what is below it, so that emptiness travels upwards.
class RocksCatalog::TreeSweep final : public Catalog::Sweep {
 public:
  TreeSweep(RocksCatalog& catalog, InodeId top, const SeenSet& seen, uint64_t mark, int64_t wall_time_ns)
      : catalog_(catalog), top_(top), seen_(seen), mark_(mark), wall_time_ns_(wall_time_ns) {
    levels_.push_back({{top, {}}, {}, false});
  }

  Result<bool> Step() override {
    Level& level = levels_.back();
    if (!level.below.empty()) {
      const InodeId next = level.below.back();
      level.below.pop_back();
      levels_.push_back({{next, {}}, {}, false});
      return true;
    }
    const bool is_top = levels_.size() == 1;
    if (!level.done) {
      LEAT_RETURN_IF_ERROR(catalog_.SweepEntries(level.frame, seen_, mark_, is_top, level.below, level.done));
      return true;
    }
    LEAT_RETURN_IF_ERROR(catalog_.FinishSweepOf(level.frame.directory, seen_, mark_, is_top));
    levels_.pop_back();
    if (!levels_.empty()) return true;
    LEAT_RETURN_IF_ERROR(catalog_.FinishSweep(top_, wall_time_ns_));
    return false;
  }

 private:
  struct Level {
    SweepFrame frame;
    std::vector<InodeId> below;  // directories of the page at hand, not yet entered
    bool done = false;
  };
  RocksCatalog& catalog_;
  const InodeId top_;
  const SeenSet& seen_;
  const uint64_t mark_;
  const int64_t wall_time_ns_;
  std::vector<Level> levels_;
};

std::unique_ptr<Catalog::Sweep> RocksCatalog::StartSweep(InodeId directory, const SeenSet& seen, uint64_t mark,
                                                         int64_t wall_time_ns) {
  return std::make_unique<TreeSweep>(*this, directory, seen, mark, wall_time_ns);
}

Status RocksCatalog::FinishSweep(InodeId top, int64_t wall_time_ns) {
  // The directory above may have nothing left below it now.
  LEAT_ASSIGN_OR_RETURN(const Inode swept, Get(top));
  if (swept.removed) {
    LEAT_RETURN_IF_ERROR(Apply([&](Change& change) { return PruneEmptied(change, swept.parent); }));
  }
  if (top != kRootInode) return {};
  return Apply([&](Change& change) -> Status {
    change.CompleteImport(wall_time_ns);
    return {};
  });
}

}  // namespace leat::catalog
