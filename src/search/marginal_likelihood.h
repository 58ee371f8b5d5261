// SPDX-License-Identifier: Apache-2.0
// The hyperparameters that trials make most probable. Any thread.
#pragma once

#include <Eigen/Core>
#include <vector>

#include "search/kernel.h"

namespace leat::search {

// Beside the noise, so that a covariance can be factorized.
inline constexpr double kJitter = 1e-6;

// Minus the logarithm of likelihood times prior. Priors are log-normal, see the table in the source.
class MarginalLikelihood {
 public:
  // Points are columns; `values` outlives this.
  MarginalLikelihood(const std::vector<Metric>& metrics, const Eigen::MatrixXd& points, const Eigen::VectorXd& values);

  // Of the logarithms of Hyperparameters; `gradient` has their size. Infinite where the covariance cannot be
  // factorized.
  double operator()(const Eigen::VectorXd& logs, Eigen::VectorXd& gradient);

 private:
  Eigen::MatrixXd CovarianceOf(const Hyperparameters& hyperparameters);
  void AddPriors(const Eigen::VectorXd& logs, double& value, Eigen::VectorXd& gradient) const;

  const Eigen::VectorXd& values_;
  const Eigen::Index size_, dimensions_;
  // A row for each pair of points, in the order of the columns of a lower triangle, and a column for each dimension.
  Eigen::MatrixXd differences_, squares_;
  Eigen::MatrixXd scaled_differences_, decays_;  // of the main effects
  // Of each pair: the scaled distance and its decay, the terms of the covariance.
  Eigen::ArrayXd scaled_, signal_decays_, signal_, main_;
  Eigen::MatrixXd products_;  // of places
};

// The middle of the priors.
Hyperparameters DefaultHyperparameters(Eigen::Index dimensions);

// By descent from each of `starts`; the defaults where none is possible.
Hyperparameters FitHyperparameters(const std::vector<Metric>& metrics, const Eigen::MatrixXd& points,
                                   const Eigen::VectorXd& values, const std::vector<Hyperparameters>& starts,
                                   int iterations_max);

}  // namespace leat::search
