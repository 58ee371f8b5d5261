// SPDX-License-Identifier: Apache-2.0
#include "posix/directory_object_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "env/blocking.h"

namespace leat::posix {
namespace {

namespace fs = std::filesystem;
using env::Await;

class DirectoryStore : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/leat-directory-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    top_ = name;
    root_ = top_ / "root";
    fs::create_directory(root_);
    store_ = std::move(*OpenDirectoryObjectStore(root_, counters_));
  }
  void TearDown() override {
    store_.reset();
    fs::remove_all(top_);
  }
  void Write(const std::string& key, const std::string& bytes) {
    fs::create_directories((root_ / key).parent_path());
    std::ofstream(root_ / key) << bytes;
  }
  std::vector<std::string> Names(const env::ListRequest& request) {
    const auto page = env::ListAll(*store_, request);
    std::vector<std::string> names;
    if (!page) return {page.error().message};
    for (const auto& object : page->objects) names.push_back(object.key);
    for (const auto& prefix : page->common_prefixes) names.push_back(prefix);
    return names;
  }

  fs::path top_, root_;
  env::RequestCounters counters_;
  std::unique_ptr<env::ObjectStore> store_;
};

TEST_F(DirectoryStore, ListsInBytewiseKeyOrderOnEveryPageSize) {
  for (const char* key : {"a/x", "a/y/z", "a-b", "a0", "a.txt", "b"}) Write(key, key);
  fs::create_directory(root_ / "empty");
  const std::vector<std::string> all = {"a-b", "a.txt", "a/x", "a/y/z", "a0", "b", "empty/"};
  for (uint32_t keys_max = 1; keys_max <= 8; ++keys_max) EXPECT_EQ(Names({.keys_max = keys_max}), all) << keys_max;
  EXPECT_EQ(Names({.start_after = "a/x"}), std::vector<std::string>(all.begin() + 3, all.end()));
  EXPECT_EQ(Names({.prefix = "a/"}), (std::vector<std::string>{"a/x", "a/y/z"}));
  EXPECT_EQ(Names({.prefix = "a"}), std::vector<std::string>(all.begin(), all.begin() + 5));
}

TEST_F(DirectoryStore, DelimiterFoldsDirectoriesOnEveryPageSize) {
  for (const char* key : {"a/x", "a/y/z", "a-b", "c/d"}) Write(key, key);
  for (uint32_t keys_max = 1; keys_max <= 4; ++keys_max) {
    EXPECT_EQ(Names({.delimiter = "/", .keys_max = keys_max}), (std::vector<std::string>{"a-b", "a/", "c/"}));
    EXPECT_EQ(Names({.prefix = "a/", .delimiter = "/", .keys_max = keys_max}),
              (std::vector<std::string>{"a/x", "a/y/"}));
  }
}

TEST_F(DirectoryStore, SymlinksNeverLeadOut) {
  std::ofstream(top_ / "secret") << "secret";
  Write("inside", "inside");
  fs::create_symlink("../secret", root_ / "out");
  fs::create_symlink("inside", root_ / "in");
  fs::create_symlink(".", root_ / "loop");
  EXPECT_EQ(Names({}), (std::vector<std::string>{"in", "inside"}));
  EXPECT_EQ(env::GetWhole(*store_, {.key = "in"})->bytes, "inside");
  EXPECT_EQ(env::GetWhole(*store_, {.key = "out"}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(env::GetWhole(*store_, {.key = "../secret"}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(DirectoryStore, ReadsRangesAndNoticesReplacement) {
  Write("f", "0123456789");
  const auto whole = env::GetWhole(*store_, {.key = "f"});
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->bytes, "0123456789");
  EXPECT_EQ(env::GetWhole(*store_, {.key = "f", .offset = 3, .length = 4})->bytes, "3456");
  EXPECT_EQ(env::GetWhole(*store_, {.key = "f", .offset = 8, .length = 100})->bytes, "89");
  EXPECT_EQ(env::GetWhole(*store_, {.key = "f", .offset = 10}).error().code, ErrorCode::kInvalidArgument);
  Write("f", "other bytes");
  EXPECT_EQ(env::GetWhole(*store_, {.key = "f", .if_match = whole->info.etag}).error().code, ErrorCode::kObjectChanged);
}

TEST_F(DirectoryStore, PutHeadDeleteAndConditions) {
  const auto body = std::make_shared<const std::string>("bytes");
  const auto put = [&](env::PutRequest request) {
    request.key = "d/e/f";
    request.body = body;
    return Await<std::string>([&](auto done) { store_->Put(request, std::move(done)); });
  };
  const auto etag = put({});
  ASSERT_TRUE(etag) << etag.error().message;
  EXPECT_EQ(Await<ObjectInfo>([&](auto done) { store_->Head("d/e/f", std::move(done)); })->etag, *etag);
  env::PutRequest only_new;
  only_new.if_none_match = true;
  EXPECT_EQ(put(only_new).error().code, ErrorCode::kExists);
  env::PutRequest wrong_version;
  wrong_version.if_match = "\"no\"";
  EXPECT_EQ(put(wrong_version).error().code, ErrorCode::kObjectChanged);
  EXPECT_EQ(Names({}), (std::vector<std::string>{"d/e/f"}));  // no work file is left
  EXPECT_TRUE(Await<void>([&](auto done) { store_->Delete("d/e/f", std::move(done)); }));
  EXPECT_TRUE(Await<void>([&](auto done) { store_->Delete("d/e/f", std::move(done)); }));
  EXPECT_EQ(Await<ObjectInfo>([&](auto done) { store_->Head("d/e/f", std::move(done)); }).error().code,
            ErrorCode::kNotFound);
}

TEST_F(DirectoryStore, MultipartJoinsItsPartsInOrder) {
  const auto id =
      Await<std::string>([&](auto done) { store_->CreateMultipartUpload({.key = "big"}, std::move(done)); });
  ASSERT_TRUE(id);
  std::vector<env::UploadedPart> parts;
  for (const uint32_t number : {2u, 1u}) {
    auto part = Await<env::UploadedPart>([&](auto done) {
      store_->UploadPart("big", *id, number, std::make_shared<const std::string>(number == 1 ? "first" : "second"),
                         std::move(done));
    });
    ASSERT_TRUE(part);
    parts.push_back(*part);
  }
  EXPECT_EQ(Names({}), std::vector<std::string>{});
  ASSERT_TRUE(
      Await<std::string>([&](auto done) { store_->CompleteMultipartUpload("big", *id, parts, std::move(done)); }));
  EXPECT_EQ(env::GetWhole(*store_, {.key = "big"})->bytes, "firstsecond");
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), fs::directory_iterator()), 1);
}

TEST(DirectoryStoreOpen, SaysWhatIsWrong) {
  env::RequestCounters counters;
  EXPECT_EQ(OpenDirectoryObjectStore("/nowhere/at/all", counters).error().code, ErrorCode::kNoSuchBucket);
  EXPECT_EQ(OpenDirectoryObjectStore("/etc/passwd", counters).error().code, ErrorCode::kNotADirectory);
}

}  // namespace
}  // namespace leat::posix
