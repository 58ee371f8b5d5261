// SPDX-License-Identifier: Apache-2.0
// For tests: a FileSystem over a bucket in memory with the real catalog, cache and hydrator, in a directory of its own.
// Header only: whoever includes it links leat_fs.
#pragma once

#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>

#include "base/check.h"
#include "cache/cache.h"
#include "env/clock.h"
#include "fs/file_system.h"
#include "hydrate/hydrator.h"
#include "sim/memory_object_store.h"

namespace leat::fs {

class RealClock final : public env::Clock {  // and what the test adds
 public:
  void Advance(env::Duration duration) { ahead_ = ahead_.load() + duration; }
  env::MonotonicTime Now() const override { return std::chrono::steady_clock::now() + ahead_.load(); }
  int64_t WallTimeNs() const override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }

 private:
  std::atomic<env::Duration> ahead_{env::Duration::zero()};
};

class TestingRig {
 public:
  explicit TestingRig(uint64_t capacity_bytes = 256u << 20) {
    char name[] = "/tmp/leat-rig-XXXXXX";
    LEAT_CHECK(mkdtemp(name) != nullptr);
    directory = name;
    // A stalled request holds a thread of the store: enough of them for the rest to go on.
    store = std::make_shared<sim::MemoryObjectStore>(sim::MemoryObjectStoreOptions{.threads = 8});
    cache::CacheOptions cache_options;
    cache_options.directory = directory + "/cache";
    cache_options.capacity_bytes = capacity_bytes;
    auto opened = cache::Cache::Open(cache_options, [](DatasetId, uint64_t) { return std::vector<DatasetId>{}; });
    LEAT_CHECK(opened.has_value());
    cache = std::move(*opened);
    hydrate::HydratorOptions options;
    options.hedge.share_max = 0;  // on a busy machine a late GET would be sent twice, and tests count GETs
    hydrator = hydrate::Hydrator::Create(options, *cache, clock);
  }
  ~TestingRig() {
    Close();
    hydrator.reset();
    cache.reset();
    store.reset();
    std::filesystem::remove_all(directory);
  }
  void Open() {
    FileSystemOptions options;
    options.id = "fs-0123456789abcdef0";
    options.name = "test";
    options.repository.bucket = "bucket";
    options.repository_identity = "memory/bucket";
    options.dataset = DatasetId{1};
    options.catalog_directory = directory + "/catalog";
    options.read_order_path = directory + "/read-order";
    auto opened = FileSystem::Open(options, {store, cache.get(), hydrator.get(), &clock, nullptr, nullptr, processes});
    LEAT_CHECK(opened.has_value());
    file_system = std::move(*opened);
  }
  void Close() { file_system.reset(); }

  std::string directory;
  RealClock clock;
  const env::Processes* processes = nullptr;  // to be set before Open
  std::shared_ptr<sim::MemoryObjectStore> store;
  std::unique_ptr<cache::Cache> cache;
  std::unique_ptr<hydrate::Hydrator> hydrator;
  std::unique_ptr<FileSystem> file_system;
};

// Bytes that differ at every place and for every seed.
inline std::string PatternBytes(size_t size, uint64_t seed) {
  std::string bytes(size, '\0');
  Random random(seed);
  for (char& byte : bytes) byte = static_cast<char>(random.Next());
  return bytes;
}

}  // namespace leat::fs
