// SPDX-License-Identifier: Apache-2.0
// For tests: a hydrator over a bucket and a cache in memory. Header only: whoever includes it links leat_hydrate and
// GoogleTest.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/random.h"
#include "hydrate/hydrator.h"
#include "hydrate/memory_cache.h"
#include "sim/memory_object_store.h"

namespace leat::hydrate {

inline constexpr uint64_t kMiB = 1u << 20;

class SteppedClock final : public env::Clock {  // real time and what the test adds
 public:
  env::MonotonicTime Now() const override { return std::chrono::steady_clock::now() + ahead_.load(); }
  int64_t WallTimeNs() const override { return 0; }
  void Advance(env::Duration duration) { ahead_ = ahead_.load() + duration; }

 private:
  std::atomic<env::Duration> ahead_{env::Duration::zero()};
};

class ListSource final : public HydrationSource {
 public:
  explicit ListSource(std::vector<cache::ObjectRef> objects) : objects_(std::move(objects)) {}
  std::vector<cache::ObjectRef> Next(size_t count) override {
    const size_t end = std::min(objects_.size(), at_ + count);
    std::vector<cache::ObjectRef> next(objects_.begin() + static_cast<std::ptrdiff_t>(at_),
                                       objects_.begin() + static_cast<std::ptrdiff_t>(end));
    at_ = end;
    return next;
  }

 private:
  std::vector<cache::ObjectRef> objects_;
  size_t at_ = 0;
};

class HydratorTest : public testing::Test {
 protected:
  void Build(HydratorOptions options = {}, uint64_t capacity_bytes = 1u << 30,
             sim::MemoryObjectStoreOptions store = {}) {
    store_ = std::make_shared<sim::MemoryObjectStore>(store);
    repository_ = std::make_shared<Repository>(Repository{store_, {}});
    cache_ = std::make_unique<MemoryCache>(capacity_bytes);
    if (!hedging_) options.hedge.share_max = 0;
    hydrator_ = Hydrator::Create(options, *cache_, clock_);
  }

  cache::ObjectRef Put(const std::string& key, uint64_t size_bytes, uint32_t dataset = 1) {
    std::string bytes(size_bytes, '\0');
    Random random(size_bytes + ++puts_);
    for (uint64_t at = 0; at < size_bytes; at += 8) {
      const uint64_t word = random.Next();
      std::memcpy(bytes.data() + at, &word, std::min<uint64_t>(8, size_bytes - at));
    }
    cache::ObjectRef object{DatasetId{dataset}, key, store_->PutObject(key, bytes), size_bytes, {}};
    std::memcpy(object.id.bytes.data(), &puts_, sizeof(puts_));
    contents_[key] = std::move(bytes);
    return object;
  }

  using Answered = std::future<Result<std::string>>;
  Answered Read(const cache::ObjectRef& object, uint64_t offset, uint64_t length) {
    auto promise = std::make_shared<std::promise<Result<std::string>>>();
    auto future = promise->get_future();
    hydrator_->Read(repository_, object, offset, length, [promise](Result<DataSlice> slice) {
      if (!slice) return promise->set_value(Fail(slice.error()));  // a second call would throw
      promise->set_value(std::string(reinterpret_cast<const char*>(slice->bytes.data()), slice->bytes.size()));
    });
    return future;
  }
  std::string Expected(const cache::ObjectRef& object, uint64_t offset, uint64_t length) {
    return offset >= object.size_bytes ? "" : contents_.at(object.key).substr(offset, length);
  }
  void ExpectRight(Answered answered, const cache::ObjectRef& object, uint64_t offset, uint64_t length) {
    const auto bytes = answered.get();
    ASSERT_TRUE(bytes.has_value()) << bytes.error().message;
    EXPECT_TRUE(*bytes == Expected(object, offset, length)) << object.key << " at " << offset;
  }
  ErrorCode ErrorOf(Answered answered) {
    const auto bytes = answered.get();
    return bytes ? ErrorCode::kInternal : bytes.error().code;
  }
  // Readers are answered before their bytes are kept.
  void WaitUntilKept() {
    while (hydrator_ && hydrator_->Statistics().fetching_objects > 0) std::this_thread::yield();
  }
  bool CachedRight(const cache::ObjectRef& object) {
    WaitUntilKept();
    std::string bytes(object.size_bytes, '\0');
    return cache_->Read(object, 0, std::as_writable_bytes(std::span(bytes))) && bytes == contents_.at(object.key);
  }
  std::future<Status> Restore(std::vector<cache::ObjectRef> objects, BackgroundPriority priority,
                              std::shared_ptr<HydrationProgress> progress) {
    auto promise = std::make_shared<std::promise<Status>>();
    hydrator_->Restore(repository_, std::make_unique<ListSource>(std::move(objects)), priority, std::move(progress),
                       [promise](Status status) { promise->set_value(std::move(status)); });
    return promise->get_future();
  }

  bool hedging_ = false;  // else every GET is sent once, and can be counted
  SteppedClock clock_;
  std::shared_ptr<sim::MemoryObjectStore> store_;
  std::shared_ptr<Repository> repository_;
  std::unique_ptr<MemoryCache> cache_;
  std::map<std::string, std::string> contents_;
  uint64_t puts_ = 0;
  std::unique_ptr<Hydrator> hydrator_;
};

}  // namespace leat::hydrate
