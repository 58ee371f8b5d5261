// SPDX-License-Identifier: Apache-2.0
#include "search/lbfgs.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <utility>
#include <vector>

namespace leat::search {
namespace {

using Eigen::VectorXd;

constexpr size_t kMemory = 8;
constexpr double kSufficientDecrease = 1e-4;
constexpr int kHalvingsMax = 20;
constexpr double kFirstStep = 0.1;  // of the first iteration, which knows no curvature: the longest component

struct Pair {
  VectorXd step, change;  // of the point and of the gradient
  double curvature;       // step . change, greater than 0
};

VectorXd Direction(const std::deque<Pair>& pairs, const VectorXd& gradient) {
  VectorXd direction = -gradient;
  if (pairs.empty()) {
    const double longest = gradient.lpNorm<Eigen::Infinity>();
    return longest > kFirstStep ? VectorXd(direction * (kFirstStep / longest)) : direction;
  }
  std::vector<double> weights(pairs.size());
  for (size_t i = pairs.size(); i-- > 0;) {
    weights[i] = pairs[i].step.dot(direction) / pairs[i].curvature;
    direction -= weights[i] * pairs[i].change;
  }
  direction *= pairs.back().curvature / pairs.back().change.squaredNorm();
  for (size_t i = 0; i < pairs.size(); ++i) {
    const double back = pairs[i].change.dot(direction) / pairs[i].curvature;
    direction += (weights[i] - back) * pairs[i].step;
  }
  return direction;
}

}  // namespace

Minimum Minimize(const SmoothFunction& function, VectorXd start, const VectorXd& low, const VectorXd& high,
                 const LbfgsOptions& options) {
  const Eigen::Index size = start.size();
  int evaluations = 0;
  const auto evaluate = [&](const VectorXd& point, VectorXd& gradient) {
    ++evaluations;
    const double value = function(point, gradient);
    return std::isfinite(value) && gradient.allFinite() ? value : std::numeric_limits<double>::infinity();
  };
  Minimum best{start.cwiseMax(low).cwiseMin(high), 0};
  VectorXd gradient = VectorXd::Zero(size);
  best.value = evaluate(best.point, gradient);
  std::deque<Pair> pairs;
  for (int i = 0; i < options.iterations_max && std::isfinite(best.value); ++i) {
    // Held: at a bound, and the way down leads out.
    VectorXd free = gradient;
    for (Eigen::Index k = 0; k < size; ++k) {
      if ((best.point[k] <= low[k] && gradient[k] > 0) || (best.point[k] >= high[k] && gradient[k] < 0)) free[k] = 0;
    }
    if (size == 0 || free.lpNorm<Eigen::Infinity>() <= options.gradient_tolerance) break;
    VectorXd direction = Direction(pairs, free);
    for (Eigen::Index k = 0; k < size; ++k) {
      if (free[k] == 0) direction[k] = 0;
    }
    if (direction.dot(free) >= 0 || !direction.allFinite()) {
      pairs.clear();
      direction = Direction(pairs, free);
    }
    VectorXd next_gradient = VectorXd::Zero(size), next;
    double value = 0, scale = 1;
    bool is_lower = false;
    for (int halvings = 0; halvings < kHalvingsMax && evaluations < options.evaluations_max; ++halvings, scale *= 0.5) {
      next = (best.point + scale * direction).cwiseMax(low).cwiseMin(high);
      value = evaluate(next, next_gradient);
      is_lower = value <= best.value + kSufficientDecrease * gradient.dot(next - best.point) && value < best.value;
      if (is_lower) break;
    }
    if (!is_lower) {
      if (pairs.empty() || evaluations >= options.evaluations_max) break;
      pairs.clear();  // once more, straight down
      continue;
    }
    Pair pair{next - best.point, next_gradient - gradient, 0};
    pair.curvature = pair.step.dot(pair.change);
    if (pair.curvature > 1e-12 * pair.change.squaredNorm()) {
      pairs.push_back(std::move(pair));
      if (pairs.size() > kMemory) pairs.pop_front();
    }
    const double gained = best.value - value;
    best = {std::move(next), value};
    gradient = std::move(next_gradient);
    if (gained <= options.value_tolerance * std::max(1.0, std::abs(value))) break;
  }
  return best;
}

}  // namespace leat::search
