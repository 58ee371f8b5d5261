// SPDX-License-Identifier: Apache-2.0
#include "search/bayesian_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "search/lbfgs.h"

namespace leat::search {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr size_t kCandidates = 1000, kNearBest = 350;
constexpr size_t kBestTrials = 5;
constexpr size_t kStarts = 10;
constexpr double kSeparation = 0.1;  // of starts, in length-scales
constexpr uint64_t kLevelsMax = 16;  // a dimension with more is not tried level by level
constexpr uint64_t kCategoriesMax = 64;
constexpr int kRounds = 2, kIterations = 30;

MatrixXd Columns(const std::vector<Point>& points, Index rows) {
  MatrixXd matrix(rows, static_cast<Index>(points.size()));
  for (size_t i = 0; i < points.size(); ++i) matrix.col(static_cast<Index>(i)) = points[i];
  return matrix;
}

class Ascent {
 public:
  Ascent(const Space& space, const Surrogate& surrogate, Random& random)
      : space_(space), surrogate_(surrogate), random_(random) {
    for (size_t k = 0; k < space.dimensions().size(); ++k) {
      const auto& dimension = space.dimensions()[k];
      if (!dimension.IsCategorical() && (dimension.levels == 0 || dimension.levels > kLevelsMax)) sliding_.push_back(k);
      if (dimension.levels > 0) leveled_.push_back(k);
    }
  }

  // Improves the point; its score.
  double Climb(Point& point) const {
    double score = Slide(point);
    for (int round = 0; round < kRounds && !leveled_.empty(); ++round) {
      const Point before = point;
      for (const size_t k : leveled_) score = TryLevels(point, k);
      const bool changed =
          !((point.array() == before.array()) || (point.array().isNaN() && before.array().isNaN())).all();
      if (!changed || sliding_.empty()) break;
      score = Slide(point);
    }
    return score;
  }

 private:
  // Along the numbers, steepest in units of their length-scales.
  double Slide(Point& point) const {
    std::vector<Index> moving;
    for (const size_t k : sliding_) {
      if (!std::isnan(point[static_cast<Index>(k)])) moving.push_back(static_cast<Index>(k));
    }
    if (!moving.empty()) {
      const VectorXd scale = surrogate_.objective().kernel().inverse_squares()(moving).cwiseSqrt();
      Point at = point;
      VectorXd slope(point.size());
      const auto descent = [&](const VectorXd& scaled, VectorXd& gradient) {
        at(moving) = scaled.cwiseQuotient(scale);
        const double score = surrogate_.ScoreWithSlope(at, slope);
        gradient = -slope(moving).cwiseQuotient(scale);
        return -score;
      };
      LbfgsOptions options;
      options.iterations_max = kIterations;
      options.evaluations_max = 2 * kIterations;
      options.gradient_tolerance = 1e-5;
      options.value_tolerance = 1e-7;
      const auto minimum =
          Minimize(descent, point(moving).cwiseProduct(scale), VectorXd::Zero(scale.size()), scale, options);
      point(moving) = minimum.point.cwiseQuotient(scale).cwiseMin(1.0);
      for (const size_t k : sliding_) {
        double& coordinate = point[static_cast<Index>(k)];
        if (space_.dimensions()[k].levels > 0 && !std::isnan(coordinate)) coordinate = space_.SnapLevel(k, coordinate);
      }
    }
    return surrogate_.Score(point)[0];
  }

  double TryLevels(Point& point, size_t k) const {
    const auto at = static_cast<Index>(k);
    const auto& dimension = space_.dimensions()[k];
    std::vector<Point> variants = {point};
    if (!std::isnan(point[at])) {
      const bool all = dimension.levels <= (dimension.IsCategorical() ? kCategoriesMax : kLevelsMax);
      for (uint64_t i = 0; i < (all ? dimension.levels : kLevelsMax); ++i) {
        Point variant = point;
        variant[at] = space_.LevelCoordinate(k, all ? i : random_.Below(dimension.levels));
        space_.Repair(variant, random_);
        variants.push_back(std::move(variant));
      }
    }
    const VectorXd scores = surrogate_.Score(Columns(variants, point.size()));
    Index best = 0;
    const double score = scores.maxCoeff(&best);
    point = variants[static_cast<size_t>(best)];
    return score;
  }

