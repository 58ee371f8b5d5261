// SPDX-License-Identifier: Apache-2.0
// Measure: how many files and bytes lie below some paths, counted a piece at a time beside other work (a restore's
// ETA). Confined to one thread; the file system outlives it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fs/catalog_walk.h"
#include "fs/file_system.h"

namespace leat::fs {

struct Contents {
  uint64_t files = 0, bytes = 0;
};

class Measure {
 public:
  Measure(FileSystem& file_system, std::vector<std::string> paths)
      : file_system_(file_system), paths_(std::move(paths)) {}
  // Counts on for about `budget`. What was found once all is counted; before that, or when the catalog does not know
  // all of it yet: nothing.
  std::optional<Contents> Step(std::chrono::milliseconds budget);

 private:
  FileSystem& file_system_;
  const std::vector<std::string> paths_;
  size_t next_path_ = 0;
  std::optional<CatalogWalk> walk_;
  Contents contents_;
  bool unknown_ = false;
};

}  // namespace leat::fs
