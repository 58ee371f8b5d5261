// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace leat {

uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t crc) {
  constexpr size_t kPieceBytesMax = 1u << 30;  // ISA-L counts in int
  crc = ~crc;
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kPieceBytesMax));
    // ISA-L does not write through the pointer; its signature predates const.
    auto* data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(piece.data()));
    crc = crc32_iscsi(data, static_cast<int>(piece.size()), crc);
    bytes = bytes.subspan(piece.size());
  }
  return ~crc;
}

}  // namespace leat
