// SPDX-License-Identifier: Apache-2.0
#include "cache/cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "cache/checked_read.h"
#include "cache/step.h"
#include "cache/store.h"

namespace leat::cache {
namespace {

constexpr const char* kDamageMark = "index-damaged";  // left for the next Open when the index was seen to be damaged

bool MarkDamaged(const Store& store) {
  return FileDescriptor(::openat(store.directory.get(), kDamageMark, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600))
      .valid();
}

class CacheImplementation final : public Cache {
 public:
  explicit CacheImplementation(std::unique_ptr<Store> store) : store_(std::move(store)) {}

  void Start() {
    store_->evictor.Start([store = store_.get()](DatasetId dataset, const std::atomic<bool>& stop) {
      return store->Evict(dataset, stop);
    });
  }

  ~CacheImplementation() override {
    store_->evictor.Stop();
    store_->segments->Close();
    Sync();
  }

  bool Read(const ObjectRef& object, uint64_t offset, std::span<std::byte> out) override {
    LEAT_CHECK(offset <= object.size_bytes && out.size() <= object.size_bytes - offset);
    const bool hit =
        object.size_bytes <= kSmallObjectBytesMax ? ReadSmall(object, offset, out) : ReadLarge(object, offset, out);
    (hit ? store_->hits : store_->misses).fetch_add(1, std::memory_order_relaxed);
    return hit;
  }

  bool Contains(const ObjectRef& object, uint64_t offset, uint64_t length) override {
    if (object.size_bytes <= kSmallObjectBytesMax) return store_->FindExtent(KeyOf(object)) != nullptr;
    const auto large = store_->FindLarge(object);
    return large != nullptr && !large->detached && large->Has(offset, length);
  }

  uint64_t CachedBytes(const ObjectRef& object) override {
    if (object.size_bytes <= kSmallObjectBytesMax) {
      return store_->FindExtent(KeyOf(object)) != nullptr ? object.size_bytes : 0;
    }
    const auto large = store_->FindLarge(object);
    if (large == nullptr || large->detached) return 0;
    std::lock_guard lock(large->mutex);
    return large->present_bytes;
  }

  Result<std::unique_ptr<Writer>> StartWrite(const ObjectRef& object, uint64_t offset, uint64_t length) override {
    LEAT_CHECK(offset <= object.size_bytes && length <= object.size_bytes - offset);
    if (object.size_bytes <= kSmallObjectBytesMax) {
      LEAT_CHECK(offset == 0 && length == object.size_bytes);
      return StartSmallWrite(*store_, object);
    }
    LEAT_CHECK(offset % kBlockBytes == 0);
    LEAT_CHECK((offset + length) % kBlockBytes == 0 || offset + length == object.size_bytes);
    return StartLargeWrite(*store_, object, offset, length);
  }

  Released Release(const ObjectRef& object) override {
    return object.size_bytes <= kSmallObjectBytesMax ? store_->ReleaseSmall(KeyOf(object))
                                                     : store_->ReleaseLarge(KeyOf(object));
  }
  Released ReleaseDataset(DatasetId dataset) override { return store_->ReleaseDataset(dataset); }
  uint64_t FreeBytes() override { return store_->space.Free(); }
  bool MakesRoom() override { return store_->evictor.Busy(); }
  DatasetUsage Usage(DatasetId dataset) override { return store_->space.Usage(dataset); }

  CacheStatistics Statistics() override {
    return {store_->space.Capacity(), store_->space.Used(), store_->hits,          store_->misses,
            store_->corrupt,          store_->io_errors,    store_->evicted_bytes, store_->extents.Bytes()};
  }

  void Sync() override {
    uint64_t errors = 0;
    store_->segments->Sync(errors);
    store_->large->Sync(errors);
    if (const Status synced = store_->index->Sync(); !synced) ++errors;
    if (store_->index->Damaged() && !MarkDamaged(*store_)) ++errors;
    if (errors == 0) return;
    store_->io_errors += errors;
    LogWarning("cache: a sync of its files failed; after a power loss some of it may have to be fetched again");
  }

