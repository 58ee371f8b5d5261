// SPDX-License-Identifier: Apache-2.0
// CatalogWalk: the files below some inodes, a page at a time, so that a walk over a million files costs no memory but
// the numbers of directories still to visit. Within a page, small files come first. Confined to one thread at a time.
// The catalog outlives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "catalog/catalog.h"

namespace leat::fs {

class CatalogWalk {
 public:
  static constexpr size_t kPageEntries = 256;

  CatalogWalk(catalog::Catalog& catalog, std::vector<InodeId> roots);
  // The next files; empty: no more. Directories that vanish during the walk are passed over.
  Result<std::vector<catalog::Inode>> Next();
  // Directories met whose entries the catalog may not have all.
  size_t unlisted() const { return unlisted_; }

 private:
  struct Place {
    InodeId id{};
    uint64_t cookie = 0;
    bool opened = false;
  };
  catalog::Catalog& catalog_;
  std::vector<Place> places_;  // the last is where the walk is
  size_t unlisted_ = 0;
};

}  // namespace leat::fs
