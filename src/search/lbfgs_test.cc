// SPDX-License-Identifier: Apache-2.0
#include "search/lbfgs.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace leat::search {
namespace {

using Eigen::Vector2d;
using Eigen::VectorXd;

double Rosenbrock(const VectorXd& at, VectorXd& gradient) {
  const double bend = at[1] - at[0] * at[0];
  gradient << -400 * at[0] * bend - 2 * (1 - at[0]), 200 * bend;
  return 100 * bend * bend + (1 - at[0]) * (1 - at[0]);
}

TEST(Lbfgs, FollowsACurvedValleyToItsEnd) {
  const auto minimum = Minimize(Rosenbrock, Vector2d(-1.2, 1), Vector2d(-5, -5), Vector2d(5, 5), {200, 500, 1e-9, 0});
  EXPECT_NEAR(minimum.point[0], 1, 1e-6);
  EXPECT_NEAR(minimum.point[1], 1, 1e-6);
}

TEST(Lbfgs, StopsAtTheBoundsAndSlidesAlongThem) {
  const auto minimum = Minimize(Rosenbrock, Vector2d(-1, 0), Vector2d(-2, -2), Vector2d(0.5, 2), {200, 500, 1e-9, 0});
  EXPECT_EQ(minimum.point[0], 0.5);
  EXPECT_NEAR(minimum.point[1], 0.25, 1e-6);
}

TEST(Lbfgs, StartsInsideTheBoxAndStaysWhereTheFunctionIsANumber) {
  const auto function = [](const VectorXd& at, VectorXd& gradient) {
    gradient[0] = 1 / at[0] - 1;  // of the logarithm minus a line: no number below 0
    gradient *= -1;
    return at[0] > 0 ? -(std::log(at[0]) - at[0]) : std::numeric_limits<double>::quiet_NaN();
  };
  const VectorXd low = VectorXd::Constant(1, -10), high = VectorXd::Constant(1, 3);
  EXPECT_NEAR(Minimize(function, VectorXd::Constant(1, 99), low, high).point[0], 1, 1e-4);
}

TEST(Lbfgs, WithoutVariablesThereIsNothingToDo) {
  const auto function = [](const VectorXd&, VectorXd&) { return 7.0; };
  EXPECT_EQ(Minimize(function, VectorXd(0), VectorXd(0), VectorXd(0)).value, 7);
}

}  // namespace
}  // namespace leat::search
