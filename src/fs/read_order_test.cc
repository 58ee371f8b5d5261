// SPDX-License-Identifier: Apache-2.0
#include "fs/read_order.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "base/text.h"

namespace leat::fs {
namespace {

using testing::ElementsAre;

class ReadOrderTest : public testing::Test {
 protected:
  ReadOrderTest() {
    char name[] = "/tmp/leat-read-order-XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/read-order";
  }
  ~ReadOrderTest() override { std::filesystem::remove_all(directory_); }
  static void Read(ReadOrder& order, std::initializer_list<uint64_t> files) {
    for (const uint64_t file : files) order.OnRead(InodeId{file});
  }
  // Each file where it is named first.
  static std::vector<uint64_t> Known(ReadOrder& order, size_t count = 2) {
    std::vector<uint64_t> known;
    ReadOrder::Reader reader(order);
    for (;;) {
      const auto files = reader.Next(count);
      EXPECT_LE(files.size(), count);
      if (files.empty()) break;
      for (const InodeId file : files) known.push_back(Value(file));
    }
    return known;
  }
  Result<uint64_t> Check(const std::string& bytes) {
    EXPECT_TRUE(WriteFileAtomically(path_, bytes, 0600, false));
    FileDescriptor file(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    return CheckReadOrder(file.get());
  }
  std::string directory_, path_;
};

TEST_F(ReadOrderTest, TheFirstReadOfEachFileCounts) {
  ReadOrder order(path_);
  Read(order, {1030, 1026, 1030, 1040, 1026, 1024});
  EXPECT_THAT(Known(order), ElementsAre(1030, 1026, 1040, 1024));
}

TEST_F(ReadOrderTest, TheLatestEpochGoesBeforeWhatWasKept) {
  {
    ReadOrder order(path_);
    Read(order, {1030, 1026, 1040});
    order.Save();
    Read(order, {1040});  // a new epoch
    EXPECT_THAT(Known(order), ElementsAre(1040, 1030, 1026, 1040));
    order.Save();
  }
  ReadOrder order(path_);
  EXPECT_THAT(Known(order), ElementsAre(1040, 1030, 1026));
  order.Save();  // nothing was read: what is kept stays
  EXPECT_THAT(Known(order), ElementsAre(1040, 1030, 1026));
}

TEST_F(ReadOrderTest, AReaderMeetsANewEpochUnharmed) {
  ReadOrder order(path_);
  Read(order, {1, 2, 3, 4});
  ReadOrder::Reader reader(order);
  EXPECT_THAT(reader.Next(2), ElementsAre(InodeId{1}, InodeId{2}));
  order.Save();
  Read(order, {9});
  EXPECT_TRUE(reader.Next(2).empty());
}

TEST_F(ReadOrderTest, NoMoreThanTheLimitIsKept) {
  ReadOrder order(path_);
  Read(order, {7});
  order.Save();
  for (uint64_t file = 0; file < ReadOrder::kFilesMax + 10; ++file) order.OnRead(InodeId{1024 + file});
  order.Save();
  const auto known = Known(order, 1000);
  EXPECT_EQ(known.size(), ReadOrder::kFilesMax);
  EXPECT_EQ(known.back(), 1024 + ReadOrder::kFilesMax - 1);
}

TEST_F(ReadOrderTest, GoldenBytes) {
  const std::string bytes = EncodeReadOrder({InodeId{1030}, InodeId{1026}});
  EXPECT_EQ(HexEncode(bytes),
            "6c65617472656164"
            "01000000"
            "02000000"
            "0604000000000000"
            "0204000000000000"
            "aa9d5564");
  EXPECT_EQ(Check(bytes).value(), 2u);
  ReadOrder order(path_);
  EXPECT_THAT(Known(order), ElementsAre(1030, 1026));
}

TEST_F(ReadOrderTest, ADamagedRecordIsNotUsedAndIsReplaced) {
  const std::string good = EncodeReadOrder({InodeId{1030}, InodeId{1026}});
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(Check(bad)) << i;
    EXPECT_FALSE(Check(good.substr(0, i))) << i;
  }
  EXPECT_FALSE(Check(good + "x"));
  ReadOrder order(path_);
  EXPECT_TRUE(Known(order).empty());
  Read(order, {1026});
  order.Save();
  EXPECT_THAT(Known(order), ElementsAre(1026));
}

TEST_F(ReadOrderTest, ReadersOfManyThreadsCountEachFileOnce) {
  ReadOrder order("");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (uint64_t file = 1024; file < 3024; ++file) order.OnRead(InodeId{file});
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(Known(order).size(), 2000u);
}

}  // namespace
}  // namespace leat::fs
