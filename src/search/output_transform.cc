// SPDX-License-Identifier: Apache-2.0
#include "search/output_transform.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "search/normal.h"

namespace leat::search {
namespace {

using Eigen::VectorXd;

constexpr double kWinsorReach = 2.5;  // of the distance from the median to the best
constexpr double kStretch = 0.5;

double Median(const VectorXd& values) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const size_t half = sorted.size() / 2;
  return sorted.size() % 2 ? sorted[half] : 0.5 * (sorted[half - 1] + sorted[half]);
}

// Values so small that no square of them overflows; the scale is of no matter to what follows.
VectorXd Scaled(const VectorXd& values) {
  const double largest = values.cwiseAbs().maxCoeff();
  return largest > 0 ? VectorXd(values / largest) : values;
}

VectorXd Standardized(VectorXd values) {
  values.array() -= values.mean();
  const double deviation = std::sqrt(values.squaredNorm() / static_cast<double>(values.size()));
  if (!(deviation > 1e-300)) return VectorXd::Zero(values.size());
  return values / deviation;
}

}  // namespace

VectorXd Winsorized(const VectorXd& values) {
  if (values.size() == 0) return values;
  VectorXd drawn = Scaled(values);
  const double median = Median(drawn), reach = drawn.maxCoeff() - median;
  const double threshold = median - kWinsorReach * reach;
  for (double& value : drawn) {
    if (value < threshold) value = reach > 0 ? threshold - reach * std::log1p((threshold - value) / reach) : threshold;
  }
  return Standardized(std::move(drawn));
}

VectorXd HalfRankLogarithmic(const VectorXd& values) {
  if (values.size() == 0) return values;
  VectorXd warped = Scaled(values);
  const double median = Median(warped);
  double squares = 0;
  Eigen::Index good = 0;
  for (const double value : warped) {
    if (value >= median) squares += (value - median) * (value - median), ++good;
  }
  const double deviation = std::sqrt(squares / static_cast<double>(good));
  std::vector<double> sorted(warped.begin(), warped.end());
  std::sort(sorted.begin(), sorted.end());
  for (double& value : warped) {
    if (value >= median) continue;
    const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), value);
    const double rank = 0.5 * static_cast<double>((first - sorted.begin()) + (last - sorted.begin()));
    value = median + deviation * NormalQuantile(rank / static_cast<double>(sorted.size()));
  }
  const double best = warped.maxCoeff(), range = best - warped.minCoeff();
  if (!(range > 0)) return VectorXd::Zero(values.size());
  for (double& value : warped) value = -std::log1p(kStretch * (best - value) / range) / std::log(1 + kStretch);
  return Standardized(std::move(warped));
}

}  // namespace leat::search
