// SPDX-License-Identifier: Apache-2.0
#include "catalog/record.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/text.h"

namespace leat::catalog {
namespace {

Record Golden() {
  Record record;
  Inode& inode = record.inode;
  inode.id = InodeId{1030};
  inode.parent = InodeId{1025};
  inode.name = "cat.jpg";
  inode.key = "data/train/cat.jpg";
  inode.etag = "\"0123456789abcdef0123456789abcdef\"";
  inode.size_bytes = 110'000;
  inode.mtime_ns = record.last_modified_ns = 1'700'000'000'000'000'000;
  inode.mode = 0644;
  return record;
}

void ExpectEqual(const Record& a, const Record& b) {
  EXPECT_EQ(a.inode.id, b.inode.id);
  EXPECT_EQ(a.inode.parent, b.inode.parent);
  EXPECT_EQ(a.inode.name, b.inode.name);
  EXPECT_EQ(a.inode.type, b.inode.type);
  EXPECT_EQ(a.inode.removed, b.inode.removed);
  EXPECT_EQ(a.inode.listed, b.inode.listed);
  EXPECT_EQ(a.inode.key, b.inode.key);
  EXPECT_EQ(a.inode.etag, b.inode.etag);
  EXPECT_EQ(a.inode.size_bytes, b.inode.size_bytes);
  EXPECT_EQ(a.inode.mtime_ns, b.inode.mtime_ns);
  EXPECT_EQ(a.inode.storage_class, b.inode.storage_class);
  EXPECT_EQ(a.inode.mode, b.inode.mode);
  EXPECT_EQ(a.inode.uid, b.inode.uid);
  EXPECT_EQ(a.inode.gid, b.inode.gid);
  EXPECT_EQ(a.inode.atime_ns, b.inode.atime_ns);
  EXPECT_EQ(a.inode.metadata_known, b.inode.metadata_known);
  EXPECT_EQ(a.inode.user_metadata, b.inode.user_metadata);
  EXPECT_EQ(a.inode.symlink_target, b.inode.symlink_target);
  EXPECT_EQ(a.has_marker, b.has_marker);
  EXPECT_EQ(a.last_modified_ns, b.last_modified_ns);
}

// The bytes of docs/formats/catalog.md. If this fails, catalogs on disk can no longer be read: raise the version
// instead.
TEST(Record, GoldenBytes) {
  const std::string bytes = EncodeRecord(Golden(), "data/");
  EXPECT_EQ(HexEncode(bytes),
            "01a181038108"
            "0d747261696e2f6361742e6a7067"
            "0123456789abcdef0123456789abcdef"
            "b0db0680c49fd50ca403");
  const auto decoded = DecodeRecord(InodeId{1030}, bytes, "data/");
  ASSERT_TRUE(decoded);
  ExpectEqual(*decoded, Golden());
  EXPECT_EQ(HexEncode(EncodeEntry({InodeId{1030}, FileType::kDirectory})), "9a20");
}

Record RandomRecord(Random& random) {
  const auto text = [&](uint64_t bound) {
    std::string bytes(random.Below(bound), '\0');
    for (auto& byte : bytes) byte = static_cast<char>(random.Below(256));
    return bytes;
  };
  Record record;
  Inode& inode = record.inode;
  inode.id = InodeId{random.Next()};
  inode.parent = InodeId{random.Next()};
  inode.type = static_cast<FileType>(1 + random.Below(3));
  inode.key = "p/" + text(40);
  inode.name = random.Below(2) ? text(20) : inode.key.substr(inode.key.rfind('/') + 1);
  inode.removed = random.Below(2);
  inode.listed = random.Below(2);
  inode.etag = text(40);
  inode.size_bytes = random.Next();
  record.last_modified_ns = static_cast<int64_t>(random.Next());
  if (random.Below(2)) record.last_modified_ns -= record.last_modified_ns % 1'000'000'000;
  inode.mtime_ns = random.Below(2) ? record.last_modified_ns : static_cast<int64_t>(random.Next());
  inode.storage_class = text(8);
  if (random.Below(2)) inode.mode = static_cast<uint32_t>(random.Below(0777));
  if (random.Below(2)) inode.uid = static_cast<uint32_t>(random.Next());
  if (random.Below(2)) inode.gid = static_cast<uint32_t>(random.Next());
  if (random.Below(2)) inode.atime_ns = static_cast<int64_t>(random.Next());
  inode.metadata_known = random.Below(2);
  for (uint64_t i = random.Below(3); i > 0; --i) inode.user_metadata.emplace_back(text(9), text(30));
  if (inode.type == FileType::kSymlink) inode.symlink_target = text(50);
  record.has_marker = random.Below(2);
  return record;
}

TEST(Record, RandomRecordsRoundTripAndTruncationsAreRejected) {
  Random random(3);
  for (int i = 0; i < 1000; ++i) {
    const Record record = RandomRecord(random);
    const std::string bytes = EncodeRecord(record, "p/");
    const auto decoded = DecodeRecord(record.inode.id, bytes, "p/");
    ASSERT_TRUE(decoded);
    ExpectEqual(*decoded, record);
    for (size_t length = 0; length < bytes.size(); ++length) {
      const auto cut = DecodeRecord(record.inode.id, std::string_view(bytes).substr(0, length), "p/");
      ASSERT_FALSE(cut);
      ASSERT_EQ(cut.error().code, ErrorCode::kCorrupt);
    }
    ASSERT_FALSE(DecodeRecord(record.inode.id, bytes + "x", "p/"));
  }
}

TEST(Record, NothingOfTheRecordBeforeIsLeftInOneDecodedOverIt) {
  Random random(5);
  Record used;
  for (int i = 0; i < 1000; ++i) {
    const Record record = RandomRecord(random);
    ASSERT_TRUE(DecodeRecordInto(record.inode.id, EncodeRecord(record, "p/"), "p/", used));
    ExpectEqual(used, record);
  }
}

TEST(Record, DamagedBytesNeverCrash) {
  Random random(4);
  int rejected = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = EncodeRecord(RandomRecord(random), "p/");
    for (uint64_t flips = 1 + random.Below(4); flips > 0; --flips) {
      bytes[random.Below(bytes.size())] = static_cast<char>(random.Below(256));
    }
    if (!DecodeRecord(InodeId{5}, bytes, "p/")) ++rejected;
    if (!DecodeEntry(bytes)) ++rejected;
    if (!DecodeTotals(bytes)) ++rejected;
  }
  EXPECT_GT(rejected, 1000);
}

TEST(Record, TotalsAndKeys) {
  const CatalogTotals totals{.files = 1, .directories = 2, .bytes = 1ull << 50, .complete = true, .imported_at_ns = 9};
  const auto decoded = DecodeTotals(EncodeTotals(totals));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->bytes, totals.bytes);
  EXPECT_TRUE(decoded->complete);
  EXPECT_EQ(decoded->imported_at_ns, 9);
  EXPECT_LT(InodeKey(InodeId{255}), InodeKey(InodeId{256}));
  EXPECT_EQ(DecodeBigEndian(EntryKey(InodeId{0x0102030405060708}, "n")), 0x0102030405060708u);
}

}  // namespace
}  // namespace leat::catalog
