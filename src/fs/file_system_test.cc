// SPDX-License-Identifier: Apache-2.0
#include "fs/file_system.h"

#include <gtest/gtest.h>

#include <thread>

#include "env/blocking.h"
#include "fs/ops/getattr.h"
#include "fs/ops/lookup.h"
#include "fs/ops/measure.h"
#include "fs/ops/read.h"
#include "fs/ops/readdir.h"
#include "sim/file_system_rig.h"

namespace leat::fs {
namespace {

class FileSystemTest : public testing::Test {
 protected:
  FileSystem& fs() { return *rig_.file_system; }
  Result<LookUpAnswer> Find(InodeId parent, const std::string& name) {
    if (auto now = LookUpNow(fs(), parent, name)) return *now;
    return env::Await<LookUpAnswer>([&](auto done) { LookUp(fs(), parent, name, std::move(done)); });
  }
  InodeId Id(const std::string& directory, const std::string& name) {
    InodeId parent = kRootInode;
    if (!directory.empty()) parent = Find(kRootInode, directory)->attributes.value().id;
    return Find(parent, name)->attributes.value().id;
  }
  Result<std::string> ReadAll(InodeId inode, size_t size) {
    std::string bytes(size, '\0');
    if (auto now = ReadNow(fs(), inode, 0, std::as_writable_bytes(std::span(bytes)))) {
      if (!*now) return Fail(now->error());
      bytes.resize(**now);
      return bytes;
    }
    auto slice = env::Await<hydrate::DataSlice>([&](auto done) { Read(fs(), inode, 0, size, std::move(done)); });
    if (!slice) return Fail(slice.error());
    return std::string(reinterpret_cast<const char*>(slice->bytes.data()), slice->bytes.size());
  }
  HsmState StateOf(const std::string& path) {
    return env::Await<HsmState>([&](auto done) { State(fs(), path, std::move(done)); }).value();
  }
  Status RestoreNow(RestoreRequest request) {
    return env::Await<void>([&](auto done) { Restore(fs(), std::move(request), nullptr, std::move(done)); });
  }

