// SPDX-License-Identifier: Apache-2.0
// Minimises a smooth function in a box: limited-memory BFGS (Nocedal and Wright, Numerical Optimization, 7.2) on the
// variables that are not held at a bound, with a backtracking search along the projected path. The same result on every
// machine that computes the function alike. Any thread.
#pragma once

#include <Eigen/Core>
#include <functional>

namespace leat::search {

// Returns the value at `point` and fills `gradient`, which has the size of `point`. A value that is not finite counts
// as infinitely high.
using SmoothFunction = std::function<double(const Eigen::VectorXd& point, Eigen::VectorXd& gradient)>;

struct Minimum {
  Eigen::VectorXd point;
  double value = 0;
};

struct LbfgsOptions {
  int iterations_max = 40;
  int evaluations_max = 80;
  double gradient_tolerance = 1e-6;  // of the largest component that is not held at a bound
  double value_tolerance = 1e-10;    // an iteration gains less than this part of the value: done
};

// `start` is clamped into [low, high].
Minimum Minimize(const SmoothFunction& function, Eigen::VectorXd start, const Eigen::VectorXd& low,
                 const Eigen::VectorXd& high, const LbfgsOptions& options = {});

}  // namespace leat::search
