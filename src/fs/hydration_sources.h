// SPDX-License-Identifier: Apache-2.0
// Where the hydrator gets the files below some directories from: in the listing's order, or first in that of the last
// epoch. Threads: confined to the hydrator's; made on any. They outlive the file system, whose gate they ask.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "hydrate/hydrator.h"
#include "model/ids.h"

namespace leat::fs {

class FileSystemImplementation;

// Every file below some inodes. `incomplete` is set when directories were met whose entries are not all known.
std::unique_ptr<hydrate::HydrationSource> MakeWalkSource(FileSystemImplementation& file_system,
                                                         std::vector<InodeId> roots,
                                                         std::shared_ptr<std::atomic<bool>> incomplete);

// The same of `directory`, those that the last epoch read first and in its order. A file may be named twice: it is in
// the cache then, or on its way to it.
std::unique_ptr<hydrate::HydrationSource> MakeLearnedSource(FileSystemImplementation& file_system, InodeId directory,
                                                            std::shared_ptr<std::atomic<bool>> incomplete);

}  // namespace leat::fs