  TestingRig rig_;
};

TEST_F(FileSystemTest, RestoreStateAndReleaseOfADirectory) {
  for (int i = 0; i < 20; ++i) {
    rig_.store->PutObject("d/e" + std::to_string(i % 4) + "/" + std::to_string(i),
                          PatternBytes(5000, static_cast<uint64_t>(i)));
  }
  rig_.store->PutObject("other", "other");
  rig_.Open();
  EXPECT_TRUE(StateOf("d/e0/0").released);
  ASSERT_TRUE(RestoreNow({.paths = {"d"}}));
  EXPECT_EQ(rig_.store->counters().Of(env::RequestKind::kGet), 20u);
  EXPECT_FALSE(StateOf("d/e0/0").released);
  EXPECT_EQ(StateOf("d").restored_percent, 100.0);
  EXPECT_TRUE(StateOf("d").is_directory);
  EXPECT_TRUE(StateOf("other").released);
  EXPECT_EQ(ReadAll(Id("d", "e1"), 1).error().code, ErrorCode::kIsADirectory);
  const auto bytes = env::Await<uint64_t>([&](auto done) { Release(fs(), "d", std::move(done)); });
  ASSERT_TRUE(bytes);
  EXPECT_GE(*bytes, 20u * 5000);
  EXPECT_TRUE(StateOf("d/e3/19").released);
}

TEST_F(FileSystemTest, ALookUpCostsNoHeadAndAMissingNameIsAnAnswer) {
  rig_.store->PutObject("f", "12345");
  rig_.Open();
  const auto found = Find(kRootInode, "f");
  ASSERT_TRUE(found && found->attributes);
  EXPECT_EQ(found->attributes->size_bytes, 5u);
  EXPECT_EQ(GetAttributes(fs(), found->attributes->id)->attributes.permissions, 0644u);
  const auto missing = Find(kRootInode, "none");
  ASSERT_TRUE(missing);
  EXPECT_FALSE(missing->attributes);
  EXPECT_EQ(rig_.store->counters().Of(env::RequestKind::kHead), 0u);
}

TEST_F(FileSystemTest, AChangedObjectIsStaleThenTheNameLeadsToTheNewOne) {
  rig_.store->PutObject("f", "old");
  rig_.Open();
  const InodeId old_inode = Id("", "f");
  rig_.store->PutObject("f", "newer");
  EXPECT_EQ(ReadAll(old_inode, 100).error().code, ErrorCode::kObjectChanged);
  const InodeId now = Id("", "f");
  EXPECT_NE(now, old_inode);
  EXPECT_EQ(ReadAll(now, 100).value(), "newer");
  EXPECT_EQ(ReadAll(old_inode, 100).error().code, ErrorCode::kObjectChanged);
}

TEST_F(FileSystemTest, ReadingAFewFilesFetchesTheRestOfTheirDirectory) {
  constexpr int kFiles = 60;
  for (int i = 0; i < kFiles; ++i) rig_.store->PutObject("d/" + std::to_string(i), PatternBytes(2000, 1));
  rig_.store->PutObject("elsewhere/x", "x");
  rig_.Open();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(ReadAll(Id("d", std::to_string(i)), 2000));
  const auto gets = [&] { return rig_.store->counters().Of(env::RequestKind::kGet).load(); };
  for (int i = 0; i < 2000 && gets() < kFiles; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(gets(), static_cast<uint64_t>(kFiles));
  EXPECT_EQ(rig_.store->GetsOf("elsewhere/x"), 0u);
}

TEST_F(FileSystemTest, MetadataOfAFetchedObjectIsApplied) {
  rig_.store->PutObject("f", "bytes", {{"file-permissions", "0100600"}, {"file-owner", "1234"}});
  rig_.Open();
  const InodeId inode = Id("", "f");
  ASSERT_TRUE(ReadAll(inode, 5));
  const auto attributes = [&] { return GetAttributes(fs(), inode)->attributes; };
  for (int i = 0; i < 2000 && attributes().uid != 1234; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(attributes().uid, 1234u);
  EXPECT_EQ(attributes().permissions, 0600u);
}

TEST_F(FileSystemTest, AFailedImportIsTriedAgain) {
  for (int i = 0; i < 10; ++i) rig_.store->PutObject("d/" + std::to_string(i), "x");
  rig_.store->AddFault({.kind = env::RequestKind::kList, .key_prefix = "", .error = ErrorCode::kDenied});
  rig_.Open();
  fs().StartImport();
  const auto wait_until = [](const auto& condition) {
    for (int i = 0; i < 2000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return condition();
  };
  ASSERT_TRUE(wait_until([&] { return rig_.store->FaultsFired() == 1 && !fs().Statistics().importing; }));
  fs().Tick();  // not yet
  EXPECT_FALSE(fs().Statistics().totals.complete);
  ASSERT_TRUE(wait_until([&] {
    rig_.clock.Advance(std::chrono::seconds(16));
    fs().Tick();
    return fs().Statistics().totals.complete;
  }));
  EXPECT_EQ(fs().Statistics().totals.files, 10u);
}

TEST_F(FileSystemTest, WhatLiesBelowPathsIsCountedOnceItIsKnown) {
  for (int i = 0; i < 600; ++i) rig_.store->PutObject("d/e" + std::to_string(i % 3) + "/" + std::to_string(i), "12345");
  rig_.store->PutObject("f", "123");
  rig_.Open();
  using std::chrono::milliseconds;
  EXPECT_FALSE(Measure(fs(), {"d"}).Step(milliseconds(1000)));  // not listed yet
  ASSERT_TRUE(env::Await<void>([&](auto done) { Import(fs(), "", false, std::move(done)); }));
  Measure measure(fs(), {"d/e1", "f"});
  EXPECT_FALSE(measure.Step(milliseconds(0)));
  const auto contents = measure.Step(milliseconds(60'000));
  ASSERT_TRUE(contents);
  EXPECT_EQ(contents->files, 201u);
  EXPECT_EQ(contents->bytes, 1003u);
}

TEST_F(FileSystemTest, ClosingWithAStalledReadEndsIt) {
  rig_.store->PutObject("f", "bytes");
  rig_.store->AddFault({.kind = env::RequestKind::kGet, .key_prefix = "f", .stall = true, .count = 10});
  rig_.Open();
  std::promise<Result<hydrate::DataSlice>> promise;
  Read(fs(), Id("", "f"), 0, 5, [&](Result<hydrate::DataSlice> slice) { promise.set_value(std::move(slice)); });
  rig_.Close();
  rig_.hydrator.reset();
  EXPECT_FALSE(promise.get_future().get());
}

}  // namespace
}  // namespace leat::fs
