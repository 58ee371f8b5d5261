// SPDX-License-Identifier: Apache-2.0
#include "cache/index.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/merge_operator.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "cache/records.h"

namespace leat::cache {
namespace {

constexpr uint64_t kWriteBuffersMax = 2;             // the one that is written, and one on its way to disk
constexpr uint64_t kWriteBufferBytesMax = 8u << 20;  // a larger one only makes the next start replay a longer log
constexpr uint64_t kLogBytesMax = 32u << 20;
constexpr int kOpenFilesMax = 256;

// Counters: arrays of little-endian int64, added element by element.
class AddCounters final : public rocksdb::AssociativeMergeOperator {
 public:
  bool Merge(const rocksdb::Slice&, const rocksdb::Slice* existing, const rocksdb::Slice& value, std::string* result,
             rocksdb::Logger*) const override {
    std::vector<int64_t> sum = DecodeCounters({value.data(), value.size()});
    if (existing != nullptr) {
      const std::vector<int64_t> before = DecodeCounters({existing->data(), existing->size()});
      for (size_t i = 0; i < sum.size() && i < before.size(); ++i) sum[i] += before[i];
    }
    *result = EncodeCounters(sum);
    return true;
  }
  const char* Name() const override { return "leat.AddCounters"; }
};

rocksdb::Options MakeOptions(const database::DatabaseMemory& memory) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = memory.block_cache();
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.cache_index_and_filter_blocks = true;
  rocksdb::Options options;
  options.create_if_missing = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.merge_operator = std::make_shared<AddCounters>();
  options.write_buffer_manager = memory.write_buffers();
  options.write_buffer_size = std::min(kWriteBufferBytesMax, memory.WriteBufferBytesOfOne() / kWriteBuffersMax);
  options.max_write_buffer_number = kWriteBuffersMax;
  options.max_total_wal_size = kLogBytesMax;
  options.max_open_files = kOpenFilesMax;
  options.max_background_jobs = 2;
  options.skip_stats_update_on_db_open = true;
  options.skip_checking_sst_file_sizes_on_db_open = true;
  options.compression = rocksdb::kNoCompression;  // checksums and hashes do not compress
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  options.keep_log_file_num = 2;
  options.max_log_file_size = 1u << 20;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

// The records are wrong or gone, as opposed to a disk or a system that refuses for now.
bool IsDamage(const rocksdb::Status& status) {
  return status.IsCorruption() || status.IsInvalidArgument() || status.IsNotSupported() || status.IsPathNotFound();
}

ErrorCode CodeOf(const rocksdb::Status& status) {
  if (status.IsNotFound()) return ErrorCode::kNotFound;
  if (status.IsNoSpace()) return ErrorCode::kNoSpace;
  return IsDamage(status) ? ErrorCode::kCorrupt : ErrorCode::kIo;
}

// The first key behind all that start with `prefix`; empty: there is none.
std::string EndOf(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (!prefix.empty()) ++prefix.back();
  return prefix;
}

}  // namespace

struct Index::Database {
  explicit Database(std::shared_ptr<database::DatabaseMemory> shared)
      : memory(shared ? std::move(shared) : std::make_shared<database::DatabaseMemory>()) {}

  const std::shared_ptr<database::DatabaseMemory> memory;
  std::shared_mutex mutex;
  std::unique_ptr<rocksdb::DB> db;                        // null when it could not be opened anew
  std::chrono::steady_clock::time_point recover_after{};  // meaningful after a failure

