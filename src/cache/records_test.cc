// SPDX-License-Identifier: Apache-2.0
#include "cache/records.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/text.h"

namespace leat::cache {
namespace {

ObjectKey Key() {
  ObjectKey key{DatasetId{7}, {}};
  for (size_t i = 0; i < 16; ++i) key.id.bytes[i] = static_cast<std::byte>(i);
  return key;
}
std::string Hex(std::string_view bytes) { return ToLower(HexEncode(bytes)); }

// Golden: what version 1 writes. A change here is a new format version.
TEST(Records, VersionOneOnDisk) {
  EXPECT_EQ(Hex(Encode(ExtentRecord{5, 0x1234, 65537, {0xdeadbeef, 1}})),
            "010500000034120000"
            "01000100"
            "efbeadde01000000");
  EXPECT_EQ(Hex(Encode(BlockRecord{3, {0x01020304}})), "010300000004030201");
  EXPECT_EQ(Hex(Encode(PlaceRecord{Key(), 27})), "00000007000102030405060708090a0b0c0d0e0f1b000000");
  EXPECT_EQ(Hex(ExtentKey(Key())), "7300000007000102030405060708090a0b0c0d0e0f");
  EXPECT_EQ(Hex(BlockKey(Key(), 258)), "6200000007000102030405060708090a0b0c0d0e0f00000102");
  EXPECT_EQ(Hex(PlaceKey(1, 2)), "650000000100000002");
  EXPECT_EQ(Hex(SegmentIntentKey(1, 2)), "6973000000010000000000000002");
  const Trailer trailer = MakeTrailer(Key().id, 110000);
  EXPECT_EQ(ToLower(HexEncode(trailer)).substr(0, 64),
            "4c4541544f424a31000102030405060708090a0b0c0d0e0fb0ad010000000000");
}

TEST(Records, RoundTrip) {
  const ExtentRecord extent{1, 2, 200000, {1, 2, 3, 4}};
  EXPECT_EQ(DecodeExtent(Encode(extent)), extent);
  const BlockRecord block{kBlockBytes, std::vector<uint32_t>(16, 9)};
  EXPECT_EQ(DecodeBlock(Encode(block)), block);
  EXPECT_EQ(ObjectKeyIn(ExtentKey(Key())), Key());
  EXPECT_EQ(ObjectKeyIn(BlockKey(Key(), 3)), Key());
  EXPECT_EQ(ObjectKeyIn(LargeIntentKey(Key(), 3)), Key());
  const std::vector<int64_t> counters = {-5, int64_t{1} << 40};
  EXPECT_EQ(DecodeCounters(EncodeCounters(counters)), counters);
}

TEST(Records, MalformedBytesAreRefused) {
  std::string value = Encode(ExtentRecord{1, 2, 200000, {1, 2, 3, 4}});
  for (size_t length = 0; length < value.size(); ++length) EXPECT_FALSE(DecodeExtent(value.substr(0, length)));
  EXPECT_FALSE(DecodeExtent(value + "x"));
  value[0] = 2;
  EXPECT_FALSE(DecodeExtent(value)) << "another version";
  Random random(1);
  for (int i = 0; i < 5000; ++i) {
    std::string noise(random.Below(60), '\0');
    for (char& c : noise) c = static_cast<char>(random.Next());
    if (const auto extent = DecodeExtent(noise)) {
      EXPECT_EQ(Encode(*extent), noise);
    }
    if (const auto block = DecodeBlock(noise)) {
      EXPECT_EQ(Encode(*block), noise);
    }
    (void)DecodePlace(noise);
    (void)ObjectKeyIn(noise);
  }
}

}  // namespace
}  // namespace leat::cache
