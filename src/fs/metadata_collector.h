// SPDX-License-Identifier: Apache-2.0
// MetadataCollector: takes the user metadata that a GET or HEAD brought to the catalog, on a thread of its own
// ("leat-meta"), since telling it comes on the store's thread. A LIST tells no metadata, so it becomes known as files
// are fetched. Threads: any. Outlives its file system while fetches hold it; then it does nothing.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

#include "base/result.h"
#include "catalog/catalog.h"
#include "model/object.h"

namespace leat::fs {

class FileSystemImplementation;

class MetadataCollector {
 public:
  static constexpr size_t kQueueMax = 65'536;  // beyond it metadata waits for the next fetch or `leat import --posix`
  static constexpr size_t kExpectedMax = 65'536;  // fetches whose inode is remembered

  explicit MetadataCollector(FileSystemImplementation& file_system) : file_system_(&file_system) {}
  ~MetadataCollector();
  void Start();
  void Stop();

  // The object of this inode is about to be fetched.
  void Expect(const catalog::Inode& inode);
  void OnObjectInfo(const ObjectInfo& info);
  // Applies what a HEAD told now. A symlink object's body is fetched first; `done` runs when all is applied.
  void Apply(InodeId id, const ObjectInfo& info, std::function<void(Status)> done);

 private:
  void Work();
  void ApplyFetched(InodeId id, const ObjectInfo& info);

  FileSystemImplementation* const file_system_;  // used between Start and Stop only
  std::mutex mutex_;                             // protects what follows
  std::condition_variable wake_;
  bool stopping_ = true;
  std::unordered_map<std::string, InodeId> expected_;
  std::deque<std::string> expected_order_;
  std::deque<std::pair<InodeId, ObjectInfo>> queue_;
  std::thread thread_;
};

}  // namespace leat::fs
