// SPDX-License-Identifier: Apache-2.0
// A directory of the local (or an NFS) file system as a repository: file:///path. Keys are paths relative to it; the
// ETag is made of mtime, size and inode; an empty directory is listed as an object "dir/" of size 0.
//
// Threads: as env::ObjectStore; the store owns four threads, which do every system call and every callback. No path
// leads out of the directory: all opens resolve beneath it, symlinks included (one that leads out is treated as
// absent). User metadata lives in extended attributes "user.leat.NAME"; a Put of some fails with kNotSupported where
// there are none.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "env/clock.h"
#include "env/object_store.h"
#include "env/request_counters.h"

namespace leat::posix {

// `counters` must outlive the store. Fails with kNoSuchBucket when `path` is not there, kNotADirectory, kDenied.
Result<std::unique_ptr<env::ObjectStore>> OpenDirectoryObjectStore(const std::string& path,
                                                                   env::RequestCounters& counters);

}  // namespace leat::posix
