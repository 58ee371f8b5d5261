// SPDX-License-Identifier: Apache-2.0
#include "catalog/catalog_rocksdb.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "catalog/tree_cursor.h"
#include "database/database_memory.h"
#include "model/key_rules.h"

namespace leat::catalog {
namespace {

constexpr std::string_view kVersion = "1";
constexpr uint64_t kFirstInode = 1024;  // below: the root and numbers for files that the file system makes up
constexpr size_t kForgottenPerBatch = 10'000;
constexpr uint64_t kWriteBufferBytesMax = 16u << 20;  // of all families together

std::string_view View(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }
rocksdb::Slice Slice(std::string_view text) { return {text.data(), text.size()}; }

// Sized for two cores and many file systems open at once.
rocksdb::DBOptions DatabaseOptions(const database::DatabaseMemory& memory, uint64_t write_buffer_bytes) {
  rocksdb::DBOptions database;
  database.create_if_missing = true;
  database.create_missing_column_families = true;
  database.max_background_jobs = 2;
  database.max_open_files = 128;
  database.write_buffer_manager = memory.write_buffers();
  database.max_total_wal_size = 4 * write_buffer_bytes;
  database.bytes_per_sync = 1 << 20;
  database.stats_dump_period_sec = 0;
  database.stats_persist_period_sec = 0;
  database.info_log_level = rocksdb::WARN_LEVEL;
  database.max_log_file_size = 1 << 20;
  database.keep_log_file_num = 1;
  return database;
}

rocksdb::ColumnFamilyOptions FamilyOptions(const std::shared_ptr<rocksdb::Cache>& cache, uint64_t memtable_bytes,
                                           bool bloom) {
  rocksdb::ColumnFamilyOptions family;
  family.write_buffer_size = memtable_bytes;
  family.target_file_size_base = 16 << 20;
  family.level_compaction_dynamic_level_bytes = true;
  const auto supported = rocksdb::GetSupportedCompressions();
  const bool lz4 = std::find(supported.begin(), supported.end(), rocksdb::kLZ4Compression) != supported.end();
  family.compression = lz4 ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.block_size = 16 << 10;
  table.format_version = 5;
  if (bloom) table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return family;
}

Result<Storage> OpenStorage(const Catalog::Options& options) {
  LEAT_RETURN_IF_ERROR(CreateDirectories(options.directory, 0700));
  const auto memory = options.memory ? options.memory : std::make_shared<database::DatabaseMemory>();
  const auto& cache = memory->block_cache();
  const uint64_t write_buffer_bytes = std::min(kWriteBufferBytesMax, memory->WriteBufferBytesOfOne());
  const uint64_t large = std::max<uint64_t>(write_buffer_bytes / 2, 256 << 10), small = 256 << 10;
  const std::vector<rocksdb::ColumnFamilyDescriptor> families = {
      {rocksdb::kDefaultColumnFamilyName, FamilyOptions(cache, small, false)},
      {"inodes", FamilyOptions(cache, large, false)},
      {"entries", FamilyOptions(cache, large, true)},
      {"removed", FamilyOptions(cache, small, false)},
  };
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* database = nullptr;
  const auto status =
      rocksdb::DB::Open(DatabaseOptions(*memory, write_buffer_bytes), options.directory, families, &handles, &database);
  const std::string what = "cannot open the catalog in " + options.directory;
  if (!status.ok()) {
    // The two ways in which RocksDB says that it is open already, in another process and in this one.
    const std::string text = status.ToString();
    if (status.IsIOError() && (text.find("While lock file") != std::string::npos ||
                               text.find("lock hold by current process") != std::string::npos)) {
      return Fail(ErrorCode::kBusy, what + ": another process has it open; unmount the file system there first");
    }
    if (status.IsInvalidArgument()) {
      return Fail(ErrorCode::kNotSupported, what + ": " + text + "; remove the directory to import anew");
    }
    return FailRocks(status, what);
  }
  Storage storage;
  storage.database.reset(database);
  storage.meta = handles[0];
  storage.inodes = handles[1];
  storage.entries = handles[2];
  storage.removed = handles[3];
  storage.key_prefix = options.key_prefix;
  return storage;
}

void CloseStorage(Storage& storage) {
  if (!storage.database) return;
  for (auto* family : {storage.meta, storage.inodes, storage.entries, storage.removed}) {
    storage.database->DestroyColumnFamilyHandle(family);
  }
  storage.database.reset();
}

// Empty when there is none.
Result<std::string> ReadMeta(Storage& storage, std::string_view key) {
  std::string value;
  const auto status = storage.database->Get(rocksdb::ReadOptions(), storage.meta, Slice(key), &value);
  if (status.IsNotFound()) return std::string();
  if (!status.ok()) return FailRocks(status, "cannot read the catalog");
  return value;
}

Status InitialiseNew(Storage& storage) {
  Record root;
  root.inode.id = kRootInode;
  root.inode.parent = kRootInode;
  root.inode.type = FileType::kDirectory;
  root.inode.key = storage.key_prefix;
  rocksdb::WriteBatch batch;
  batch.Put(storage.meta, "version", Slice(kVersion));
  batch.Put(storage.meta, "key_prefix", storage.key_prefix);
  batch.Put(storage.meta, "next_inode", InodeKey(InodeId{kFirstInode}));
  batch.Put(storage.meta, "totals", EncodeTotals({}));
  batch.Put(storage.inodes, InodeKey(kRootInode), EncodeRecord(root, storage.key_prefix));
  const auto status = storage.database->Write(rocksdb::WriteOptions(), &batch);
  if (!status.ok()) return FailRocks(status, "cannot write the new catalog");
  return {};
}

Result<Counters> ReadCounters(Storage& storage, const std::string& directory) {
  LEAT_ASSIGN_OR_RETURN(std::string version, ReadMeta(storage, "version"));
  if (version.empty()) {
    LEAT_RETURN_IF_ERROR(InitialiseNew(storage));
    version = kVersion;
  }
  if (version != kVersion) {
    return Fail(ErrorCode::kNotSupported, "the catalog in " + directory + " has format version " +
                                              EscapeForDisplay(version) +
                                              ", this Leat reads version 1; remove the directory to import anew");
  }
  LEAT_ASSIGN_OR_RETURN(const std::string prefix, ReadMeta(storage, "key_prefix"));
  if (prefix != storage.key_prefix) {
    return Fail(ErrorCode::kInvalidArgument,
                "the catalog in " + directory + " is of the prefix \"" + EscapeForDisplay(prefix) + "\", not of \"" +
                    EscapeForDisplay(storage.key_prefix) + "\"; use another directory or remove this one");
  }
  LEAT_ASSIGN_OR_RETURN(const std::string next, ReadMeta(storage, "next_inode"));
  LEAT_ASSIGN_OR_RETURN(const std::string totals, ReadMeta(storage, "totals"));
  if (next.size() != 8) {
    return Fail(ErrorCode::kCorrupt,
                "the catalog in " + directory + " lacks its inode counter; remove it to import anew");
  }
  Counters counters;
  counters.next_inode = counters.inode_limit = DecodeBigEndian(next);
  LEAT_ASSIGN_OR_RETURN(counters.totals, DecodeTotals(totals));
  return counters;
}

// Nobody can hold an inode that was removed before the catalog was last open.
Status ForgetRemoved(Storage& storage) {
  const std::unique_ptr<rocksdb::Iterator> removed(
      storage.database->NewIterator(rocksdb::ReadOptions(), storage.removed));
  removed->SeekToFirst();
  while (removed->Valid()) {
    rocksdb::WriteBatch batch;
    for (size_t count = 0; removed->Valid() && count < kForgottenPerBatch; removed->Next(), ++count) {
      batch.Delete(storage.inodes, removed->key());
      batch.Delete(storage.removed, removed->key());
    }
    const auto status = storage.database->Write(rocksdb::WriteOptions(), &batch);
    if (!status.ok()) return FailRocks(status, "cannot write the catalog");
  }
  if (!removed->status().ok()) return FailRocks(removed->status(), "cannot read the catalog");
  return {};
}

}  // namespace

Result<std::unique_ptr<Catalog>> Catalog::Open(Options options) {
  if (!options.key_prefix.empty() && !options.key_prefix.ends_with('/')) {
    return Fail(ErrorCode::kInvalidArgument,
                "a repository prefix ends in '/': " + EscapeForDisplay(options.key_prefix));
  }
  LEAT_ASSIGN_OR_RETURN(Storage storage, OpenStorage(options));
  auto counters = ReadCounters(storage, options.directory);
  Status forgotten = counters ? ForgetRemoved(storage) : Status();
  if (!counters || !forgotten) {
    CloseStorage(storage);
    return Fail(counters ? std::move(forgotten).error() : std::move(counters).error());
  }
  return std::unique_ptr<Catalog>(new RocksCatalog(std::move(options), std::move(storage), *counters));
}

RocksCatalog::RocksCatalog(Options options, Storage storage, Counters counters)
    : options_(std::move(options)), storage_(std::move(storage)), counters_(counters) {}

RocksCatalog::~RocksCatalog() { CloseStorage(storage_); }

Result<Inode> RocksCatalog::Get(InodeId id) {
  std::string bytes;
  const auto status = storage_.database->Get(rocksdb::ReadOptions(), storage_.inodes, InodeKey(id), &bytes);
  if (!status.ok()) return FailRocks(status, "cannot read inode " + std::to_string(Value(id)) + " in the catalog");
  LEAT_ASSIGN_OR_RETURN(Record record, DecodeRecord(id, bytes, storage_.key_prefix));
  return std::move(record.inode);
}

Result<Inode> RocksCatalog::Lookup(InodeId parent, std::string_view name) {
  std::string bytes;
  const auto status = storage_.database->Get(rocksdb::ReadOptions(), storage_.entries, EntryKey(parent, name), &bytes);
  if (status.IsNotFound()) {
    return Fail(ErrorCode::kNotFound, "no entry \"" + EscapeForDisplay(name) + "\" in the directory");
  }
  if (!status.ok()) return FailRocks(status, "cannot look up \"" + EscapeForDisplay(name) + "\" in the catalog");
  LEAT_ASSIGN_OR_RETURN(const Entry entry, DecodeEntry(bytes));
  return Get(entry.id);
}

Status RocksCatalog::VisitDirectory(InodeId directory, uint64_t cookie,
                                    const std::function<bool(const Inode&)>& visit) {
  std::string first = InodeKey(directory);
  if (cookie != 0) {
    LEAT_ASSIGN_OR_RETURN(const Inode last, Get(InodeId{cookie}));
    if (last.parent != directory) {
      return Fail(ErrorCode::kInvalidArgument,
                  "the cookie is of an entry of another directory; read it from the start");
    }
    first += last.name;
    first += '\0';  // the least key greater than that entry's
  }
  rocksdb::ManagedSnapshot snapshot(storage_.database.get());  // an entry and its inode belong together
  const std::string end = InodeKey(InodeId{Value(directory) + 1});
  const rocksdb::Slice bound(end);
  rocksdb::ReadOptions options;
  options.snapshot = snapshot.snapshot();
  const std::unique_ptr<rocksdb::Iterator> inodes(storage_.database->NewIterator(options, storage_.inodes));
  options.iterate_upper_bound = &bound;
  const std::unique_ptr<rocksdb::Iterator> entries(storage_.database->NewIterator(options, storage_.entries));
  Record record;
  for (entries->Seek(first); entries->Valid(); entries->Next()) {
    LEAT_ASSIGN_OR_RETURN(const Entry entry, DecodeEntry(View(entries->value())));
    // Files imported together have consecutive numbers: the next record is mostly the one wanted.
    const std::string key = InodeKey(entry.id);
    if (inodes->Valid()) inodes->Next();
    if (!inodes->Valid() || View(inodes->key()) != key) inodes->Seek(key);
    if (!inodes->status().ok()) return FailRocks(inodes->status(), "cannot read the catalog's inodes");
    if (!inodes->Valid() || View(inodes->key()) != key) {
      return Fail(ErrorCode::kCorrupt,
                  "a directory entry of the catalog names no inode; remove the catalog's directory, "
                  "it is then imported again");
    }
    LEAT_RETURN_IF_ERROR(DecodeRecordInto(entry.id, View(inodes->value()), storage_.key_prefix, record));
    if (!visit(record.inode)) return {};
  }
  if (!entries->status().ok()) return FailRocks(entries->status(), "cannot read the catalog's entries");
  return {};
}

Result<std::vector<DirectoryEntry>> RocksCatalog::ReadDirectory(InodeId directory, uint64_t cookie, size_t count) {
  std::vector<DirectoryEntry> found;
  if (count == 0) return found;
  LEAT_RETURN_IF_ERROR(VisitDirectory(directory, cookie, [&](const Inode& inode) {
    found.push_back({inode});
    return found.size() < count;
  }));
  return found;
}

Status RocksCatalog::VisitFiles(InodeId directory, const std::function<bool(const Inode&)>& visit) {
  LEAT_ASSIGN_OR_RETURN(const Inode top, Get(directory));
  if (top.type != FileType::kDirectory) {
    visit(top);
    return {};
  }
  TreeCursor cursor(*this, directory);
  for (;;) {
    LEAT_ASSIGN_OR_RETURN(const auto inode, cursor.Next());
    if (!inode || (inode->type != FileType::kDirectory && !visit(*inode))) return {};
  }
}

Result<InodeId> RocksCatalog::ResolvePath(std::string_view path) {
  InodeId at = kRootInode;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    if (!name.empty() && name != ".") {  // no key component is called so: such keys have reserved names
      LEAT_ASSIGN_OR_RETURN(const Inode inode, Lookup(at, name));
      at = inode.id;
    }
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
  return at;
}

std::string RocksCatalog::PathOf(InodeId id) {
  std::string path;
  while (id != kRootInode) {
    const auto inode = Get(id);
    if (!inode) return path;  // a removed ancestor, forgotten: what is left of the path
    path = path.empty() ? inode->name : inode->name + "/" + path;
    id = inode->parent;
  }
  return path;
}

CatalogTotals RocksCatalog::Totals() {
  const std::lock_guard lock(counters_mutex_);
  return counters_.totals;
}

void RocksCatalog::Sync() {
  // What is in write buffers would take from the other databases' share for as long as this one has nothing to write.
  rocksdb::FlushOptions flush;
  flush.wait = false;
  flush.allow_write_stall = true;
  storage_.database->Flush(flush, {storage_.inodes, storage_.entries, storage_.removed}).PermitUncheckedError();
  const auto status = storage_.database->SyncWAL();
  if (!status.ok()) LogError("cannot sync the catalog in " + options_.directory + ": " + status.ToString());
}

}  // namespace leat::catalog
