// SPDX-License-Identifier: Apache-2.0
// Objectives as a Gaussian process likes them: higher is better, about normal, and the good end told apart. Any thread.
#pragma once

#include <Eigen/Core>

namespace leat::search {

// Robust to noise and to a few very bad values: those far below the median are drawn in by a logarithm, then mean 0 and
// deviation 1 (all 0 where all values are alike).
Eigen::VectorXd Winsorized(const Eigen::VectorXd& values);

// For objectives without noise: what is below the median counts by its rank alone (half-rank warping, Song 2024), and
// the good end is stretched by a logarithm, so that the last decimal places of an optimum still show.
Eigen::VectorXd HalfRankLogarithmic(const Eigen::VectorXd& values);

}  // namespace leat::search
