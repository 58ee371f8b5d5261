// SPDX-License-Identifier: Apache-2.0
// FileSystem: one named instance: a repository's catalog joined with the shared cache and hydrator. Its operations are
// in fs/ops/, one a file, as free functions over FileSystem&.
//
// Threads: any. Operations that may wait take a callback and return at once; callbacks run on the calling thread when
// the answer is at hand, else on a thread of the importer, the store or the hydrator.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "cache/cache.h"
#include "catalog/catalog.h"
#include "catalog/importer.h"
#include "env/clock.h"
#include "env/object_store.h"
#include "env/processes.h"
#include "env/request_counters.h"
#include "fs/kernel.h"
#include "hydrate/hydrator.h"
#include "model/repository_url.h"

namespace leat::fs {

class InodeCache;
class ReadAccounting;

struct FileSystemOptions {
  std::string id;  // "fs-" and 17 lower-case hex digits
  std::string name;
  RepositoryUrl repository;
  std::string repository_identity;  // endpoint + bucket, or directory: part of every ObjectId
  DatasetId dataset{};
  std::string catalog_directory;
  std::string read_order_path;  // where the order of reads is kept (fs/read_order.h); empty: nowhere
  uint32_t uid = 0, gid = 0;    // shown where the object's metadata names none
  uint32_t file_mode = 0644, directory_mode = 0755;
};

// What lfs hsm_state tells, plus coverage.
struct HsmState {
  bool exists = true, archived = true, released = false, lost = false, dirty = false;
  bool is_directory = false;
  double restored_percent = 0;
};

struct FileSystemStatistics {
  catalog::CatalogTotals totals;
  bool importing = false;
  uint64_t import_objects = 0;  // listed so far by the running import
  cache::DatasetUsage restored;
  hydrate::HydratorStatistics hydration;
  uint64_t kernel_requests = 0;        // since this mount, all kinds
  uint64_t reads = 0, read_bytes = 0;  // READ requests
  uint64_t read_hits = 0;              // answered from the cache
  uint64_t read_errors = 0;
};

class FileSystem {
 public:
  struct Parts {  // what it is built from; the shared ones outlive it
    std::shared_ptr<env::ObjectStore> store;
    cache::Cache* cache = nullptr;
    hydrate::Hydrator* hydrator = nullptr;
    const env::Clock* clock = nullptr;
    std::shared_ptr<InodeCache> inodes;                         // null: its own, as are the next
    std::shared_ptr<database::DatabaseMemory> database_memory;  // for the catalog
    const env::Processes* processes = nullptr;                  // null: no job's reads are counted
  };
  // Opens the catalog. Does not list anything yet.
  static Result<std::unique_ptr<FileSystem>> Open(FileSystemOptions options, Parts parts);
  virtual ~FileSystem() = default;  // stops imports and hydration of this file system first

  // The kernel's side, set before the first request and reset (null) after the last.
  virtual void SetKernel(Kernel* kernel) = 0;
  // Starts the background import (first mount) or refresh (later ones).
  virtual void StartImport() = 0;
  // To be called every second or so, does not wait: a background import that failed is tried again when it is time.
  virtual void Tick() = 0;

  virtual const FileSystemOptions& options() const = 0;
  virtual FileSystemStatistics Statistics() const = 0;
  virtual env::MonotonicTime LastUse() const = 0;  // last kernel request
  // Whose its READs are. May outlive it.
  virtual const std::shared_ptr<ReadAccounting>& Accounting() const = 0;
};

// --- verbs of the control socket; `path` is relative to the root, "" for the root itself; kNotFound when it is not
// there after an on-demand lookup of each component.

struct RestoreRequest {
  std::vector<std::string> paths;  // files, or directories with all below them
};
// (Files in an order of the caller's: fs/ops/restore_plan.h.) `done` runs when all is restored or the first error is
// known and the rest has been tried.
void Restore(FileSystem& file_system, RestoreRequest request, std::shared_ptr<hydrate::HydrationProgress> progress,
             std::function<void(Status)> done);
// Drops cached contents, page cache included, of a file or of all below a directory. done gets the bytes given back.
void Release(FileSystem& file_system, const std::string& path, std::function<void(Result<uint64_t>)> done);
void State(FileSystem& file_system, const std::string& path, std::function<void(Result<HsmState>)> done);
// Refreshes from the repository all below `path`.
void Import(FileSystem& file_system, const std::string& path, bool posix, std::function<void(Status)> done);
const catalog::ImportProgress& ImportProgressOf(const FileSystem& file_system);

}  // namespace leat::fs
