// SPDX-License-Identifier: Apache-2.0
#include "search/normal.h"

#include <cmath>

namespace leat::search {
namespace {

constexpr double kLogRootTwoPi = 0.91893853320467274178;
constexpr double kRootHalf = 0.70710678118654752440;
constexpr double kTail = -5;  // below: continued fractions

double LogDensity(double z) { return -0.5 * z * z - kLogRootTwoPi; }

// c in Mills' ratio (1 - distribution(t)) / density(t) = 1 / (t + c), c = 1/(t + 2/(t + 3/(t + ...))), for t >= 5.
double MillsRemainder(double t) {
  double fraction = t;
  for (int term = 40; term >= 2; --term) fraction = t + term / fraction;
  return 1 / fraction;
}

}  // namespace

double NormalDensity(double z) { return std::exp(LogDensity(z)); }
double NormalDistribution(double z) { return 0.5 * std::erfc(-z * kRootHalf); }

double NormalQuantile(double probability) {
  // Bisection to start with, which needs no table, then Newton's steps.
  double low = -40, high = 40;
  for (int i = 0; i < 20; ++i) {
    const double middle = 0.5 * (low + high);
    (NormalDistribution(middle) < probability ? low : high) = middle;
  }
  double z = 0.5 * (low + high);
  for (int i = 0; i < 3; ++i) z -= (NormalDistribution(z) - probability) / NormalDensity(z);
  return z;
}

double LogImprovement(double z, double& slope) {
  if (z > kTail) {
    const double distribution = NormalDistribution(z), improvement = NormalDensity(z) + z * distribution;
    slope = distribution / improvement;
    return std::log(improvement);
  }
  const double t = -z, remainder = MillsRemainder(t);
  slope = 1 / remainder;
  return LogDensity(z) + std::log(remainder / (t + remainder));
}

double LogDistribution(double z, double& slope) {
  if (z > kTail) {
    const double distribution = NormalDistribution(z);
    slope = NormalDensity(z) / distribution;
    return std::log(distribution);
  }
  const double t = -z, ratio = 1 / (t + MillsRemainder(t));
  slope = 1 / ratio;
  return LogDensity(z) + std::log(ratio);
}

}  // namespace leat::search