 private:
  bool ReadSmall(const ObjectRef& object, uint64_t offset, std::span<std::byte> out) {
    const ObjectKey key = KeyOf(object);
    const auto extent = store_->FindExtent(key);
    if (extent == nullptr || extent->record.length != object.size_bytes) return false;
    const Segment::File file = extent->segment->Open();
    ReadOutcome outcome = ReadOutcome::kFailed;
    if (file != nullptr) {
      const std::span<const uint32_t> checksums(extent->record.checksums);
      const Trailer trailer = MakeTrailer(key.id, object.size_bytes);
      outcome = ReadChecked(file->get(), extent->record.page * kPageBytes, object.size_bytes,
                            checksums.subspan(std::min<size_t>(offset / kChecksumBytes, checksums.size())), offset, out,
                            &trailer);
    } else if (errno == ENOENT || errno == ELOOP) {
      outcome = ReadOutcome::kMismatch;
    }
    if (outcome == ReadOutcome::kChecked) return true;
    if (outcome == ReadOutcome::kFailed && file == nullptr) {  // out of descriptors, for example: the bytes may be well
      ++store_->io_errors;
      return false;
    }
    // Released or replaced meanwhile: an ordinary miss. Otherwise damage.
    if (store_->ReleaseSmall(key, &extent->record).bytes != 0) Damage(outcome, object);
    return false;
  }

  bool ReadLarge(const ObjectRef& object, uint64_t offset, std::span<std::byte> out) {
    const auto large = store_->FindLarge(object);
    if (large == nullptr || !large->Has(offset, out.size())) return false;
    if (out.empty()) return true;
    const uint64_t first_block = offset / kBlockBytes, last_block = (offset + out.size() - 1) / kBlockBytes;
    std::vector<BlockRecord> records;
    for (uint64_t block = first_block; block <= last_block; ++block) {
      const auto value = store_->index->Get(BlockKey(large->key, static_cast<uint32_t>(block)));
      auto record = value ? DecodeBlock(*value) : std::nullopt;
      if (!record || record->length != large->BlockLength(block)) return false;
      records.push_back(std::move(*record));
    }
    for (uint64_t block = first_block; block <= last_block; ++block) {
      const BlockRecord& record = records[block - first_block];
      const uint64_t start = block * kBlockBytes;
      const uint64_t from = std::max(offset, start), to = std::min(offset + out.size(), start + record.length);
      const std::span<const uint32_t> checksums(record.checksums);
      const ReadOutcome outcome =
          ReadChecked(large->file.get(), start, record.length, checksums.subspan((from - start) / kChecksumBytes),
                      from - start, out.subspan(from - offset, to - from), nullptr);
      if (outcome == ReadOutcome::kChecked) continue;
      if (store_->ReleaseBlock(large, static_cast<uint32_t>(block), record).bytes != 0) Damage(outcome, object);
      return false;
    }
    return true;
  }

  void Damage(ReadOutcome outcome, const ObjectRef& object) {
    ++(outcome == ReadOutcome::kFailed ? store_->io_errors : store_->corrupt);
    LogWarning("cache: the stored bytes of " + EscapeForDisplay(object.key) +
               (outcome == ReadOutcome::kFailed ? " cannot be read" : " do not match their checksum or identity") +
               "; dropped, they will be fetched again");
  }

