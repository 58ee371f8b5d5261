// SPDX-License-Identifier: Apache-2.0
#include "cache/extent_memory.h"

#include <gtest/gtest.h>

namespace leat::cache {
namespace {

ObjectKey Key(uint32_t number) {
  ObjectKey key{DatasetId{1}, {}};
  for (int i = 0; i < 4; ++i) key.id.bytes[static_cast<size_t>(12 + i)] = std::byte(number >> (8 * (3 - i)));
  key.id.bytes[0] = key.id.bytes[15];
  return key;
}

TEST(ExtentMemoryTest, ItStaysBelowItsBytesAndTheLastUsedStay) {
  constexpr size_t kBytesMax = 256 << 10;
  ExtentMemory memory(kBytesMax);
  for (uint32_t number = 0; number < 10'000; ++number) {
    auto extent = std::make_shared<Extent>();
    extent->record.checksums.resize(number % 128);
    memory.Insert(Key(number), extent, memory.Generation(Key(number)));
    EXPECT_LE(memory.Bytes(), kBytesMax);
    ASSERT_NE(memory.Find(Key(number)), nullptr);
  }
  EXPECT_GT(memory.Bytes(), kBytesMax / 2);
  EXPECT_EQ(memory.Find(Key(0)), nullptr);
  memory.Erase(Key(9'999));
  EXPECT_EQ(memory.Find(Key(9'999)), nullptr);
}

}  // namespace
}  // namespace leat::cache
