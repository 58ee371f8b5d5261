// SPDX-License-Identifier: Apache-2.0
// HydrationAhead: restores the directories that are being read in the background, ahead of the readers
// (policy/hydration_trigger.h decides which), in the order of the last epoch as far as that is known
// (fs/read_order.h), then in the listing's. Uses free room of the cache only. Threads: any.
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "fs/inode_cache.h"
#include "hydrate/hydrator.h"
#include "policy/hydration_trigger.h"

namespace leat::fs {

class FileSystemImplementation;

class HydrationAhead {
 public:
  explicit HydrationAhead(FileSystemImplementation& file_system) : file_system_(file_system) {}

  void OnMiss(const InodeRecord& file);  // a demand read that the cache could not answer
  void OnImportDone();                   // goes on where entries were missing
  // While a plan sets the order nothing is fetched ahead beside it: what was under way, or would have begun, follows
  // when the last plan has ended.
  void Hold();
  void LetGo();
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
  std::vector<InodeId> held_;        // to begin when no plan holds them up any more
  size_t holds_ = 0;
  bool import_done_ = false;
  bool cancelled_ = false;
};

}  // namespace leat::fs
