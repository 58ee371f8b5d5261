// SPDX-License-Identifier: Apache-2.0
#include "search/normal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace leat::search {
namespace {

TEST(Normal, QuantilesUndoTheDistribution) {
  EXPECT_NEAR(NormalQuantile(0.975), 1.959963984540054, 1e-12);
  EXPECT_NEAR(NormalQuantile(0.5), 0, 1e-12);
  EXPECT_NEAR(NormalQuantile(1e-9), -5.997807015007686, 1e-9);
}

// Reference values: E[max(0, z + N(0, 1))] to 20 digits.
TEST(Normal, LogImprovementIsExactFarBelowTheIncumbent) {
  double slope = 0;
  EXPECT_NEAR(LogImprovement(0, slope), std::log(0.3989422804014327), 1e-14);
  EXPECT_NEAR(LogImprovement(-10, slope), -55.55312203612236, 1e-11);
  EXPECT_NEAR(slope, 10.194383033412553, 1e-9);
  EXPECT_NEAR(LogImprovement(-100, slope), -5010.1295788002498, 1e-9);
  EXPECT_TRUE(std::isfinite(LogImprovement(-1e6, slope)));
}

TEST(Normal, SlopesAndBranchesFitTogether) {
  for (const auto function : {LogImprovement, LogDistribution}) {
    for (const double z : {-30.0, -8.0, -5.0, -4.99, -2.0, 0.0, 2.0}) {
      double slope = 0, unused = 0;
      function(z, slope);
      const double measured = (function(z + 1e-5, unused) - function(z - 1e-5, unused)) / 2e-5;
      EXPECT_NEAR(slope, measured, 1e-5 * std::max(1.0, std::abs(slope))) << z;
    }
  }
}

}  // namespace
}  // namespace leat::search
