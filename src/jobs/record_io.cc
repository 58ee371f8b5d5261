// SPDX-License-Identifier: Apache-2.0
#include "jobs/record_io.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace leat::jobs {
namespace {

constexpr std::array<std::byte, 4> kZeros{};

void PutLittleEndian(std::byte* to, uint32_t value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<std::byte>(value >> (8 * i));
}

}  // namespace

Status RecordWriter::Begin(uint64_t size_bytes) {
  LEAT_CHECK(left_ == 0 && part_left_ == 0);
  left_ = size_bytes;
  is_in_parts_ = size_bytes > whole_max_;
  is_first_ = true;
  return Header();
}

Status RecordWriter::Header() {
  part_left_ = is_in_parts_ ? std::min(left_, part_bytes_) : left_;
  padding_ = (4 - part_left_ % 4) % 4;
  uint32_t flag = 0;
  if (is_in_parts_) flag = is_first_ ? 1 : part_left_ == left_ ? 3 : 2;
  is_first_ = false;
  std::array<std::byte, 8> header;
  PutLittleEndian(header.data(), kRecordMagic);
  PutLittleEndian(header.data() + 4, flag << 29 | static_cast<uint32_t>(part_left_));
  return sink_(header);
}

Status RecordWriter::Write(std::span<const std::byte> bytes) {
  LEAT_CHECK(bytes.size() <= left_);
  while (!bytes.empty()) {
    if (part_left_ == 0) LEAT_RETURN_IF_ERROR(Header());
    const auto piece = bytes.first(std::min<uint64_t>(bytes.size(), part_left_));
    LEAT_RETURN_IF_ERROR(sink_(piece));
    bytes = bytes.subspan(piece.size());
    part_left_ -= piece.size();
    left_ -= piece.size();
  }
  return {};
}

Status RecordWriter::End() {
  LEAT_CHECK(left_ == 0 && part_left_ == 0);
  return padding_ == 0 ? Status() : sink_(std::span(kZeros).first(padding_));
}

}  // namespace leat::jobs
