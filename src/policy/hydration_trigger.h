// SPDX-License-Identifier: Apache-2.0
// Which directory to hydrate ahead of need, told from demand reads that missed the cache. Pure: misses in, a decision
// out.
//
// A directory "is being read" once misses were seen on several distinct children of it: files, or subdirectories below
// which there were misses. The deepest such directory is named first; higher ones as their own children reach the
// number (a data set of one directory a class is read across classes: three misses name the directory of the classes).
// A directory is named once, and not at all below one that was named, until it is released. Threads: confined to its
// owner's lock. Memory: bounded by the options.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "model/ids.h"

namespace leat::policy {

struct HydrationTriggerOptions {
  size_t distinct_children = 3;
  size_t directories_max = 4096;  // followed at a time; beyond it the longest untouched is forgotten
};

class HydrationTrigger {
 public:
  explicit HydrationTrigger(HydrationTriggerOptions options = {}) : options_(options) {}

  // A read of `file` missed. `ancestors`: its directory first, the root last. The directory to hydrate now, if any.
  std::optional<InodeId> OnMiss(InodeId file, std::span<const InodeId> ancestors);
  // Contents below `directory` were dropped: it may be named again.
  void Forget(InodeId directory);
  void Clear();

  size_t followed() const { return directories_.size(); }

 private:
  struct Directory {
    std::vector<InodeId> children;  // distinct ones with misses, at most distinct_children
    bool named = false;
    std::list<InodeId>::iterator age;
  };
  Directory& Touch(InodeId id);

  HydrationTriggerOptions options_;
  std::unordered_map<uint64_t, Directory> directories_;
  std::list<InodeId> by_age_;  // last touched first
};

}  // namespace leat::policy
