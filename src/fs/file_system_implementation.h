// SPDX-License-Identifier: Apache-2.0
// The FileSystem that the operations of fs/ops/ work on: its parts, the records in use, and what the kernel knows.
// Threads: any. Only fs/ includes this.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "fs/attributes.h"
#include "fs/file_system.h"
#include "fs/gate.h"
#include "fs/hydration_ahead.h"
#include "fs/inode_cache.h"
#include "fs/kernel_knowledge.h"
#include "fs/metadata_collector.h"
#include "fs/read_accounting.h"
#include "fs/read_order.h"

namespace leat::fs {

class FileSystemImplementation final : public FileSystem, private catalog::ChangeListener {
 public:
  FileSystemImplementation(FileSystemOptions options, Parts parts, std::unique_ptr<catalog::Catalog> catalog);
  ~FileSystemImplementation() override;
  void Start();

  void SetKernel(Kernel* kernel) override;
  void StartImport() override;
  void Tick() override;
  const FileSystemOptions& options() const override { return options_; }
  FileSystemStatistics Statistics() const override;
  env::MonotonicTime LastUse() const override;
  const std::shared_ptr<ReadAccounting>& Accounting() const override { return accounting_; }

  // --- for the operations
  struct Counters {
    std::atomic<uint64_t> kernel_requests{0}, reads{0}, read_bytes{0}, read_hits{0}, read_errors{0};
  };
  catalog::Catalog& catalog() { return *catalog_; }
  catalog::Importer& importer() { return *importer_; }
  const catalog::Importer& importer() const { return *importer_; }
  cache::Cache& cache() { return *parts_.cache; }
  hydrate::Hydrator& hydrator() { return *parts_.hydrator; }
  env::ObjectStore& store() { return *parts_.store; }
  const env::Clock& clock() const { return *parts_.clock; }
  const std::shared_ptr<hydrate::Repository>& repository() const { return repository_; }
  const std::shared_ptr<Gate>& gate() const { return gate_; }
  KernelKnowledge& knowledge() { return knowledge_; }
  HydrationAhead& hydration_ahead() { return *hydration_ahead_; }
  MetadataCollector& metadata() { return *metadata_; }
  ReadOrder& read_order() { return read_order_; }
  Counters& counters() { return counters_; }
  void TouchUse() { last_use_.store(parts_.clock->Now().time_since_epoch().count(), std::memory_order_relaxed); }

  // The inode's record, from memory when it is in use. kObjectChanged when there is no such inode (a stale handle).
  Result<std::shared_ptr<const InodeRecord>> Record(InodeId id);
  cache::ObjectRef ObjectOf(const catalog::Inode& inode) const;
  Attributes Describe(const catalog::Inode& inode) const { return AttributesOf(inode, options_, mount_time_ns_); }

  // To the kernel, if there is one.
  void InvalidateEntry(InodeId parent, const std::string& name);
  void InvalidateInode(InodeId id, bool contents);
  void AfterInvalidations(bool held_too, std::function<void()> then);
  void AfterContentInvalidations(std::function<void()> then);

 private:
  void OnEntryAdded(InodeId parent, const std::string& name) override;
  void OnEntryRemoved(InodeId parent, const std::string& name, InodeId inode) override;
  void OnAttributesChanged(InodeId inode) override;

  const FileSystemOptions options_;
  const Parts parts_;
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  const int64_t mount_time_ns_;
  Counters counters_;
  std::atomic<env::Duration::rep> last_use_{0};
  std::atomic<env::Duration::rep> import_retry_at_{0};  // 0: none is due
  uint32_t import_failures_ = 0;                        // in a row; only where an import ends
  const std::shared_ptr<InodeCache> inodes_;
  KernelKnowledge knowledge_;
  ReadOrder read_order_;
  const std::shared_ptr<ReadAccounting> accounting_;

  // Held while the kernel's side is called, which only queues: so that SetKernel(nullptr) means none is calling any
  // more.
  mutable std::mutex kernel_mutex_;
  Kernel* kernel_ = nullptr;  // under kernel_mutex_

  std::unique_ptr<catalog::Catalog> catalog_;
  std::shared_ptr<hydrate::Repository> repository_;
  std::shared_ptr<MetadataCollector> metadata_;
  std::unique_ptr<HydrationAhead> hydration_ahead_;
  std::unique_ptr<catalog::Importer> importer_;
};

inline FileSystemImplementation& Implementation(FileSystem& file_system) {
  return static_cast<FileSystemImplementation&>(file_system);  // Open makes no other kind
}
inline const FileSystemImplementation& Implementation(const FileSystem& file_system) {
  return static_cast<const FileSystemImplementation&>(file_system);
}

}  // namespace leat::fs
