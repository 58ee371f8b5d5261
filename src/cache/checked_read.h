// SPDX-License-Identifier: Apache-2.0
// Reading bytes of an object from a cache file and comparing them with what the index says of them. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cache/records.h"

namespace leat::cache {

enum class ReadOutcome {
  kChecked,   // `out` is filled and every chunk that it touches agrees with its checksum
  kMismatch,  // the file is too short, or its bytes are others
  kFailed,    // the system call failed
};

// The object's byte 0 lies at `base` of the file; it has `size` bytes. `checksums` begins with that of the chunk in
// which `offset` lies. With `trailer`, the 40 bytes after the object's last are compared too when the last chunk is
// read.
ReadOutcome ReadChecked(int file, uint64_t base, uint64_t size, std::span<const uint32_t> checksums, uint64_t offset,
                        std::span<std::byte> out, const Trailer* trailer);

}  // namespace leat::cache
