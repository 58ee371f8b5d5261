// SPDX-License-Identifier: Apache-2.0
// TreeCursor: walks everything below a directory, depth first in name order, holding one page of entries per level and
// no lock. Sees changes made meanwhile or not, never an entry twice. Thread: confined.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "catalog/catalog.h"

namespace leat::catalog {

class TreeCursor {
 public:
  TreeCursor(Catalog& catalog, InodeId directory) : catalog_(catalog) { levels_.push_back({directory, 0, {}, false}); }

  // The next inode, a directory before what is in it; nothing at the end.
  Result<std::optional<Inode>> Next() {
    constexpr size_t kPage = 256;  // entries held per level
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.page.empty()) {
        if (level.at_end) {
          levels_.pop_back();
          continue;
        }
        LEAT_ASSIGN_OR_RETURN(auto page, catalog_.ReadDirectory(level.directory, level.cookie, kPage));
        level.at_end = page.size() < kPage;
        for (auto& entry : page) level.page.push_back(std::move(entry.inode));
        continue;
      }
      Inode inode = std::move(level.page.front());
      level.page.pop_front();
      level.cookie = Value(inode.id);
      if (inode.type == FileType::kDirectory) levels_.push_back({inode.id, 0, {}, false});
      return std::optional(std::move(inode));
    }
    return std::optional<Inode>();
  }

 private:
  struct Level {
    InodeId directory{};
    uint64_t cookie = 0;
    std::deque<Inode> page;
    bool at_end = false;
  };
  Catalog& catalog_;
  std::vector<Level> levels_;
};

}  // namespace leat::catalog
