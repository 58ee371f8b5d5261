// SPDX-License-Identifier: Apache-2.0
#include "search/gaussian_process.h"

#include <algorithm>
#include <cmath>

#include "search/marginal_likelihood.h"

namespace leat::search {
namespace {

using Eigen::ArrayXd;
using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr int kJitterTries = 8;         // each with ten times the jitter
constexpr double kVarianceMin = 1e-12;  // in parts of that before anything was known

}  // namespace

GaussianProcess::GaussianProcess(std::vector<Metric> metrics, MatrixXd points, const VectorXd& values,
                                 const Hyperparameters& hyperparameters)
    : kernel_(std::move(metrics), hyperparameters),
      noise_(hyperparameters.Of(Hyperparameters::kNoise)),
      points_(std::move(points)) {
  Factorize();
  weights_ = factor_.solve(values);
}

void GaussianProcess::Factorize() {
  const MatrixXd covariance = kernel_.Covariances(points_, points_);
  double jitter = kJitter;
  for (int i = 0; i < kJitterTries; ++i, jitter *= 10) {
    MatrixXd with_noise = covariance;
    with_noise.diagonal().array() += noise_ + jitter;
    factor_.compute(with_noise);
    if (factor_.info() == Eigen::Success) break;
  }
}

void GaussianProcess::AddPending(const MatrixXd& points) {
  if (points.cols() == 0) return;
  points_.conservativeResize(Eigen::NoChange, points_.cols() + points.cols());
  points_.rightCols(points.cols()) = points;
  Factorize();
}

GaussianProcess::Prediction GaussianProcess::Predict(const MatrixXd& points) const {
  MatrixXd covariances = kernel_.Covariances(points_, points);
  const ArrayXd variances = kernel_.Variances(points);
  Prediction prediction;
  prediction.mean = covariances.topRows(known()).transpose() * weights_;
  factor_.matrixL().solveInPlace(covariances);
  prediction.deviation =
      (variances - covariances.colwise().squaredNorm().transpose().array()).max(kVarianceMin * variances).sqrt();
  return prediction;
}

VectorXd GaussianProcess::Mean(const MatrixXd& points) const {
  return kernel_.Covariances(points_.leftCols(known()), points).transpose() * weights_;
}

GaussianProcess::Slope GaussianProcess::PredictWithSlope(const VectorXd& point) const {
  const auto at = kernel_.WithSlope(points_, point);
  VectorXd solved = factor_.matrixL().solve(at.covariances);
  const double explained = solved.squaredNorm();
  factor_.matrixU().solveInPlace(solved);
  Slope slope;
  slope.mean = at.covariances.head(known()).dot(weights_);
  slope.deviation = std::sqrt(std::max(at.variance - explained, kVarianceMin * at.variance));
  slope.mean_slope = at.slopes.topRows(known()).transpose() * weights_;
  slope.deviation_slope = (at.variance_slope - 2 * (at.slopes.transpose() * solved)) / (2 * slope.deviation);
  return slope;
}

}  // namespace leat::search
