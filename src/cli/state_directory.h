// SPDX-License-Identifier: Apache-2.0
// The state directory of a daemon: what lies where, and the small settings files in it.
//
//   STATE/lock                          held (flock) by the daemon; its process id is inside
//   STATE/control.sock, daemon.log
//   STATE/settings.json                 capacity, memory, the next dataset number
//   STATE/cache/                        the cache of all its file systems
//   STATE/file-systems/<id>/settings.json, catalog/, read-order
//   STATE/mounts/<id>/                  where managed file systems are mounted
//
// Threads: a Settings object is confined to its caller; files are replaced whole, so a reader never sees half of one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/ids.h"
#include "model/repository_url.h"

namespace leat::cli {

struct StatePaths {
  explicit StatePaths(std::string state_directory) : root(std::move(state_directory)) {}
  std::string root;
  std::string Lock() const { return root + "/lock"; }
  std::string Socket() const { return root + "/control.sock"; }
  std::string DaemonLog() const { return root + "/daemon.log"; }
  std::string Settings() const { return root + "/settings.json"; }
  std::string Cache() const { return root + "/cache"; }
  std::string FileSystems() const { return root + "/file-systems"; }
  std::string FileSystem(const std::string& id) const { return FileSystems() + "/" + id; }
  std::string ManagedMount(const std::string& id) const { return root + "/mounts/" + id; }
};

struct DaemonSettings {
  uint64_t capacity_bytes = 0;
  uint64_t memory_bytes = 0;  // 0: the default
  uint32_t next_dataset = 1;
};
// kNotFound: none yet.
Result<DaemonSettings> LoadDaemonSettings(const StatePaths& paths);
Status SaveDaemonSettings(const StatePaths& paths, const DaemonSettings& settings);

// The capacity to run with: `asked`, else what is stored, else half of what is free on the state directory's file
// system. Fails when it is larger than that file system, naming both. Stores the answer.
Result<uint64_t> SettleCapacity(const StatePaths& paths, std::optional<uint64_t> asked);

// The memory to run with where `usable` may be used: `asked`, which is stored, else what is stored, else the default.
// Fails when less than the least or more than `usable` is asked for. What is stored and no longer fits is passed over.
Result<uint64_t> SettleMemory(const StatePaths& paths, std::optional<uint64_t> asked, uint64_t usable);

// A file system as its state directory remembers it.
struct FileSystemSettings {
  std::string id;  // "fs-" and 17 lower-case hex digits
  std::string name;
  std::string repository;  // canonical
  std::string endpoint;    // "aws", an endpoint URL, or "directory"
  DatasetId dataset{};
  int64_t created_ns = 0;
  int64_t last_use_ns = 0;  // wall time, for choosing what to evict
};
// All of them, in order of id. A settings file that cannot be read is skipped and logged.
std::vector<FileSystemSettings> LoadFileSystems(const StatePaths& paths);
Status SaveFileSystem(const StatePaths& paths, const FileSystemSettings& settings);

// The file system of this repository and endpoint named `name` (empty: the default name), as found among `known`, or a
// new one with an id of its own, not yet saved and without a dataset (is_new). kExists: another repository has the
// name.
struct ResolvedFileSystem {
  FileSystemSettings settings;
  bool is_new = false;
};
Result<ResolvedFileSystem> ResolveFileSystem(const std::vector<FileSystemSettings>& known,
                                             const RepositoryUrl& repository, const std::string& endpoint,
                                             const std::string& name);

// "bucket-prefix" in lower-case letters, digits, '.', '_' and '-', at most 48 characters; a short hash of the rest when
// something had to be left out.
std::string DefaultName(const RepositoryUrl& repository, const std::string& endpoint);
Status CheckName(const std::string& name);  // what --name may be
std::string NewFileSystemId();

// FNV-1a, 64 bits, in hex: a stable short name for a longer one. Not for security.
std::string ShortHash(std::string_view text);

}  // namespace leat::cli
