// SPDX-License-Identifier: Apache-2.0
#include "search/kernel.h"

#include <algorithm>
#include <cmath>

#include "search/decay.h"

namespace leat::search {
namespace {

using Eigen::ArrayXd;
using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double kRootFive = 2.23606797749978969641;

double PlaceScale(Index dimensions) { return 2 * std::sqrt(3.0 / static_cast<double>(std::max<Index>(1, dimensions))); }

}  // namespace

double Difference(Metric metric, double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b) ? 0 : 1;
  return metric == Metric::kCategory ? (a != b ? 1 : 0) : std::abs(a - b);
}

ArrayXd Matern(const ArrayXd& scaled) { return (1 + scaled + scaled.square() / 3) * Decay(scaled); }

MatrixXd Places(const std::vector<Metric>& metrics, const MatrixXd& points) {
  MatrixXd places = PlaceScale(points.rows()) * (points.array() - 0.5);
  for (Index k = 0; k < points.rows(); ++k) {
    if (metrics[static_cast<size_t>(k)] == Metric::kCategory) places.row(k).setZero();
  }
  return places.array().isNaN().select(0, places);
}

Kernel::Kernel(std::vector<Metric> metrics, const Hyperparameters& hyperparameters)
    : metrics_(std::move(metrics)),
      signal_(hyperparameters.Of(Hyperparameters::kSignal)),
      linear_(hyperparameters.Of(Hyperparameters::kLinear)),
      quadratic_(hyperparameters.Of(Hyperparameters::kQuadratic)) {
  const Index dimensions = hyperparameters.dimensions();
  inverse_squares_ = (-2 * hyperparameters.logs.head(dimensions).array()).exp();
  main_scales_ = kRootFive * (-hyperparameters.logs.segment(dimensions, dimensions).array()).exp();
  main_ = hyperparameters.Of(Hyperparameters::kMain) / static_cast<double>(std::max<Index>(1, dimensions));
}

MatrixXd Kernel::Covariances(const MatrixXd& ours, const MatrixXd& theirs) const {
  MatrixXd squares = MatrixXd::Zero(theirs.cols(), ours.cols());  // a column for each of ours: long loops
  MatrixXd main = squares;
  ArrayXd difference(theirs.cols());
  for (Index k = 0; k < ours.rows(); ++k) {
    const Metric metric = metrics_[static_cast<size_t>(k)];
    const ArrayXd coordinates = theirs.row(k);
    const bool is_plain = metric == Metric::kNumber && !coordinates.hasNaN();
    for (Index i = 0; i < ours.cols(); ++i) {
      const double own = ours(k, i);
      if (is_plain && !std::isnan(own)) {
        difference = (coordinates - own).abs();
      } else {
        for (Index j = 0; j < difference.size(); ++j) difference[j] = Difference(metric, coordinates[j], own);
      }
      squares.col(i).array() += inverse_squares_[k] * difference.square();
      main.col(i).array() += Matern(difference * main_scales_[k]);
    }
  }
  const MatrixXd products = Places(metrics_, theirs).transpose() * Places(metrics_, ours);
  for (Index i = 0; i < ours.cols(); ++i) {
    const auto product = products.col(i).array();
    squares.col(i) = signal_ * Matern(squares.col(i).array().sqrt() * kRootFive) + main_ * main.col(i).array() +
                     product * (linear_ + quadratic_ * product);
  }
  return squares.transpose();
}

ArrayXd Kernel::Variances(const MatrixXd& points) const {
  const ArrayXd norms = Places(metrics_, points).colwise().squaredNorm();
  return signal_ + main_ * static_cast<double>(points.rows()) + norms * (linear_ + quadratic_ * norms);
}

Kernel::Sloped Kernel::WithSlope(const MatrixXd& ours, const VectorXd& point) const {
  const Index size = ours.cols(), dimensions = point.size();
  MatrixXd differences = MatrixXd::Zero(size, dimensions);  // of the point from ours, where both are numbers
  VectorXd squares = VectorXd::Zero(size);
  ArrayXd main = ArrayXd::Zero(size);
  Sloped sloped;
  sloped.slopes.resize(size, dimensions);
  for (Index k = 0; k < dimensions; ++k) {
    const Metric metric = metrics_[static_cast<size_t>(k)];
    for (Index i = 0; i < size; ++i) {
      const double distance = Difference(metric, point[k], ours(k, i));
      squares[i] += inverse_squares_[k] * distance * distance;
      const double difference = metric == Metric::kNumber ? point[k] - ours(k, i) : 0;
      differences(i, k) = std::isnan(difference) ? 0 : difference;
      sloped.slopes(i, k) = main_scales_[k] * distance;
    }
    const ArrayXd scaled = sloped.slopes.col(k), decay = Decay(scaled);
    main += (1 + scaled + scaled.square() / 3) * decay;
    sloped.slopes.col(k) =
        (-main_ / 3 * main_scales_[k] * main_scales_[k]) * (1 + scaled) * decay * differences.col(k).array();
  }
  const MatrixXd places = Places(metrics_, ours);
  const VectorXd place = Places(metrics_, point);
  const ArrayXd products = places.transpose() * place;
  const ArrayXd scaled = squares.array().sqrt() * kRootFive;
  const ArrayXd decay = Decay(scaled);
  sloped.covariances = signal_ * (1 + scaled + scaled.square() / 3) * decay + main_ * main +
                       products * (linear_ + quadratic_ * products);
  const ArrayXd fall = (1 + scaled) * decay * (-5.0 / 3 * signal_);
  const ArrayXd rise = PlaceScale(dimensions) * (linear_ + 2 * quadratic_ * products);
  for (Index k = 0; k < dimensions; ++k) {
    sloped.slopes.col(k).array() += inverse_squares_[k] * fall * differences.col(k).array();
    if (metrics_[static_cast<size_t>(k)] == Metric::kNumber && !std::isnan(point[k])) {
      sloped.slopes.col(k).array() += rise * places.row(k).transpose().array();
    }
  }
  const double norm = place.squaredNorm();
  sloped.variance = signal_ + main_ * static_cast<double>(dimensions) + norm * (linear_ + quadratic_ * norm);
  sloped.variance_slope = 2 * PlaceScale(dimensions) * (linear_ + 2 * quadratic_ * norm) * place;
  return sloped;
}

}  // namespace leat::search