  const Space& space_;
  const Surrogate& surrogate_;
  Random& random_;
  std::vector<size_t> sliding_, leveled_;
};

// Near one of the best: some coordinates moved, by distances of every order of magnitude.
Point Near(const Space& space, const Point& best, Random& random) {
  Point point = best;
  const auto size = static_cast<double>(space.size());
  const double part = std::max(0.3, 2 / size);
  const double radius = std::pow(10.0, -3 * random.Unit()) * 0.5;
  for (size_t k = 0; k < space.dimensions().size(); ++k) {
    double& coordinate = point[static_cast<Index>(k)];
    if (std::isnan(coordinate) || random.Unit() >= part) continue;
    const auto& dimension = space.dimensions()[k];
    if (dimension.IsCategorical()) {
      coordinate = space.DrawCoordinate(k, random);
      continue;
    }
    coordinate = std::clamp(coordinate + radius * (2 * random.Unit() - 1), 0.0, 1.0);
    if (dimension.levels > 0) coordinate = space.SnapLevel(k, coordinate);
  }
  space.Repair(point, random);
  return point;
}

std::vector<Point> Candidates(const Space& space, const Surrogate& surrogate, const IsTaken& is_taken, Random& random) {
  std::vector<Point> candidates;
  if (space.Count() <= kEnumerableMax) {
    for (auto& point : space.All()) {
      if (!is_taken(point)) candidates.push_back(std::move(point));
    }
    if (candidates.size() > kCandidates) {
      Shuffle(candidates, random);
      candidates.resize(kCandidates);
    }
    return candidates;
  }
  const auto best = surrogate.Best(kBestTrials);
  for (size_t i = 0; i < kCandidates; ++i) {
    candidates.push_back(i < kNearBest ? Near(space, best[i % best.size()], random) : space.Draw(random));
  }
  return candidates;
}

}  // namespace

std::optional<Point> MostPromising(const Space& space, const Surrogate& surrogate, const IsTaken& is_taken,
                                   Random& random) {
  auto candidates = Candidates(space, surrogate, is_taken, random);
  if (candidates.empty()) return std::nullopt;
  const VectorXd scores = surrogate.Score(Columns(candidates, space.size()));
  std::vector<size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return scores[static_cast<Index>(a)] > scores[static_cast<Index>(b)]; });

  struct Found {
    Point point;
    double score;
  };
  std::vector<Found> found;
  std::vector<Point> starts;
  const Ascent ascent(space, surrogate, random);
  const VectorXd scale = surrogate.objective().kernel().inverse_squares();
  for (size_t i = 0; i < order.size() && starts.size() < kStarts; ++i) {
    const Point& start = candidates[order[i]];
    const bool is_close = std::any_of(starts.begin(), starts.end(), [&](const Point& other) {
      const auto difference = (start - other).array();
      return difference.isNaN().select(0, difference.square() * scale.array()).sum() < kSeparation * kSeparation;
    });
    if (is_close) continue;
    starts.push_back(start);
    Point point = start;
    const double score = space.Count() > kEnumerableMax ? ascent.Climb(point) : scores[static_cast<Index>(order[i])];
    found.push_back({std::move(point), score});
  }
  std::stable_sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.score > b.score; });
  for (const size_t i : order) found.push_back({candidates[i], 0});
  for (const auto& [point, score] : found) {
    Point snapped = space.Snap(point);
    if (!is_taken(snapped)) return snapped;
  }
  return std::nullopt;
}

}  // namespace leat::search
