// SPDX-License-Identifier: Apache-2.0
#include "search/stop_decision.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace leat::search {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(StopDecision, WhatIsNotFiniteIsTheWorstEitherWay) {
  EXPECT_EQ(Cost(2.5, false), 2.5);
  EXPECT_EQ(Cost(2.5, true), -2.5);
  for (const bool maximize : {false, true}) {
    EXPECT_EQ(Cost(std::nan(""), maximize), kInfinity);
    EXPECT_EQ(Cost(kInfinity, maximize), kInfinity);
    EXPECT_EQ(Cost(-kInfinity, maximize), kInfinity);
  }
}

TEST(StopDecision, NumbersThatDifferLookDifferent) {
  EXPECT_EQ(NumberText(0.412, 0.397), "0.412");
  EXPECT_EQ(NumberText(0.1 + 0.2, 1), "0.3");
  EXPECT_EQ(NumberText(1e-9, 1), "1e-09");
  EXPECT_EQ(NumberText(0.12345678, 0.12345679), "0.12345678");
  EXPECT_EQ(NumberText(1, std::nextafter(1, 2)), "1");
  EXPECT_EQ(NumberText(std::nextafter(1, 2), 1), "1.0000000000000002");
  EXPECT_EQ(NumberText(0.5, 0.5), "0.5");
  EXPECT_EQ(NumberText(-0.0, 1), "0");
  EXPECT_EQ(NumberText(-std::nan(""), 1), "nan");
  EXPECT_EQ(NumberText(-kInfinity, 1), "-inf");
}

}  // namespace
}  // namespace leat::search
