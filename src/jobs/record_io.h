// SPDX-License-Identifier: Apache-2.0
// MXNet's RecordIO, as SageMaker's Pipe mode frames objects: a little-endian uint32 0xced7230a, a uint32 whose upper
// three bits are a flag and the others a length, the payload, zeros up to a multiple of 4. Flags: 0 a whole record; of
// a record that is too long for one, 1 the first part, 2 a further one, 3 the last. Parts are simply put together, as
// SageMaker's own reader does it (github.com/aws/sagemaker-tensorflow-extensions, RecordIOReader.cpp); MXNet's, which
// never wrote such a record for its length, would put the magic number between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "jobs/archive.h"

namespace leat::jobs {

inline constexpr uint32_t kRecordMagic = 0xced7230a;
inline constexpr uint64_t kRecordBytesMax = (uint64_t{1} << 29) - 1;
inline constexpr uint64_t kRecordPartBytes =
    (uint64_t{1} << 29) - 4;  // a multiple of 4: only the last part has padding

// Frames records whose size is known beforehand. Confined to one thread. Failures are the sink's.
class RecordWriter {
 public:
  // `whole_max`, `part_bytes`: smaller ones for tests.
  explicit RecordWriter(ByteSink sink, uint64_t whole_max = kRecordBytesMax, uint64_t part_bytes = kRecordPartBytes)
      : sink_(std::move(sink)), whole_max_(whole_max), part_bytes_(part_bytes) {}
  Status Begin(uint64_t size_bytes);
  Status Write(std::span<const std::byte> bytes);  // not more than is left of the record
  Status End();                                    // all bytes must have come

 private:
  Status Header();

  const ByteSink sink_;
  const uint64_t whole_max_, part_bytes_;
  uint64_t left_ = 0;       // of the record
  uint64_t part_left_ = 0;  // of the part that has its header
  uint64_t padding_ = 0;    // due at the end of that part
  bool is_in_parts_ = false, is_first_ = false;
};

}  // namespace leat::jobs