  rocksdb::Status Open(const std::string& path) {
    rocksdb::DB* raw = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(MakeOptions(*memory), path, &raw);
    db.reset(raw);
    return status;
  }
  void OpenToRead(const std::string& path) {
    rocksdb::DB* raw = nullptr;
    if (rocksdb::DB::OpenForReadOnly(MakeOptions(*memory), path, &raw).ok()) db.reset(raw);
  }
  rocksdb::Status Closed() const { return rocksdb::Status::IOError("it could not be opened again after a failure"); }
};

void IndexBatch::Add(std::string key, std::initializer_list<int64_t> deltas) {
  changes_.push_back({Kind::kAdd, std::move(key), EncodeCounters({deltas.begin(), deltas.size()})});
}

Index::Index(std::unique_ptr<Database> database, std::string path, std::chrono::milliseconds back_off)
    : path_(std::move(path)), back_off_(back_off), database_(std::move(database)) {}

Index::~Index() {
  if (database_->db != nullptr) database_->db->Close().PermitUncheckedError();
}

Result<std::unique_ptr<Index>> Index::Open(const std::string& path, const std::function<Status()>& on_new,
                                           std::chrono::milliseconds back_off,
                                           std::shared_ptr<database::DatabaseMemory> memory) {
  auto database = std::make_unique<Database>(std::move(memory));
  if (const rocksdb::Status status = database->Open(path); !status.ok()) {
    return Fail(CodeOf(status), "cannot open the cache's index: " + status.ToString());
  }
  std::unique_ptr<Index> index(new Index(std::move(database), path, back_off));
  const std::string version = EncodeCounters(std::vector<int64_t>{kFormatVersion});
  Result<std::string> found = index->Get(FormatKey());
  if (found && *found != version) return Fail(ErrorCode::kCorrupt, "the cache's index has another format version");
  if (!found) {
    if (found.error().code != ErrorCode::kNotFound) return Fail(found.error());
    bool empty = true;
    LEAT_RETURN_IF_ERROR(
        index->ForEach("", "", [&empty](std::string_view, std::string_view) { return empty = false; }));
    if (!empty) return Fail(ErrorCode::kCorrupt, "the cache's index has lost its format version");
    if (on_new) LEAT_RETURN_IF_ERROR(on_new());
    IndexBatch batch;
    batch.Put(FormatKey(), version);
    LEAT_RETURN_IF_ERROR(index->Write(batch));
  }
  return index;
}

Result<std::string> Index::Get(const std::string& key) const {
  std::string value;
  std::shared_lock lock(database_->mutex);
  const rocksdb::Status status =
      database_->db == nullptr ? database_->Closed() : database_->db->Get(rocksdb::ReadOptions(), key, &value);
  if (status.ok()) return value;
  if (status.IsNotFound()) return Fail(ErrorCode::kNotFound, {});
  if (IsDamage(status)) damaged_ = true;
  return Fail(CodeOf(status), "cannot read the cache's index: " + status.ToString());
}

Status Index::Write(const IndexBatch& batch) {
  rocksdb::WriteBatch changes;
  for (const auto& change : batch.changes_) {
    rocksdb::Status added;
    switch (change.kind) {
      case IndexBatch::Kind::kPut:
        added = changes.Put(change.key, change.value);
        break;
      case IndexBatch::Kind::kDelete:
        added = changes.Delete(change.key);
        break;
      case IndexBatch::Kind::kAdd:
        added = changes.Merge(change.key, change.value);
        break;
    }
    if (!added.ok())
      return Fail(ErrorCode::kInternal, "cannot build a change of the cache's index: " + added.ToString());
  }
  LEAT_RETURN_IF_ERROR(Recover());
  rocksdb::Status status;
  {
    std::shared_lock lock(database_->mutex);
    status = database_->db == nullptr ? database_->Closed() : database_->db->Write(rocksdb::WriteOptions(), &changes);
  }
  if (status.ok()) return {};
  if (IsDamage(status)) damaged_ = true;
  {
    std::lock_guard lock(database_->mutex);
    database_->recover_after = std::chrono::steady_clock::now() + back_off_;
    failed_ = true;
  }
  return Fail(CodeOf(status), "cannot write the cache's index: " + status.ToString());
}

Status Index::Recover() {
  if (!failed_) return {};
  std::lock_guard lock(database_->mutex);
  if (!failed_) return {};  // another thread was first
  if (std::chrono::steady_clock::now() < database_->recover_after) {
    return Fail(ErrorCode::kIo, "the cache's index failed a moment ago");
  }
  rocksdb::Status status = database_->db == nullptr ? database_->Closed() : database_->db->Resume();
  if (!status.ok()) {
    // What RocksDB holds to be fatal (a failed append to its log, for one) it never resumes from.
    if (database_->db != nullptr) database_->db->Close().PermitUncheckedError();
    database_->db = nullptr;
    status = database_->Open(path_);
    // What is cached can be read all the same; a full disk, for one, must not turn it all into misses.
    if (!status.ok() && !IsDamage(status)) database_->OpenToRead(path_);
  }
  if (!status.ok()) {
    if (IsDamage(status)) damaged_ = true;
    database_->recover_after = std::chrono::steady_clock::now() + back_off_;
    return Fail(CodeOf(status), "cannot open the cache's index again: " + status.ToString());
  }
  failed_ = false;
  return {};
}

Status Index::ForEach(const std::string& prefix, const std::string& from,
                      const std::function<bool(std::string_view, std::string_view)>& visit) const {
  std::shared_lock lock(database_->mutex);
  rocksdb::Status status = database_->Closed();
  if (database_->db != nullptr) {
    // Bounded, or it would walk what was deleted behind the prefix until it finds a live key.
    const std::string end = EndOf(prefix);
    const rocksdb::Slice bound(end);
    rocksdb::ReadOptions options;
    if (!end.empty()) options.iterate_upper_bound = &bound;
    const std::unique_ptr<rocksdb::Iterator> at(database_->db->NewIterator(options));
    for (at->Seek(from.empty() ? prefix : from); at->Valid() && at->key().starts_with(prefix); at->Next()) {
      if (!visit({at->key().data(), at->key().size()}, {at->value().data(), at->value().size()})) break;
    }
    status = at->status();
  }
  if (status.ok()) return {};
  if (IsDamage(status)) damaged_ = true;
  return Fail(CodeOf(status), "cannot read the cache's index: " + status.ToString());
}

Status Index::Sync() {
  std::shared_lock lock(database_->mutex);
  const rocksdb::Status status = database_->db == nullptr ? database_->Closed() : database_->db->FlushWAL(true);
  if (status.ok()) return {};
  return Fail(CodeOf(status), "cannot sync the cache's index: " + status.ToString());
}

}  // namespace leat::cache
