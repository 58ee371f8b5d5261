// SPDX-License-Identifier: Apache-2.0
#include "fs/catalog_walk.h"

#include <algorithm>

namespace leat::fs {

CatalogWalk::CatalogWalk(catalog::Catalog& catalog, std::vector<InodeId> roots) : catalog_(catalog) {
  std::reverse(roots.begin(), roots.end());
  for (const InodeId id : roots) places_.push_back({.id = id});
}

Result<std::vector<catalog::Inode>> CatalogWalk::Next() {
  std::vector<catalog::Inode> files;
  while (!places_.empty() && files.empty()) {
    Place& place = places_.back();
    if (!place.opened) {
      Result<catalog::Inode> inode = catalog_.Get(place.id);
      if (!inode && inode.error().code != ErrorCode::kNotFound) return Fail(inode.error());
      if (!inode || inode->removed || inode->type != catalog::FileType::kDirectory) {
        places_.pop_back();
        if (inode && !inode->removed && inode->type == catalog::FileType::kFile) files.push_back(std::move(*inode));
        continue;
      }
      if (!inode->listed) ++unlisted_;
      place.opened = true;
    }
    LEAT_ASSIGN_OR_RETURN(std::vector<catalog::DirectoryEntry> entries,
                          catalog_.ReadDirectory(place.id, place.cookie, kPageEntries));
    if (entries.empty()) {
      places_.pop_back();
      continue;
    }
    place.cookie = Value(entries.back().inode.id);
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {  // the first name ends up on top
      if (entry->inode.type == catalog::FileType::kDirectory) places_.push_back({.id = entry->inode.id});
    }
    for (catalog::DirectoryEntry& entry : entries) {
      if (entry.inode.type == catalog::FileType::kFile) files.push_back(std::move(entry.inode));
    }
    std::stable_sort(files.begin(), files.end(),
                     [](const auto& a, const auto& b) { return a.size_bytes < b.size_bytes; });
  }
  return files;
}

}  // namespace leat::fs
