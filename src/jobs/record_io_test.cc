// SPDX-License-Identifier: Apache-2.0
#include "jobs/record_io.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace leat::jobs {
namespace {

std::span<const std::byte> BytesOf(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string Framed(const std::string& payload, uint64_t whole_max, uint64_t part_bytes, size_t piece_bytes = 1000) {
  std::string out;
  RecordWriter writer(
      [&](std::span<const std::byte> bytes) -> Status {
        out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return {};
      },
      whole_max, part_bytes);
  EXPECT_TRUE(writer.Begin(payload.size()));
  for (size_t at = 0; at < payload.size(); at += piece_bytes) {
    EXPECT_TRUE(writer.Write(BytesOf(payload).subspan(at, std::min(piece_bytes, payload.size() - at))));
  }
  EXPECT_TRUE(writer.End());
  return out;
}

uint32_t Number(const std::string& text, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value |= static_cast<uint32_t>(static_cast<unsigned char>(text[at + i])) << (8 * i);
  return value;
}

TEST(RecordIo, AWholeRecordByteForByte) {
  EXPECT_EQ(Framed("abcde", kRecordBytesMax, kRecordPartBytes),
            std::string("\x0a\x23\xd7\xce\x05\0\0\0abcde\0\0\0", 16));
  EXPECT_EQ(Framed("abcd", kRecordBytesMax, kRecordPartBytes), std::string("\x0a\x23\xd7\xce\x04\0\0\0abcd", 12));
  EXPECT_EQ(Framed("", kRecordBytesMax, kRecordPartBytes), std::string("\x0a\x23\xd7\xce\0\0\0\0", 8));
}

// As SageMaker's reader puts records together: parts with flag 1, 2, 3, their payloads one after the other.
TEST(RecordIo, ALongRecordComesInParts) {
  for (size_t size = 0; size <= 40; ++size) {
    for (const size_t piece_bytes : {1, 3, 8, 100}) {
      std::string payload;
      for (size_t i = 0; i < size; ++i) payload += static_cast<char>('a' + i % 26);
      const std::string out = Framed(payload, 11, 8, piece_bytes);
      std::string read;
      std::vector<uint32_t> flags;
      for (size_t at = 0; at < out.size();) {
        EXPECT_EQ(Number(out, at), kRecordMagic);
        const uint32_t flag = Number(out, at + 4) >> 29, length = Number(out, at + 4) & ((1u << 29) - 1);
        flags.push_back(flag);
        read += out.substr(at + 8, length);
        at += 8 + (length + 3) / 4 * 4;
        EXPECT_LE(at, out.size());
      }
      EXPECT_EQ(read, payload);
      std::vector<uint32_t> expected = {0};
      if (size > 11) {
        expected.assign((size + 7) / 8, 2);
        expected.front() = 1;
        expected.back() = 3;
      }
      EXPECT_EQ(flags, expected) << size;
    }
  }
}

}  // namespace
}  // namespace leat::jobs
