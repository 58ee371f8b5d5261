// SPDX-License-Identifier: Apache-2.0
// A Gaussian process over the points of a Space, mean 0, with given hyperparameters: what values at some points say
// about the others. Confined to one thread while AddPending is called, else any.
#pragma once

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <vector>

#include "search/kernel.h"

namespace leat::search {

class GaussianProcess {
 public:
  // Points are columns.
  GaussianProcess(std::vector<Metric> metrics, Eigen::MatrixXd points, const Eigen::VectorXd& values,
                  const Hyperparameters& hyperparameters);

  // Points that are being evaluated: they count for the deviation as if they were known, and not for the mean.
  void AddPending(const Eigen::MatrixXd& points);

  struct Prediction {
    Eigen::VectorXd mean, deviation;  // of the function, without noise
  };
  Prediction Predict(const Eigen::MatrixXd& points) const;
  Eigen::VectorXd Mean(const Eigen::MatrixXd& points) const;

  struct Slope {
    double mean = 0, deviation = 0;
    Eigen::VectorXd mean_slope, deviation_slope;  // 0 for categories and coordinates that are not active
  };
  Slope PredictWithSlope(const Eigen::VectorXd& point) const;

  const Eigen::MatrixXd& points() const { return points_; }  // those pending last
  Eigen::Index known() const { return weights_.size(); }
  const Kernel& kernel() const { return kernel_; }

 private:
  void Factorize();

  Kernel kernel_;
  double noise_;
  Eigen::MatrixXd points_;
  Eigen::VectorXd weights_;  // of the known points' covariances in the mean
  Eigen::LLT<Eigen::MatrixXd> factor_;
};

}  // namespace leat::search
