// SPDX-License-Identifier: Apache-2.0
#include "jobs/checkpoint_record.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <span>

#include "base/crc32c.h"
#include "base/file.h"

namespace leat::jobs {
namespace {

CheckpointRecord Example() {
  CheckpointRecord record{"a3c0", "s3://bucket/c p/", {}};
  record.files["step 1/w\n"] = {5, 1700000000123456789, "\"v1\""};
  record.files["\xff"] = {0, -1, ""};
  return record;
}

// docs/formats/checkpoint-record.md shows these bytes.
constexpr char kGolden[] =
    "leat-checkpoints 1\n"
    "boot a3c0\n"
    "uri s3%3A//bucket/c%20p/\n"
    "file 5 1700000000123456789 %22v1%22 step%201/w%0A\n"
    "file 0 -1  %FF\n"
    "end 2a05a438\n";

TEST(CheckpointRecord, GoldenBytes) {
  EXPECT_EQ(EncodeCheckpointRecord(Example()), kGolden);
  const auto record = DecodeCheckpointRecord(kGolden);
  ASSERT_TRUE(record) << record.error().message;
  EXPECT_EQ(record->boot_id, "a3c0");
  EXPECT_EQ(record->uri, "s3://bucket/c p/");
  EXPECT_EQ(record->files, Example().files);
}

TEST(CheckpointRecord, DamageIsNoticed) {
  const std::string text = EncodeCheckpointRecord(Example());
  for (size_t at = 0; at < text.size(); ++at) {
    std::string damaged = text;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_FALSE(DecodeCheckpointRecord(damaged)) << at;
    EXPECT_FALSE(DecodeCheckpointRecord(text.substr(0, at))) << at;
  }
}

TEST(CheckpointRecord, OfAnotherVersionItIsNotRead) {
  for (const char version : {'1', '2'}) {
    const std::string body = std::string("leat-checkpoints ") + version + "\nboot b\nuri u\n";
    char end[32];
    std::snprintf(end, sizeof end, "end %08x\n", Crc32c(std::as_bytes(std::span(body))));
    EXPECT_EQ(DecodeCheckpointRecord(body + end).has_value(), version == '1');
  }
}

TEST(CheckpointRecord, FromAndToAFile) {
  char directory[] = "/tmp/leat-record-XXXXXX";
  ASSERT_TRUE(mkdtemp(directory));
  const std::string path = std::string(directory) + "/record";
  EXPECT_EQ(ReadCheckpointRecord(path).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(WriteCheckpointRecord(path, Example()));
  EXPECT_EQ(ReadCheckpointRecord(path)->files, Example().files);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace leat::jobs
