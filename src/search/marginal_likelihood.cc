// SPDX-License-Identifier: Apache-2.0
#include "search/marginal_likelihood.h"

#include <Eigen/Cholesky>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "search/decay.h"
#include "search/lbfgs.h"

namespace leat::search {
namespace {

using Eigen::ArrayXd;
using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double kRootFive = 2.23606797749978969641;

// Of a logarithm: where it is expected, how far off, and the bounds of the value.
struct Prior {
  double mean, deviation, low, high;
};
constexpr Prior kLength = {-0.6931471805599453, 1, 0.01, 30};  // of the signal: and 1/4 log d more
constexpr Prior kMainLength = {-1.2, 0.7, 0.01, 30};
constexpr Prior kVariances[Hyperparameters::kVariances] = {
    {0, 1.5, 1e-3, 100}, {-1, 2, 1e-6, 100}, {-2, 2, 1e-8, 100}, {-2, 2, 1e-8, 100}, {-8, 2, 1e-10, 1}};

Prior PriorOf(Index at, Index dimensions) {
  if (at >= 2 * dimensions) return kVariances[at - 2 * dimensions];
  if (at >= dimensions) return kMainLength;
  Prior prior = kLength;
  prior.mean += 0.25 * std::log(static_cast<double>(dimensions));
  return prior;
}

// The inverse of a lower triangle, in place, by halves.
void InvertTriangle(Eigen::Ref<MatrixXd> triangle) {
  const Index size = triangle.rows();
  if (size <= 32) {
    MatrixXd inverse = MatrixXd::Identity(size, size);
    triangle.triangularView<Eigen::Lower>().solveInPlace(inverse);
    triangle = inverse;
    return;
  }
  const Index half = size / 2, rest = size - half;
  InvertTriangle(triangle.topLeftCorner(half, half));
  InvertTriangle(triangle.bottomRightCorner(rest, rest));
  const MatrixXd product = triangle.bottomLeftCorner(rest, half) * triangle.topLeftCorner(half, half);
  triangle.bottomLeftCorner(rest, half).noalias() = -triangle.bottomRightCorner(rest, rest) * product;
}

// The inverse of a factorized matrix: its lower triangle.
MatrixXd InverseOf(const Eigen::LLT<MatrixXd>& factor) {
  MatrixXd triangle = factor.matrixL();
  InvertTriangle(triangle);
  MatrixXd inverse = MatrixXd::Zero(triangle.rows(), triangle.cols());
  inverse.selfadjointView<Eigen::Lower>().rankUpdate(triangle.transpose());
  return inverse;
}

}  // namespace

MarginalLikelihood::MarginalLikelihood(const std::vector<Metric>& metrics, const MatrixXd& points,
                                       const VectorXd& values)
    : values_(values), size_(points.cols()), dimensions_(points.rows()) {
  differences_.resize(size_ * (size_ - 1) / 2, dimensions_);
  for (Index k = 0; k < dimensions_; ++k) {
    const Metric metric = metrics[static_cast<size_t>(k)];
    Index pair = 0;
    for (Index j = 0; j < size_; ++j) {
      for (Index i = j + 1; i < size_; ++i) differences_(pair++, k) = Difference(metric, points(k, i), points(k, j));
    }
  }
  squares_ = differences_.cwiseAbs2();
  scaled_differences_ = decays_ = squares_;
  const MatrixXd places = Places(metrics, points);
  products_ = places.transpose() * places;
}

// The lower triangle.
MatrixXd MarginalLikelihood::CovarianceOf(const Hyperparameters& hyperparameters) {
  using H = Hyperparameters;
  const VectorXd inverse_squares = (-2 * hyperparameters.logs.head(dimensions_).array()).exp();
  scaled_ = (squares_ * inverse_squares).array().sqrt() * kRootFive;
  signal_decays_ = Decay(scaled_);
  signal_ = hyperparameters.Of(H::kSignal) * (1 + scaled_ + scaled_.square() / 3) * signal_decays_;
  main_ = ArrayXd::Zero(squares_.rows());
  for (Index k = 0; k < dimensions_; ++k) {
    auto scaled = scaled_differences_.col(k).array();
    scaled = differences_.col(k).array() * (kRootFive * std::exp(-hyperparameters.logs[dimensions_ + k]));
    Decay(scaled.data(), decays_.col(k).data(), scaled.size());
    main_ += (1 + scaled + scaled.square() / 3) * decays_.col(k).array();
  }
  main_ *= hyperparameters.Of(H::kMain) / static_cast<double>(dimensions_);
  const double linear = hyperparameters.Of(H::kLinear), quadratic = hyperparameters.Of(H::kQuadratic);
  MatrixXd covariance = products_.array() * (linear + quadratic * products_.array());
  covariance.diagonal().array() +=
      hyperparameters.Of(H::kSignal) + hyperparameters.Of(H::kMain) + hyperparameters.Of(H::kNoise) + kJitter;
  Index pair = 0;
  for (Index j = 0; j < size_; ++j) {
    const Index rest = size_ - j - 1;
    covariance.col(j).tail(rest).array() += signal_.segment(pair, rest) + main_.segment(pair, rest);
    pair += rest;
  }
  return covariance;
}

double MarginalLikelihood::operator()(const VectorXd& logs, VectorXd& gradient) {
  using H = Hyperparameters;
  const Hyperparameters hyperparameters{logs};
  const Eigen::LLT<MatrixXd> factor(CovarianceOf(hyperparameters));
  if (factor.info() != Eigen::Success) return std::numeric_limits<double>::infinity();
  const VectorXd weights = factor.solve(values_);
  double value = 0.5 * values_.dot(weights) + factor.matrixLLT().diagonal().array().log().sum();

  // By the covariance of each pair, and of each point with itself.
  MatrixXd slopes = InverseOf(factor);
  slopes.selfadjointView<Eigen::Lower>().rankUpdate(weights, -1);
  slopes.diagonal() *= 0.5;
  const double by_variance = slopes.trace();
  ArrayXd by_pair(squares_.rows());
  Index pair = 0;
  for (Index j = 0; j < size_; ++j) {
    const Index rest = size_ - j - 1;
    by_pair.segment(pair, rest) = slopes.col(j).tail(rest);
    pair += rest;
  }
  const auto by = [&](H::Variance variance) -> double& { return gradient[2 * dimensions_ + variance]; };
  const double signal = hyperparameters.Of(H::kSignal), main = hyperparameters.Of(H::kMain);
  by(H::kSignal) = by_variance * signal + (by_pair * signal_).sum();
  by(H::kMain) = by_variance * main + (by_pair * main_).sum();
  by(H::kNoise) = by_variance * hyperparameters.Of(H::kNoise);
  slopes.triangularView<Eigen::StrictlyUpper>().setZero();
  by(H::kLinear) = hyperparameters.Of(H::kLinear) * slopes.cwiseProduct(products_).sum();
  by(H::kQuadratic) = hyperparameters.Of(H::kQuadratic) * (slopes.array() * products_.array().square()).sum();

  const ArrayXd inverse_squares = (-2 * logs.head(dimensions_).array()).exp();
  const VectorXd by_square = by_pair * (5.0 / 3 * signal) * (1 + scaled_) * signal_decays_;
  gradient.head(dimensions_) = inverse_squares.matrix().cwiseProduct(squares_.transpose() * by_square);
  for (Index k = 0; k < dimensions_; ++k) {
    const auto scaled = scaled_differences_.col(k).array();
    const double sum = (by_pair * scaled.square() * (1 + scaled) * decays_.col(k).array()).sum();
    gradient[dimensions_ + k] = main / (3 * static_cast<double>(dimensions_)) * sum;
  }
  AddPriors(logs, value, gradient);
  return value;
}

void MarginalLikelihood::AddPriors(const VectorXd& logs, double& value, VectorXd& gradient) const {
  for (Index at = 0; at < logs.size(); ++at) {
    const Prior prior = PriorOf(at, dimensions_);
    const double off = (logs[at] - prior.mean) / prior.deviation;
    value += 0.5 * off * off;
    gradient[at] += off / prior.deviation;
  }
}

Hyperparameters DefaultHyperparameters(Index dimensions) {
  Hyperparameters middle{VectorXd(Hyperparameters::Size(dimensions))};
  for (Index at = 0; at < middle.logs.size(); ++at) middle.logs[at] = PriorOf(at, dimensions).mean;
  return middle;
}

Hyperparameters FitHyperparameters(const std::vector<Metric>& metrics, const MatrixXd& points, const VectorXd& values,
                                   const std::vector<Hyperparameters>& starts, int iterations_max) {
  const Index dimensions = points.rows();
  MarginalLikelihood likelihood(metrics, points, values);
  VectorXd low(Hyperparameters::Size(dimensions)), high = low;
  for (Index at = 0; at < low.size(); ++at) {
    const Prior prior = PriorOf(at, dimensions);
    low[at] = std::log(prior.low);
    high[at] = std::log(prior.high);
  }
  LbfgsOptions options;
  options.iterations_max = iterations_max;
  options.evaluations_max = 2 * iterations_max;
  options.gradient_tolerance = 1e-2;
  options.value_tolerance = 1e-5;
  Minimum best;
  best.value = std::numeric_limits<double>::infinity();
  for (const auto& start : starts) {
    Minimum minimum = Minimize(std::ref(likelihood), start.logs, low, high, options);
    if (minimum.value < best.value) best = std::move(minimum);
  }
  if (!std::isfinite(best.value)) return DefaultHyperparameters(dimensions);
  return {best.point};
}

}  // namespace leat::search
