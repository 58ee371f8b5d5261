// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <gtest/gtest.h>

namespace leat {
namespace {

TEST(EscapeForDisplay, KeepsTextAndEscapesTheRest) {
  EXPECT_EQ(EscapeForDisplay("caf\xc3\xa9"), "caf\xc3\xa9");
  EXPECT_EQ(EscapeForDisplay("a\nb\x1b[31m"), "a\\x0ab\\x1b[31m");
  EXPECT_EQ(EscapeForDisplay("\xff"), "\\xff");
}

}  // namespace
}  // namespace leat
