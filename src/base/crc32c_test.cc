// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string_view>

namespace leat {
namespace {

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(Crc32c, CheckValueOfTheStandard) { EXPECT_EQ(Crc32c(Bytes("123456789")), 0xe3069283u); }
TEST(Crc32c, OfNothingIsZero) { EXPECT_EQ(Crc32c({}), 0u); }
TEST(Crc32c, ContinuesOverPieces) { EXPECT_EQ(Crc32c(Bytes("6789"), Crc32c(Bytes("12345"))), 0xe3069283u); }

}  // namespace
}  // namespace leat
