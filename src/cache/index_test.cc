// SPDX-License-Identifier: Apache-2.0
#include "cache/index.h"

#include <rocksdb/perf_context.h>
#include <rocksdb/perf_level.h>
#include <signal.h>
#include <sys/resource.h>

#include "cache/cache_testing.h"

namespace leat::cache {
namespace {

std::unique_ptr<Index> OpenIndex(const Directory& directory, std::chrono::milliseconds back_off) {
  std::filesystem::create_directories(directory.path());
  auto index = Index::Open(directory.path() + "/index", {}, back_off);
  EXPECT_TRUE(index) << index.error().message;
  return index ? std::move(*index) : nullptr;
}

Status Put(Index& index, const std::string& key, size_t bytes = 1) {
  IndexBatch batch;
  batch.Put(key, std::string(bytes, 'x'));
  return index.Write(batch);
}

class FullDisk {  // no file of the process grows past this
 public:
  FullDisk() {
    ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = 1u << 16;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

TEST(Index, WritesAgainAfterOneFailed) {
  Directory directory;
  auto index = OpenIndex(directory, std::chrono::milliseconds(0));
  ASSERT_TRUE(Put(*index, "before"));
  {
    FullDisk full;
    EXPECT_FALSE(Put(*index, "during", 1u << 17));
    EXPECT_FALSE(Put(*index, "during", 1u << 17));  // nor does trying to recover help
    EXPECT_FALSE(Put(*index, "during", 1u << 17));
    EXPECT_TRUE(index->Get("before"));  // a full disk takes nothing away
  }
  const Status written = Put(*index, "after");
  EXPECT_TRUE(written) << written.error().message;
  EXPECT_TRUE(index->Get("before"));
  EXPECT_TRUE(index->Get("after"));
  EXPECT_FALSE(index->Damaged());
  index.reset();
  index = OpenIndex(directory, std::chrono::milliseconds(0));
  EXPECT_TRUE(index->Get("before"));
  EXPECT_TRUE(index->Get("after"));
}

TEST(Index, RestsAfterAWriteFailed) {
  Directory directory;
  auto index = OpenIndex(directory, std::chrono::hours(1));
  {
    FullDisk full;
    EXPECT_FALSE(Put(*index, "during", 1u << 17));
  }
  const Status written = Put(*index, "after");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kIo);
}

TEST(Index, ForEachDoesNotWalkWhatWasDeletedBehindThePrefix) {
  Directory directory;
  auto index = OpenIndex(directory, std::chrono::milliseconds(0));
  ASSERT_TRUE(Put(*index, "a1"));
  ASSERT_TRUE(Put(*index, std::string("a\xff\xff", 3)));
  for (int i = 0; i < 1000; ++i) {
    const std::string key = "b" + std::to_string(i);
    ASSERT_TRUE(Put(*index, key));
    IndexBatch batch;
    batch.Delete(key);
    ASSERT_TRUE(index->Write(batch));
  }
  rocksdb::SetPerfLevel(rocksdb::PerfLevel::kEnableCount);
  rocksdb::get_perf_context()->Reset();
  int seen = 0;
  ASSERT_TRUE(index->ForEach("a", "", [&](std::string_view, std::string_view) { return ++seen > 0; }));
  EXPECT_EQ(seen, 2);
  EXPECT_LT(rocksdb::get_perf_context()->internal_delete_skipped_count, 10u);
  ASSERT_TRUE(index->ForEach("a\xff", "", [&](std::string_view, std::string_view) { return ++seen > 0; }));
  EXPECT_EQ(seen, 3);
  rocksdb::SetPerfLevel(rocksdb::PerfLevel::kDisable);
}

TEST(Index, WhatComesBeforeANewIndexRunsUntilItSucceeds) {
  Directory directory;
  std::filesystem::create_directories(directory.path());
  int runs = 0;
  const auto open = [&](bool succeed) {
    return Index::Open(directory.path() + "/index",
                       [&]() -> Status {
                         ++runs;
                         return succeed ? Status() : Fail(ErrorCode::kIo, "not yet");
                       })
        .has_value();
  };
  EXPECT_FALSE(open(false));
  EXPECT_FALSE(open(false));
  EXPECT_TRUE(open(true));
  EXPECT_EQ(runs, 3);
  EXPECT_TRUE(open(false));
  EXPECT_EQ(runs, 3);
}

}  // namespace
}  // namespace leat::cache
