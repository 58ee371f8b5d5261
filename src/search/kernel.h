// SPDX-License-Identifier: Apache-2.0
// How alike two points of a Space are expected to be: the covariance of a Gaussian process. Any thread.
//
// A sum, each term with a variance that is found from the trials:
//   signal     Matern 5/2 of the distance over all dimensions, with a length-scale each: whatever form it takes
//   main       the mean of a Matern 5/2 for each dimension alone: what a hyperparameter does whatever the others are,
//   which
//              a few trials show
//   linear, quadratic   the product of the places around the middle, and its square: a slope, and a bowl with any axes
// Numbers are compared by their distance, categories by being alike; a coordinate that is active (not NaN) in one of
// two points alone counts as far as the whole range, and a category has no place.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <vector>

namespace leat::search {

enum class Metric { kNumber, kCategory };

// The logarithms of what a kernel leaves open, one vector: for d dimensions d length-scales of the signal, d of the
// main effects, then the variances in this order.
struct Hyperparameters {
  enum Variance { kSignal, kMain, kLinear, kQuadratic, kNoise, kVariances };
  Eigen::VectorXd logs;
  static Eigen::Index Size(Eigen::Index dimensions) { return 2 * dimensions + kVariances; }
  Eigen::Index dimensions() const { return (logs.size() - kVariances) / 2; }
  double Of(Variance variance) const { return std::exp(logs[2 * dimensions() + variance]); }
};

double Difference(Metric metric, double a, double b);
// (1 + s + s^2/3) e^-s for s = sqrt(5) distance / length.
Eigen::ArrayXd Matern(const Eigen::ArrayXd& scaled);
// Coordinates around the middle, so that the square of a point's place is 1 on average; 0 where there is no number.
Eigen::MatrixXd Places(const std::vector<Metric>& metrics, const Eigen::MatrixXd& points);

class Kernel {
 public:
  Kernel(std::vector<Metric> metrics, const Hyperparameters& hyperparameters);

  // Points are columns; a row for each of `ours`.
  Eigen::MatrixXd Covariances(const Eigen::MatrixXd& ours, const Eigen::MatrixXd& theirs) const;
  Eigen::ArrayXd Variances(const Eigen::MatrixXd& points) const;

  // With `point`, and the slope by each of its numbers (a column each); 0 for what is no number.
  struct Sloped {
    Eigen::VectorXd covariances;
    Eigen::MatrixXd slopes;
    double variance;
    Eigen::VectorXd variance_slope;
  };
  Sloped WithSlope(const Eigen::MatrixXd& ours, const Eigen::VectorXd& point) const;

  // 1 / length-scale^2 of each dimension of the signal.
  const Eigen::VectorXd& inverse_squares() const { return inverse_squares_; }

 private:
  std::vector<Metric> metrics_;
  Eigen::VectorXd inverse_squares_, main_scales_;
  double signal_, main_, linear_, quadratic_;
};

}  // namespace leat::search
