// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace leat {
namespace {

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/leat-file-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
};

TEST_F(FileTest, WritesAtomicallyAndReadsBack) {
  const std::string path = directory_ + "/f";
  ASSERT_TRUE(WriteFileAtomically(path, "one", 0600, true));
  ASSERT_TRUE(WriteFileAtomically(path, "two", 0600, false));
  EXPECT_EQ(*ReadFile(path), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1);
}

TEST_F(FileTest, ErrorsNameThePath) {
  const auto missing = ReadFile(directory_ + "/missing");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_NE(missing.error().message.find("/missing"), std::string::npos);
  ASSERT_TRUE(WriteFileAtomically(directory_ + "/f", "0123456789", 0600, false));
  EXPECT_EQ(ReadFile(directory_ + "/f", 5).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(CreateDirectories(directory_ + "/f").error().code, ErrorCode::kNotADirectory);
}

TEST_F(FileTest, CreatesDirectoriesOnTheWay) {
  ASSERT_TRUE(CreateDirectories(directory_ + "/a/b/c"));
  ASSERT_TRUE(CreateDirectories(directory_ + "/a/b/c"));
  EXPECT_TRUE(std::filesystem::is_directory(directory_ + "/a/b/c"));
}

}  // namespace
}  // namespace leat
