// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli, reflected, init and xorout all ones) by the processor's instruction through ISA-L.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace leat {

// The checksum of `bytes`, or, with the checksum of what came before as `crc`, of both together.
uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace leat
