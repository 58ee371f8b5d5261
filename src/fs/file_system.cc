// SPDX-License-Identifier: Apache-2.0
#include "fs/file_system.h"

#include <algorithm>
#include <string>

#include "base/log.h"
#include "fs/file_system_implementation.h"

namespace leat::fs {
namespace {

// How long a background import that failed waits for its next try: doubled each time.
constexpr std::chrono::seconds kImportRetryFirst{15}, kImportRetryMax{600};

}  // namespace

FileSystemImplementation::FileSystemImplementation(FileSystemOptions options, Parts parts,
                                                   std::unique_ptr<catalog::Catalog> catalog)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      mount_time_ns_(parts_.clock->WallTimeNs()),
      inodes_(parts_.inodes ? parts_.inodes : std::make_shared<InodeCache>()),
      read_order_(options_.read_order_path),
      accounting_(std::make_shared<ReadAccounting>(*parts_.clock, parts_.processes)),
      catalog_(std::move(catalog)),
      repository_(std::make_shared<hydrate::Repository>()),
      metadata_(std::make_shared<MetadataCollector>(*this)),
      hydration_ahead_(std::make_unique<HydrationAhead>(*this)) {
  repository_->store = parts_.store;
  // The collector outlives this object for as long as a fetch may still tell it something.
  repository_->on_object_info = [collector = metadata_](const ObjectInfo& info) { collector->OnObjectInfo(info); };
  TouchUse();
}

void FileSystemImplementation::Start() {
  catalog_->SetListener(this);
  importer_ = catalog::Importer::Create({}, *catalog_, *parts_.store, *parts_.clock);
  metadata_->Start();
}

FileSystemImplementation::~FileSystemImplementation() {
  SetKernel(nullptr);
  hydration_ahead_->CancelAll();
  metadata_->Stop();
  gate_->Close();
  importer_.reset();
  parts_.hydrator->CancelDataset(options_.dataset);
  catalog_->SetListener(nullptr);
  inodes_->EraseDataset(options_.dataset);  // the catalog forgets removed inodes when it is opened again
  catalog_->Sync();
  read_order_.Save();
}

Result<std::unique_ptr<FileSystem>> FileSystem::Open(FileSystemOptions options, Parts parts) {
  catalog::Catalog::Options catalog_options;
  catalog_options.directory = options.catalog_directory;
  catalog_options.memory = parts.database_memory;
  if (options.repository.kind == RepositoryUrl::Kind::kS3) catalog_options.key_prefix = options.repository.prefix;
  LEAT_ASSIGN_OR_RETURN(std::unique_ptr<catalog::Catalog> catalog, catalog::Catalog::Open(std::move(catalog_options)));
  auto file_system =
      std::make_unique<FileSystemImplementation>(std::move(options), std::move(parts), std::move(catalog));
  file_system->Start();
  return std::unique_ptr<FileSystem>(std::move(file_system));
}

void FileSystemImplementation::SetKernel(Kernel* kernel) {
  std::lock_guard lock(kernel_mutex_);
  kernel_ = kernel;
}

void FileSystemImplementation::StartImport() {
  importer_->Import(kRootInode, false, [this, gate = gate_](Status status) {
    GateScope scope(gate);
    if (!scope) return;
    if (!status) {
      const auto wait = std::min(kImportRetryMax, kImportRetryFirst * (1 << std::min(import_failures_++, 10u)));
      import_retry_at_ = (parts_.clock->Now() + wait).time_since_epoch().count();
      LogWarning("import of " + options_.repository.ToString() + " did not finish: " + status.error().message +
                 "; names are looked up on demand, the next try is in " + std::to_string(wait.count()) + " s");
      return;
    }
    import_failures_ = 0;
    hydration_ahead_->OnImportDone();
  });
}

void FileSystemImplementation::Tick() {
  auto due = import_retry_at_.load();
  if (due == 0 || parts_.clock->Now().time_since_epoch().count() < due) return;
  if (import_retry_at_.compare_exchange_strong(due, 0)) StartImport();
}

FileSystemStatistics FileSystemImplementation::Statistics() const {
  FileSystemStatistics statistics;
  statistics.totals = catalog_->Totals();
  statistics.importing = importer_->Progress().running;
  statistics.import_objects = importer_->Progress().objects;
  statistics.restored = parts_.cache->Usage(options_.dataset);
  statistics.hydration = parts_.hydrator->Statistics(options_.dataset);
  statistics.kernel_requests = counters_.kernel_requests;
  statistics.reads = counters_.reads;
  statistics.read_bytes = counters_.read_bytes;
  statistics.read_hits = counters_.read_hits;
  statistics.read_errors = counters_.read_errors;
  return statistics;
}

env::MonotonicTime FileSystemImplementation::LastUse() const {
  return env::MonotonicTime(env::Duration(last_use_.load(std::memory_order_relaxed)));
}

cache::ObjectRef FileSystemImplementation::ObjectOf(const catalog::Inode& inode) const {
  return {.dataset = options_.dataset,
          .key = inode.key,
          .etag = inode.etag,
          .size_bytes = inode.size_bytes,
          .id = cache::MakeObjectId(options_.repository_identity, inode.key, inode.etag, inode.size_bytes)};
}

Result<std::shared_ptr<const InodeRecord>> FileSystemImplementation::Record(InodeId id) {
  if (auto record = inodes_->Find(options_.dataset, id)) return record;
  const uint64_t ticket = inodes_->Ticket(id);
  Result<catalog::Inode> inode = catalog_->Get(id);
  if (!inode) {
    if (inode.error().code != ErrorCode::kNotFound) return Fail(std::move(inode).error());
    return Fail(ErrorCode::kObjectChanged, "inode " + std::to_string(Value(id)) + " is not in the catalog any more");
  }
  auto record = std::make_shared<InodeRecord>();
  record->inode = std::move(*inode);
  if (record->inode.type != catalog::FileType::kDirectory) record->object = ObjectOf(record->inode);
  // A directory becomes listed without a notice, so only a listed one is kept.
  if (record->inode.type != catalog::FileType::kDirectory || record->inode.listed) {
    inodes_->Insert(options_.dataset, record, ticket);
  }
  return std::shared_ptr<const InodeRecord>(std::move(record));
}

void FileSystemImplementation::InvalidateEntry(InodeId parent, const std::string& name) {
  std::lock_guard lock(kernel_mutex_);
  if (kernel_ != nullptr) kernel_->InvalidateEntry(parent, name);
}

void FileSystemImplementation::InvalidateInode(InodeId id, bool contents) {
  std::lock_guard lock(kernel_mutex_);
  if (kernel_ != nullptr) kernel_->InvalidateInode(id, contents);
}

void FileSystemImplementation::AfterInvalidations(bool held_too, std::function<void()> then) {
  {
    std::lock_guard lock(kernel_mutex_);
    if (kernel_ != nullptr) return kernel_->AfterInvalidations(held_too, std::move(then));
  }
  then();
}

void FileSystemImplementation::AfterContentInvalidations(std::function<void()> then) {
  {
    std::lock_guard lock(kernel_mutex_);
    if (kernel_ != nullptr) return kernel_->AfterContentInvalidations(std::move(then));
  }
  then();
}

void FileSystemImplementation::OnEntryAdded(InodeId parent, const std::string& name) {
  knowledge_.EntryChanged(parent, name);
  if (!knowledge_.MayMissName(parent, name)) return;
  std::lock_guard lock(kernel_mutex_);
  if (kernel_ != nullptr) kernel_->InvalidateEntry(parent, name);
}

void FileSystemImplementation::OnEntryRemoved(InodeId parent, const std::string& name, InodeId inode) {
  inodes_->Erase(options_.dataset, inode);
  knowledge_.EntryChanged(parent, name);
  knowledge_.AttributesChanged(inode);
  std::lock_guard lock(kernel_mutex_);
  if (kernel_ == nullptr) return;
  if (knowledge_.MayKnowInode(parent)) kernel_->InvalidateEntry(parent, name);
  // Pages of the old version stay: whoever still holds it open reads one version, never a mix.
  if (knowledge_.MayKnowInode(inode)) kernel_->InvalidateInode(inode, false);
}

void FileSystemImplementation::OnAttributesChanged(InodeId inode) {
  inodes_->Erase(options_.dataset, inode);
  knowledge_.AttributesChanged(inode);
  if (!knowledge_.MayKnowInode(inode)) return;
  std::lock_guard lock(kernel_mutex_);
  if (kernel_ != nullptr) kernel_->InvalidateInode(inode, false);
}

const catalog::ImportProgress& ImportProgressOf(const FileSystem& file_system) {
  return Implementation(file_system).importer().Progress();
}

}  // namespace leat::fs
