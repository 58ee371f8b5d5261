// SPDX-License-Identifier: Apache-2.0
#include "search/sobol.h"

#include <gtest/gtest.h>

#include <set>

namespace leat::search {
namespace {

TEST(Sobol, EverySliceOfEveryDimensionHasOnePoint) {
  for (uint32_t dimension = 0; dimension < kSobolDimensions; ++dimension) {
    std::set<int> slices;
    for (uint32_t index = 0; index < 16; ++index) {
      slices.insert(static_cast<int>(16 * ScrambledSobol(5, index, dimension)));
    }
    EXPECT_EQ(slices.size(), 16u) << dimension;
  }
}

// The first two dimensions are a (0,2)-sequence: one point in each of 4 x 4 boxes.
TEST(Sobol, TheFirstTwoDimensionsFillTheirSquare) {
  std::set<int> boxes;
  for (uint32_t index = 0; index < 16; ++index) {
    boxes.insert(static_cast<int>(4 * ScrambledSobol(8, index, 0)) * 4 +
                 static_cast<int>(4 * ScrambledSobol(8, index, 1)));
  }
  EXPECT_EQ(boxes.size(), 16u);
}

TEST(Sobol, SeedsGiveOtherPointsAndTheSameSeedTheSame) {
  EXPECT_NE(ScrambledSobol(1, 0, 0), ScrambledSobol(2, 0, 0));
  EXPECT_EQ(ScrambledSobol(1, 3, 2), ScrambledSobol(1, 3, 2));
  EXPECT_DOUBLE_EQ(ScrambledSobol(7, 5, 3), ScrambledSobol(7, 5, 3));
  const double beyond = ScrambledSobol(1, 0, kSobolDimensions + 3);
  EXPECT_GE(beyond, 0);
  EXPECT_LT(beyond, 1);
  EXPECT_NE(beyond, ScrambledSobol(1, 1, kSobolDimensions + 3));
}

}  // namespace
}  // namespace leat::search
