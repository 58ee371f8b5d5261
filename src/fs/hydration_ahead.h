// SPDX-License-Identifier: Apache-2.0
// HydrationAhead: restores the directories that are being read in the background, ahead of the readers
// (policy/hydration_trigger.h decides which). Uses free room of the cache only. Threads: any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "fs/catalog_walk.h"
#include "fs/inode_cache.h"
#include "hydrate/hydrator.h"
#include "policy/hydration_trigger.h"

namespace leat::fs {

class FileSystemImplementation;

// Every file below some inodes, for the hydrator. `incomplete` is set when directories were met whose entries are not
// all known.
std::unique_ptr<hydrate::HydrationSource> MakeWalkSource(FileSystemImplementation& file_system,
                                                         std::vector<InodeId> roots,
                                                         std::shared_ptr<std::atomic<bool>> incomplete);

class HydrationAhead {
 public:
  explicit HydrationAhead(FileSystemImplementation& file_system) : file_system_(file_system) {}

  void OnMiss(const InodeRecord& file);  // a demand read that the cache could not answer
  void OnImportDone();                   // goes on where entries were missing
  // Contents are being dropped: stops fetching ahead; reads start it again.
  void Reset();
  void CancelAll();

 private:
  void Begin(InodeId directory);
  void Run(InodeId directory);

  FileSystemImplementation& file_system_;
  std::mutex mutex_;  // protects what follows
  policy::HydrationTrigger trigger_;
  std::unordered_map<uint64_t, std::shared_ptr<hydrate::HydrationProgress>> running_;
  std::vector<InodeId> incomplete_;  // to be gone over again after the import
  bool import_done_ = false;
  bool cancelled_ = false;
};

}  // namespace leat::fs
