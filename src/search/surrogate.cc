// SPDX-License-Identifier: Apache-2.0
#include "search/surrogate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "search/marginal_likelihood.h"
#include "search/normal.h"
#include "search/output_transform.h"

namespace leat::search {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double kNoisyRatio = 0.01;   // of the variance of the noise to all others
constexpr double kNoisyReach = 1.8;    // deviations above the mean that a noisy objective is searched at
constexpr Index kFailuresToModel = 3;  // from so many on it is modelled where jobs fail
constexpr int kFitIterations = 40;
constexpr double kNoiseStart = 0.1;
constexpr int kFirstFitIterations = 20;  // that decides whether there is noise

MatrixXd Columns(const std::vector<Point>& points, Index rows) {
  MatrixXd matrix(rows, static_cast<Index>(points.size()));
  for (size_t i = 0; i < points.size(); ++i) matrix.col(static_cast<Index>(i)) = points[i];
  return matrix;
}

// Which `count` of the values to keep: the best half, and of the others as many as there is room for.
std::vector<Index> BestHalf(const VectorXd& values, Index count, Random& random) {
  std::vector<Index> order(static_cast<size_t>(values.size()));
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return values[a] > values[b]; });
  if (values.size() <= count) return order;
  for (Index i = count / 2; i < count; ++i) {
    std::swap(order[static_cast<size_t>(i)],
              order[static_cast<size_t>(i) + random.Below(static_cast<uint64_t>(values.size() - i))]);
  }
  order.resize(static_cast<size_t>(count));
  return order;
}

// Failed trials are worse than all that completed, by more than half of what those span.
VectorXd WithFailures(const VectorXd& values, Index failed) {
  VectorXd all(values.size() + failed);
  const double worst = values.minCoeff();
  all.head(values.size()) = values;
  all.tail(failed).setConstant(worst - (0.5 * (values.maxCoeff() - worst) + 1));
  if (failed > 0) all.array() -= all.mean();
  return all;
}

MatrixXd Beside(const MatrixXd& left, const MatrixXd& right) {
  MatrixXd both(left.rows(), left.cols() + right.cols());
  both << left, right;
  return both;
}

}  // namespace

Observations Observe(const Space& space, const std::vector<Trial>& trials, bool maximize) {
  std::vector<Point> completed, failed, pending;
  std::vector<double> values;
  for (const auto& trial : trials) {
    auto point = space.Encode(trial.parameters);
    if (!point) continue;
    if (trial.state == Trial::State::kPending) {
      pending.push_back(std::move(*point));
    } else if (trial.state == Trial::State::kCompleted && std::isfinite(trial.objective)) {
      values.push_back(maximize ? trial.objective : -trial.objective);
      completed.push_back(std::move(*point));
    } else {
      failed.push_back(std::move(*point));
    }
  }
  return {Columns(completed, space.size()), Columns(failed, space.size()), Columns(pending, space.size()),
          Eigen::Map<VectorXd>(values.data(), static_cast<Index>(values.size()))};
}

Observations Observe(const Space& space, const Study& study) {
  Observations all = Observe(space, study.trials, study.maximize);
  for (const auto& earlier : study.earlier) {
    if (!earlier.is_same_task) continue;
    const Observations before = Observe(space, earlier.trials, study.maximize);
    all.completed = Beside(before.completed, all.completed);
    all.failed = Beside(before.failed, all.failed);
    VectorXd values(before.values.size() + all.values.size());
    values << before.values, all.values;
    all.values = std::move(values);
  }
  return all;
}

std::vector<Metric> MetricsOf(const Space& space) {
  std::vector<Metric> metrics;
  for (const auto& dimension : space.dimensions()) {
    metrics.push_back(dimension.IsCategorical() ? Metric::kCategory : Metric::kNumber);
  }
  return metrics;
}

Surrogate::Surrogate(const Space& space, const Observations& observations, Transfer transfer, Random& random)
    : metrics_(MetricsOf(space)), transfer_(std::move(transfer)) {
  FitObjective(observations, random);
  if (observations.failed.cols() >= kFailuresToModel) FitFeasibility(observations);
  objective_->AddPending(observations.pending.rightCols(std::min(kPointsMax / 2, observations.pending.cols())));
  UpdateIncumbent();
}

