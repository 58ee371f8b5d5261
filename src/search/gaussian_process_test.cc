// SPDX-License-Identifier: Apache-2.0
#include "search/gaussian_process.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/random.h"
#include "search/marginal_likelihood.h"

namespace leat::search {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double kNotActive = std::numeric_limits<double>::quiet_NaN();
const std::vector<Metric> kMetrics = {Metric::kNumber, Metric::kNumber, Metric::kCategory, Metric::kNumber};

// Two numbers, a category of three, and a number that is active for the first of them alone.
MatrixXd Points(Index count, uint64_t seed) {
  Random random(seed);
  MatrixXd points(4, count);
  for (Index i = 0; i < count; ++i) {
    const auto category = static_cast<double>(random.Below(3));
    points.col(i) << random.Unit(), random.Unit(), category, category == 0 ? random.Unit() : kNotActive;
  }
  return points;
}

double Height(const VectorXd& at) {
  return std::sin(3 * at[0]) + at[1] * at[1] + 0.3 * at[2] + (std::isnan(at[3]) ? 0 : at[0] * at[3]);
}

VectorXd Heights(const MatrixXd& points) {
  VectorXd values(points.cols());
  for (Index i = 0; i < points.cols(); ++i) values[i] = Height(points.col(i));
  return values;
}

GaussianProcess Process(Index count) {
  const MatrixXd points = Points(count, 1);
  return {kMetrics, points, Heights(points), DefaultHyperparameters(4)};
}

TEST(MarginalLikelihood, GradientsAreWhatIsMeasured) {
  const MatrixXd points = Points(15, 1);
  const VectorXd values = Heights(points);
  MarginalLikelihood likelihood(kMetrics, points, values);
  VectorXd logs = DefaultHyperparameters(4).logs, gradient(logs.size()), unused(logs.size());
  Random random(2);
  for (double& log : logs) log += random.Unit() - 0.5;
  likelihood(logs, gradient);
  for (Index at = 0; at < logs.size(); ++at) {
    VectorXd more = logs, less = logs;
    more[at] += 1e-5;
    less[at] -= 1e-5;
    EXPECT_NEAR(gradient[at], (likelihood(more, unused) - likelihood(less, unused)) / 2e-5, 1e-5) << at;
  }
}

TEST(MarginalLikelihood, FittingFindsWhatMattersAndWhetherThereIsNoise) {
  Random random(3);
  MatrixXd points(2, 60);
  for (double& coordinate : points.reshaped()) coordinate = random.Unit();
  const std::vector<Metric> metrics(2, Metric::kNumber);
  VectorXd values = (5 * points.row(0).array()).sin();
  const auto start = DefaultHyperparameters(2);
  const auto clean = FitHyperparameters(metrics, points, values, {start}, 40);
  EXPECT_LT(clean.Of(Hyperparameters::kNoise), 1e-3);
  EXPECT_GT(clean.logs[3], clean.logs[2] + 0.5);  // the second has no effect of its own: a long scale
  for (double& value : values) value += 2 * random.Unit() - 1;
  auto noisy_start = start;
  noisy_start.logs[noisy_start.logs.size() - 1] = std::log(0.1);
  const auto noisy = FitHyperparameters(metrics, points, values, {start, noisy_start}, 40);
  EXPECT_NEAR(noisy.Of(Hyperparameters::kNoise), 1.0 / 3, 0.15);
}

TEST(GaussianProcess, MeetsItsValuesAndIsSureThere) {
  const auto process = Process(20);
  const MatrixXd points = Points(20, 1);
  const auto at = process.Predict(points);
  EXPECT_NEAR((at.mean - Heights(points)).cwiseAbs().maxCoeff(), 0, 0.02);
  EXPECT_LT(at.deviation.maxCoeff(), 0.03);
  EXPECT_GT(process.Predict(Points(20, 9)).deviation.minCoeff(), 0.03);
}

TEST(GaussianProcess, SlopesAreWhatIsMeasured) {
  auto process = Process(20);
  process.AddPending(Points(2, 5));
  const MatrixXd points = Points(6, 7);
  for (Index i = 0; i < points.cols(); ++i) {
    const VectorXd point = points.col(i);
    const auto slope = process.PredictWithSlope(point);
    const auto value = process.Predict(point);
    EXPECT_NEAR(slope.mean, value.mean[0], 1e-9);
    EXPECT_NEAR(slope.deviation, value.deviation[0], 1e-6);
    for (Index k = 0; k < 4; ++k) {
      if (k == 2 || std::isnan(point[k])) {
        EXPECT_EQ(slope.mean_slope[k], 0);
        EXPECT_EQ(slope.deviation_slope[k], 0);
        continue;
      }
      VectorXd more = point, less = point;
      more[k] += 1e-5;
      less[k] -= 1e-5;
      const auto above = process.Predict(more), below = process.Predict(less);
      EXPECT_NEAR(slope.mean_slope[k], (above.mean[0] - below.mean[0]) / 2e-5, 1e-4);
      EXPECT_NEAR(slope.deviation_slope[k], (above.deviation[0] - below.deviation[0]) / 2e-5, 1e-4);
    }
  }
}

TEST(GaussianProcess, APendingPointShrinksTheDeviationAlone) {
  auto process = Process(20);
  const MatrixXd pending = Points(1, 5), others = Points(10, 6);
  const auto before = process.Predict(others), there = process.Predict(pending);
  process.AddPending(pending);
  const auto after = process.Predict(others);
  EXPECT_EQ(before.mean, after.mean);
  EXPECT_LE((after.deviation - before.deviation).maxCoeff(), 1e-9);
  EXPECT_LT(process.Predict(pending).deviation[0], 0.1 * there.deviation[0]);
  EXPECT_EQ(process.known(), 20);
}

TEST(GaussianProcess, PointsThatAreAlikeDoNotBreakIt) {
  MatrixXd points = Points(12, 1);
  for (Index i = 1; i < 12; ++i) points.col(i) = points.col(0);
  const GaussianProcess process(kMetrics, points, VectorXd::LinSpaced(12, -1, 1), DefaultHyperparameters(4));
  EXPECT_TRUE(process.Predict(Points(5, 2)).mean.allFinite());
}

}  // namespace
}  // namespace leat::search