  const std::unique_ptr<Store> store_;
};

Status TakeLock(Store& store) {
  store.lock_file =
      FileDescriptor(::openat(store.directory.get(), "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!store.lock_file.valid()) return FailErrno(errno, "cannot open " + store.options.directory + "/lock");
  if (::flock(store.lock_file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return FailErrno(errno, "cannot lock " + store.options.directory);
    char text[32] = {};
    const ssize_t got = ::pread(store.lock_file.get(), text, sizeof text - 1, 0);
    const std::string holder(Trim(std::string_view(text, got > 0 ? static_cast<size_t>(got) : 0)));
    return Fail(ErrorCode::kBusy, "the cache " + store.options.directory + " is in use by process " +
                                      (holder.empty() ? "(unknown)" : EscapeForDisplay(holder)) +
                                      "; unmount what uses it, or name another cache directory");
  }
  const std::string own = std::to_string(::getpid()) + "\n";
  if (::ftruncate(store.lock_file.get(), 0) != 0 ||
      !WriteAll(store.lock_file.get(), std::as_bytes(std::span(own)), 0)) {
    return Fail(ErrorCode::kIo, "cannot write to the cache directory " + store.options.directory);
  }
  return {};
}

Result<FileDescriptor> OpenFolder(const Store& store, const char* name) {
  if (::mkdirat(store.directory.get(), name, 0700) != 0 && errno != EEXIST) {
    return FailErrno(errno, "cannot create " + store.options.directory + "/" + name);
  }
  FileDescriptor folder(::openat(store.directory.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid()) return FailErrno(errno, "cannot open " + store.options.directory + "/" + name);
  return folder;
}

Status CannotEmpty(const Store& store, const std::error_code& error) {
  return Fail(ErrorCode::kIo, "cannot empty the cache directory " + store.options.directory + ": " + error.message() +
                                  "; remove its contents by hand");
}

Status EmptyFolder(const Store& store, const char* name) {
  std::error_code error;
  std::vector<std::filesystem::path> paths;
  std::filesystem::directory_iterator at(store.options.directory + "/" + name, error);
  for (; !error && at != std::filesystem::directory_iterator(); at.increment(error)) paths.push_back(at->path());
  for (const auto& path : paths) {
    if (!error) std::filesystem::remove_all(path, error);
  }
  return error ? CannotEmpty(store, error) : Status();
}

Status OpenParts(Store& store) {
  LEAT_ASSIGN_OR_RETURN(const FileDescriptor index_directory, OpenFolder(store, "index"));
  LEAT_ASSIGN_OR_RETURN(store.segments_directory, OpenFolder(store, "segments"));
  LEAT_ASSIGN_OR_RETURN(store.objects_directory, OpenFolder(store, "objects"));
  // What lies beside an index that knows of nothing was left by one that was lost: it would take room for ever.
  const auto empty_folders = [&store]() -> Status {
    LEAT_RETURN_IF_ERROR(EmptyFolder(store, "segments"));
    return EmptyFolder(store, "objects");
  };
  LEAT_ASSIGN_OR_RETURN(store.index, Index::Open(store.options.directory + "/index", empty_folders, Index::kBackOff,
                                                 store.options.database_memory));
  LEAT_RETURN_IF_ERROR(store.index->ForEach(DatasetPrefix(), "", [&](std::string_view key, std::string_view value) {
    const auto dataset = NumberIn(key, 1);
    const auto counters = DecodeCounters(value);
    if (dataset && counters.size() == 2) {
      store.space.Load(DatasetId{*dataset}, {static_cast<uint64_t>(std::max<int64_t>(counters[0], 0)),
                                             static_cast<uint64_t>(std::max<int64_t>(counters[1], 0))});
    }
    return true;
  }));
  const uint64_t segment_bytes = std::max<uint64_t>(
      std::min(store.options.segment_bytes, store.options.capacity_bytes / 4) / kPageBytes * kPageBytes, kPageBytes);
  store.segments = std::make_unique<Segments>(store.segments_directory.get(), *store.index, store.space, segment_bytes,
                                              store.options.open_segments_max);
  LEAT_RETURN_IF_ERROR(store.segments->Open());
  store.large =
      std::make_unique<LargeObjects>(store.objects_directory.get(), *store.index, store.options.open_large_objects_max);
  return store.large->Tidy();
}

// Removes everything but the lock. The mark comes first and goes last: whatever ends this in the middle, the next Open
// begins it anew.
Status Empty(const Store& store) {
  if (!MarkDamaged(store)) return FailErrno(errno, "cannot write to the cache directory " + store.options.directory);
  for (const char* name : {"index", "segments", "objects", kDamageMark}) {
    std::error_code error;
    std::filesystem::remove_all(store.options.directory + "/" + name, error);
    if (error) return CannotEmpty(store, error);
    Step("emptied");
  }
  return {};
}

Result<std::unique_ptr<Store>> OpenStore(const CacheOptions& options, const EvictionChooser& chooser) {
  auto store = std::make_unique<Store>(options, chooser);
  LEAT_RETURN_IF_ERROR(CreateDirectories(options.directory, 0700));
  store->directory = FileDescriptor(::open(options.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!store->directory.valid()) return FailErrno(errno, "cannot open the cache directory " + options.directory);
  LEAT_RETURN_IF_ERROR(TakeLock(*store));
  return store;
}

}  // namespace

Result<std::unique_ptr<Cache>> Cache::Open(CacheOptions options, EvictionChooser chooser) {
  if (options.directory.empty()) return Fail(ErrorCode::kInvalidArgument, "the cache needs a directory");
  LEAT_ASSIGN_OR_RETURN(std::unique_ptr<Store> store, OpenStore(options, chooser));
  const bool marked = ::faccessat(store->directory.get(), kDamageMark, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  Status opened = marked ? Status(Fail(ErrorCode::kCorrupt, "the cache's index was found damaged")) : OpenParts(*store);
  if (!opened && opened.error().code == ErrorCode::kCorrupt) {
    LogWarning(opened.error().message + "; the cache " + options.directory + " starts empty");
    store.reset();
    LEAT_ASSIGN_OR_RETURN(store, OpenStore(options, chooser));
    LEAT_RETURN_IF_ERROR(Empty(*store));
    opened = OpenParts(*store);
  }
  if (!opened) return Fail(opened.error());
  auto cache = std::make_unique<CacheImplementation>(std::move(store));
  cache->Start();
  return std::unique_ptr<Cache>(std::move(cache));
}

}  // namespace leat::cache
