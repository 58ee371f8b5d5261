// SPDX-License-Identifier: Apache-2.0
#include "search/output_transform.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>

namespace leat::search {
namespace {

using Eigen::VectorXd;

VectorXd Values(std::initializer_list<double> list) {
  VectorXd values(static_cast<Eigen::Index>(list.size()));
  std::copy(list.begin(), list.end(), values.begin());
  return values;
}

void ExpectStandard(const VectorXd& values) {
  EXPECT_NEAR(values.mean(), 0, 1e-12);
  EXPECT_NEAR(values.squaredNorm() / static_cast<double>(values.size()), 1, 1e-12);
}

TEST(OutputTransform, BothKeepTheOrderAndStandardize) {
  const VectorXd values = Values({-1e6, 3, 1, 2, -4, 2.5, -1e3});
  for (const auto transform : {Winsorized, HalfRankLogarithmic}) {
    const VectorXd transformed = transform(values);
    ExpectStandard(transformed);
    for (Eigen::Index i = 0; i < values.size(); ++i) {
      for (Eigen::Index j = 0; j < values.size(); ++j) {
        EXPECT_TRUE(values[i] >= values[j] || transformed[i] < transformed[j]) << values[i] << " " << values[j];
      }
    }
  }
}

TEST(OutputTransform, AVeryBadValueDoesNotHideTheOthers) {
  const VectorXd values = Values({-1e12, 3, 1, 2, 2.5, 1.5});
  for (const auto transform : {Winsorized, HalfRankLogarithmic}) {
    const VectorXd transformed = transform(values);
    EXPECT_GT(transformed[1] - transformed[2], 0.1);
  }
}

TEST(OutputTransform, HalfRankTellsTheGoodEndApart) {
  const VectorXd transformed = HalfRankLogarithmic(Values({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_GT(transformed[9] - transformed[8], transformed[6] - transformed[5]);
}

TEST(OutputTransform, ValuesThatAreAlikeBecomeZeroAndHugeOnesDoNotOverflow) {
  for (const auto transform : {Winsorized, HalfRankLogarithmic}) {
    EXPECT_TRUE(transform(Values({5, 5, 5})).isZero());
    EXPECT_TRUE(transform(Values({5})).isZero());
    EXPECT_EQ(transform(VectorXd(0)).size(), 0);
    ExpectStandard(transform(Values({1.7e308, -1.7e308, 3, 1e300})));
    ExpectStandard(transform(Values({5e-320, 0, 1e-319})));
  }
}

}  // namespace
}  // namespace leat::search