void Surrogate::FitObjective(const Observations& observations, Random& random) {
  const Index failed = std::min(kPointsMax / 4, observations.failed.cols());
  const MatrixXd failures = observations.failed.rightCols(failed);
  const auto kept = BestHalf(observations.values, kPointsMax - failed, random);
  completed_ = static_cast<Index>(kept.size());
  const MatrixXd points = Beside(observations.completed(Eigen::all, kept), failures);
  const VectorXd raw = observations.values(kept);

  // The hyperparameters' share of them: the better half, and every so many of the others.
  std::vector<Index> share(static_cast<size_t>(points.cols()));
  std::iota(share.begin(), share.end(), Index{0});
  if (points.cols() > kFitPointsMax) {
    const Index best = kFitPointsMax / 2, others = points.cols() - best, wanted = kFitPointsMax - best;
    for (Index i = 0; i < wanted; ++i) share[static_cast<size_t>(best + i)] = best + i * others / wanted;
    share.resize(static_cast<size_t>(kFitPointsMax));
  }
  const MatrixXd shared = points(Eigen::all, share);

  const auto standard = DefaultHyperparameters(points.rows());
  // Short length-scales explain noise as well, from a start without any.
  auto noisy = standard;
  noisy.logs[noisy.logs.size() - Hyperparameters::kVariances + Hyperparameters::kNoise] = std::log(kNoiseStart);
  const VectorXd winsorized = Winsorized(raw);
  transfer_.Weigh(points.leftCols(completed_), winsorized);
  const VectorXd expected = transfer_.Mean(points);
  VectorXd values = WithFailures(winsorized, failed) - expected;
  VectorXd share_values = values(share);
  auto fitted = FitHyperparameters(metrics_, shared, share_values, {standard, noisy}, kFirstFitIterations);
  using H = Hyperparameters;
  const double explained =
      fitted.Of(H::kSignal) + fitted.Of(H::kMain) + fitted.Of(H::kLinear) + fitted.Of(H::kQuadratic);
  is_noisy_ = fitted.Of(H::kNoise) > kNoisyRatio * explained;
  if (!is_noisy_) {
    values = WithFailures(HalfRankLogarithmic(raw), failed) - expected;
    share_values = values(share);
    fitted = FitHyperparameters(metrics_, shared, share_values, {fitted, standard}, kFitIterations);
  }
  objective_.emplace(metrics_, points, values, fitted);
}

void Surrogate::FitFeasibility(const Observations& observations) {
  const Index half = kPointsMax / 2;
  const Index completed = std::min(half, observations.completed.cols());
  const Index failed = std::min(half, observations.failed.cols());
  const MatrixXd points = Beside(observations.completed.rightCols(completed), observations.failed.rightCols(failed));
  VectorXd labels(completed + failed);
  labels << VectorXd::Ones(completed), VectorXd::Constant(failed, -1);
  const auto fitted =
      FitHyperparameters(metrics_, points, labels, {DefaultHyperparameters(points.rows())}, kFirstFitIterations);
  feasibility_.emplace(metrics_, points, labels, fitted);
}

void Surrogate::AddPending(const Point& point) {
  objective_->AddPending(point);
  UpdateIncumbent();
}

void Surrogate::UpdateIncumbent() {
  const VectorXd mean = objective_->Mean(objective_->points()) + transfer_.Mean(objective_->points());
  incumbent_ = mean.head(completed_).maxCoeff();
  const Index pending = mean.size() - objective_->known();
  if (pending > 0) incumbent_ = std::max(incumbent_, mean.tail(pending).maxCoeff());
}

VectorXd Surrogate::Score(const MatrixXd& points) const {
  auto [mean, deviation] = objective_->Predict(points);
  mean += transfer_.Mean(points);
  VectorXd score(points.cols());
  double unused = 0;
  for (Index i = 0; i < points.cols(); ++i) {
    score[i] = is_noisy_ ? mean[i] + kNoisyReach * deviation[i]
                         : std::log(deviation[i]) + LogImprovement((mean[i] - incumbent_) / deviation[i], unused);
  }
  if (feasibility_) {
    const auto label = feasibility_->Predict(points);
    for (Index i = 0; i < points.cols(); ++i) score[i] += LogDistribution(label.mean[i] / label.deviation[i], unused);
  }
  return score;
}

double Surrogate::ScoreWithSlope(const Point& point, VectorXd& slope) const {
  auto at = objective_->PredictWithSlope(point);
  VectorXd transfer_slope;
  at.mean += transfer_.MeanWithSlope(point, transfer_slope);
  at.mean_slope += transfer_slope;
  double score = 0;
  if (is_noisy_) {
    score = at.mean + kNoisyReach * at.deviation;
    slope = at.mean_slope + kNoisyReach * at.deviation_slope;
  } else {
    double by_place = 0;
    const double place = (at.mean - incumbent_) / at.deviation;
    score = std::log(at.deviation) + LogImprovement(place, by_place);
    slope = (by_place * (at.mean_slope - place * at.deviation_slope) + at.deviation_slope) / at.deviation;
  }
  if (feasibility_) {
    const auto label = feasibility_->PredictWithSlope(point);
    double by_place = 0;
    const double place = label.mean / label.deviation;
    score += LogDistribution(place, by_place);
    slope += by_place / label.deviation * (label.mean_slope - place * label.deviation_slope);
  }
  return score;
}

std::vector<Point> Surrogate::Best(size_t count) const {
  std::vector<Point> best;  // BestHalf puts them in order
  const Index wanted = std::min(static_cast<Index>(count), completed_);
  for (Index i = 0; i < wanted; ++i) best.push_back(objective_->points().col(i));
  return best;
}

}  // namespace leat::search
