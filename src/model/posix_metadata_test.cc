// SPDX-License-Identifier: Apache-2.0
#include "model/posix_metadata.h"

#include <gtest/gtest.h>

namespace leat {
namespace {

TEST(PosixMetadata, DecodesFsx) {
  UserMetadata rest;
  const auto decoded = DecodePosixMetadata({{"file-permissions", "0100664"},
                                            {"file-owner", "500"},
                                            {"file-group", "501"},
                                            {"file-mtime", "1595002920000000001ns"},
                                            {"file-atime", "1595002920123"},
                                            {"user-agent", "aws-fsx-lustre"},
                                            {"colour", "green"}},
                                           &rest);
  EXPECT_EQ(decoded.mode, 0664u);
  EXPECT_EQ(decoded.uid, 500u);
  EXPECT_EQ(decoded.gid, 501u);
  EXPECT_EQ(decoded.mtime_ns, 1595002920000000001);
  EXPECT_EQ(decoded.atime_ns, 1595002920123000000);
  EXPECT_FALSE(decoded.is_symlink);
  EXPECT_EQ(rest, (UserMetadata{{"colour", "green"}}));
}

TEST(PosixMetadata, DecodesS3fsAndRclone) {
  const auto s3fs =
      DecodePosixMetadata({{"mode", "33188"}, {"uid", "7"}, {"gid", "8"}, {"mtime", "1595002920"}}, nullptr);
  EXPECT_EQ(s3fs.mode, 0644u);
  EXPECT_EQ(s3fs.uid, 7u);
  EXPECT_EQ(s3fs.mtime_ns, 1595002920000000000);
  const auto rclone = DecodePosixMetadata({{"mode", "100640"}, {"mtime", "1595002920.5"}}, nullptr);
  EXPECT_EQ(rclone.mode, 0640u);
  EXPECT_EQ(rclone.mtime_ns, 1595002920500000000);
  EXPECT_TRUE(DecodePosixMetadata({{"mode", "41471"}}, nullptr).is_symlink);
  EXPECT_TRUE(DecodePosixMetadata({{"mode", "120777"}}, nullptr).is_symlink);
  EXPECT_EQ(DecodePosixMetadata({{"mtime", "-1.5"}}, nullptr).mtime_ns, -1500000000);
}

TEST(PosixMetadata, FsxWinsAndSpecialBitsAreStripped) {
  const auto decoded =
      DecodePosixMetadata({{"uid", "1"}, {"file-owner", "2"}, {"file-permissions", "0106755"}}, nullptr);
  EXPECT_EQ(decoded.uid, 2u);
  EXPECT_EQ(decoded.mode, 0755u);
}

TEST(PosixMetadata, HostileValuesAreIgnoredAndKept) {
  const UserMetadata hostile = {{"file-permissions", "0999"},
                                {"file-permissions", "77777777777777"},
                                {"file-permissions", "060000644"},
                                {"file-owner", "-1"},
                                {"file-owner", "4294967295"},
                                {"file-group", "1x"},
                                {"file-mtime", "99999999999999999999ns"},
                                {"file-mtime", "9223372036854775807"},
                                {"file-atime", "ns"},
                                {"mtime", "1."},
                                {"mtime", "9223372036854775807"},
                                {"mode", ""}};
  UserMetadata rest;
  EXPECT_EQ(DecodePosixMetadata(hostile, &rest), PosixMetadata{});
  EXPECT_EQ(rest, hostile);
}

TEST(PosixMetadata, EncodesWhatItDecodes) {
  PosixMetadata metadata;
  metadata.mode = 0777;
  metadata.uid = 0;
  metadata.gid = 4294967294u;
  metadata.mtime_ns = -5;
  metadata.atime_ns = 1595002920000000000;
  metadata.is_symlink = true;
  const auto pairs = EncodePosixMetadata(metadata, PosixKind::kSymlink);
  EXPECT_EQ(pairs[0].second, "0120777");
  EXPECT_EQ(DecodePosixMetadata(pairs, nullptr), metadata);
  EXPECT_EQ(EncodePosixMetadata({.mode = 0664}, PosixKind::kFile)[0].second, "0100664");
  EXPECT_EQ(EncodePosixMetadata({.mode = 0755}, PosixKind::kDirectory)[0].second, "0040755");
  EXPECT_TRUE(EncodePosixMetadata({}, PosixKind::kFile).empty());
}

}  // namespace
}  // namespace leat
