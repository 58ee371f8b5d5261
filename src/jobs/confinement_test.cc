// SPDX-License-Identifier: Apache-2.0
#include "jobs/confinement.h"

#include <gtest/gtest.h>

namespace leat::jobs {
namespace {

TEST(Confinement, NamesStayTheSame) {
  EXPECT_EQ(ConfinementName("123456789", "job"), "leat-job-3808858755");  // the check value of CRC-32C
  EXPECT_NE(ConfinementName("/home/a/.leat", "job"), ConfinementName("/home/b/.leat", "job"));
}

}  // namespace
}  // namespace leat::jobs
