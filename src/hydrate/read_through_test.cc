// SPDX-License-Identifier: Apache-2.0
#include "hydrate/read_through.h"

#include <gtest/gtest.h>

namespace leat::hydrate {
namespace {

class ReadThroughTest : public testing::Test {
 protected:
  std::shared_ptr<const Buffer> Bytes(uint64_t size_bytes) { return std::make_shared<Buffer>(gauge_, size_bytes); }
  static FlightKey Key(uint32_t dataset, uint64_t chunk) { return {DatasetId{dataset}, {}, chunk}; }

  const std::shared_ptr<BufferGauge> gauge_ = std::make_shared<BufferGauge>();
  ReadThrough held_{100};
};

TEST_F(ReadThroughTest, HoldsAChunkUntilAllOfItWasRead) {
  held_.Insert(Key(1, 0), Bytes(40), 10);
  ASSERT_TRUE(held_.Find(Key(1, 0)));
  held_.Read(Key(1, 0), 29);
  ASSERT_TRUE(held_.Find(Key(1, 0)));
  held_.Read(Key(1, 0), 1);
  EXPECT_FALSE(held_.Find(Key(1, 0)));
  EXPECT_EQ(held_.bytes(), 0u);
  EXPECT_EQ(gauge_->all.load(), 0u);
  held_.Read(Key(1, 0), 1);  // not there: nothing happens
}

TEST_F(ReadThroughTest, HoldsNothingThatWasReadWholeOrIsTooLarge) {
  held_.Insert(Key(1, 0), Bytes(40), 40);
  held_.Insert(Key(1, 1), Bytes(101), 1);
  EXPECT_TRUE(held_.empty());
}

TEST_F(ReadThroughTest, TheLeastRecentlyReadGoesFirst) {
  held_.Insert(Key(1, 0), Bytes(40), 1);
  held_.Insert(Key(1, 1), Bytes(40), 1);
  held_.Read(Key(1, 0), 1);
  held_.Insert(Key(1, 2), Bytes(40), 1);
  EXPECT_TRUE(held_.Find(Key(1, 0)));
  EXPECT_FALSE(held_.Find(Key(1, 1)));
  EXPECT_EQ(held_.bytes(), 80u);
  held_.Insert(Key(1, 2), Bytes(50), 1);  // again: replaced, not counted twice
  EXPECT_EQ(held_.bytes(), 90u);
  held_.EvictOldest();
  EXPECT_FALSE(held_.Find(Key(1, 0)));
}

TEST_F(ReadThroughTest, ForgetsADatasetAndNoOther) {
  held_.Insert(Key(1, 7), Bytes(10), 1);
  held_.Insert(Key(2, 0), Bytes(10), 1);
  held_.Insert(Key(2, 9), Bytes(10), 1);
  held_.Insert(Key(3, 0), Bytes(10), 1);
  held_.ForgetDataset(DatasetId{2});
  EXPECT_TRUE(held_.Find(Key(1, 7)));
  EXPECT_TRUE(held_.Find(Key(3, 0)));
  EXPECT_EQ(held_.bytes(), 20u);
  held_.Forget(Key(3, 0));
  EXPECT_EQ(held_.bytes(), 10u);
}

}  // namespace
}  // namespace leat::hydrate
