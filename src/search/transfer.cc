// SPDX-License-Identifier: Apache-2.0
#include "search/transfer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "search/marginal_likelihood.h"
#include "search/normal.h"
#include "search/surrogate.h"

namespace leat::search {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr Index kResultsMin = 4, kResultsMax = 100;
constexpr int kFitIterations = 25;

// The quantiles of a normal distribution that the values' ranks stand for; values that are alike share theirs.
VectorXd NormalScores(const VectorXd& values) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  VectorXd scores(values.size());
  for (Index i = 0; i < values.size(); ++i) {
    const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), values[i]);
    const double rank = 0.5 * static_cast<double>((first - sorted.begin()) + (last - sorted.begin()));
    scores[i] = NormalQuantile(rank / static_cast<double>(sorted.size()));
  }
  return scores;
}

double Correlation(const VectorXd& a, const VectorXd& b) {
  const VectorXd from_a = a.array() - a.mean(), from_b = b.array() - b.mean();
  const double norm = from_a.norm() * from_b.norm();
  return norm > 0 ? from_a.dot(from_b) / norm : 0;
}

}  // namespace

Transfer::Transfer(const Space& space, const Study& study) {
  for (const auto& earlier : study.earlier) {
    if (earlier.is_same_task) continue;
    const auto observations = Observe(space, earlier.trials, earlier.maximize);
    const Index results = std::min(kResultsMax, observations.values.size());
    if (results < kResultsMin) continue;
    const MatrixXd points = observations.completed.rightCols(results);
    const VectorXd scores = NormalScores(observations.values.tail(results));
    const auto metrics = MetricsOf(space);
    const auto fitted =
        FitHyperparameters(metrics, points, scores, {DefaultHyperparameters(space.size())}, kFitIterations);
    earlier_.emplace_back(metrics, points, scores, fitted);
  }
  weights_.assign(earlier_.size(), 0);
}

void Transfer::Weigh(const MatrixXd& points, const VectorXd& values) {
  double sum = 0;
  for (size_t i = 0; i < earlier_.size(); ++i) {
    weights_[i] = std::max(0.0, Correlation(earlier_[i].Mean(points), values));
    sum += weights_[i];
  }
  for (double& weight : weights_) weight /= std::max(1.0, sum);
}

VectorXd Transfer::Mean(const MatrixXd& points) const {
  VectorXd mean = VectorXd::Zero(points.cols());
  for (size_t i = 0; i < earlier_.size(); ++i) {
    if (weights_[i] > 0) mean += weights_[i] * earlier_[i].Mean(points);
  }
  return mean;
}

double Transfer::MeanWithSlope(const Point& point, VectorXd& slope) const {
  double mean = 0;
  slope = VectorXd::Zero(point.size());
  for (size_t i = 0; i < earlier_.size(); ++i) {
    if (weights_[i] == 0) continue;
    const auto at = earlier_[i].PredictWithSlope(point);
    mean += weights_[i] * at.mean;
    slope += weights_[i] * at.mean_slope;
  }
  return mean;
}

std::vector<Point> BestOfEarlier(const Space& space, const Study& study, size_t count) {
  std::vector<std::vector<Point>> sorted;
  for (const auto& earlier : study.earlier) {
    if (earlier.is_same_task) continue;
    const auto observations = Observe(space, earlier.trials, earlier.maximize);
    std::vector<Index> order(static_cast<size_t>(observations.values.size()));
    std::iota(order.begin(), order.end(), Index{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](Index a, Index b) { return observations.values[a] > observations.values[b]; });
    sorted.emplace_back();
    for (const Index i : order) sorted.back().push_back(observations.completed.col(i));
  }
  std::vector<Point> best;
  for (size_t rank = 0; rank < count; ++rank) {
    for (const auto& points : sorted) {
      if (best.size() < count && rank < points.size()) best.push_back(points[rank]);
    }
  }
  return best;
}

}  // namespace leat::search
