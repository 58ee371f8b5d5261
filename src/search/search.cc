// SPDX-License-Identifier: Apache-2.0
#include "search/search.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/random.h"
#include "search/bayesian_search.h"
#include "search/sobol.h"
#include "search/space.h"
#include "search/surrogate.h"
#include "search/transfer.h"

namespace leat::search {
namespace {

using Eigen::Index;

constexpr int kDrawsMax = 64;         // draws before a finite space is searched for a free point
constexpr uint64_t kInitialMax = 10;  // points of the initial design, at most
constexpr size_t kProven = 3;         // of the first points: the best ones of earlier studies
constexpr Index kFinishedToModel = 4, kCompletedToModel = 2;
constexpr uint64_t kModelStream = uint64_t{1} << 32;  // beside the streams that draws use: the number of a trial

// The points of a study's trials, compared as a script sees them.
class Taken {
 public:
  Taken(const Space& space, const Study& study) {
    AddAll(space, study.trials);
    for (const auto& earlier : study.earlier) {
      if (earlier.is_same_task) AddAll(space, earlier.trials);
    }
  }
  void Add(const Point& point) { points_.insert(Key(point)); }
  bool Contains(const Point& point) const { return points_.count(Key(point)) > 0; }
  size_t size() const { return points_.size(); }

 private:
  void AddAll(const Space& space, const std::vector<Trial>& trials) {
    for (const auto& trial : trials) {
      // What lies outside of the ranges, which were others then, is none of their points.
      if (const auto point = space.Encode(trial.parameters); point && IsInside(space, *point)) Add(space.Snap(*point));
    }
  }
  static bool IsInside(const Space& space, const Point& point) {
    constexpr double kRounding = 1e-9;
    for (Index k = 0; k < point.size(); ++k) {
      if (space.dimensions()[static_cast<size_t>(k)].IsCategorical()) continue;
      if (point[k] < -kRounding || point[k] > 1 + kRounding) return false;
    }
    return true;
  }
  static std::vector<double> Key(const Point& point) {
    std::vector<double> key(point.begin(), point.end());
    for (double& coordinate : key) {
      if (std::isnan(coordinate)) coordinate = -1;  // which no coordinate is; NaN has no order
    }
    return key;
  }
  std::set<std::vector<double>> points_;
};

// A point that is free: `first`, or a draw, or any.
std::optional<Point> Free(const Space& space, const Taken& taken, Point first, Random& random) {
  Point point = space.Snap(first);
  for (int i = 0; i < kDrawsMax; ++i) {
    if (!taken.Contains(point)) return point;
    point = space.Snap(space.Draw(random));
  }
  if (space.Count() > kEnumerableMax) return std::nullopt;
  const auto all = space.All();
  const size_t from = random.Below(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    const Point& candidate = all[(from + i) % all.size()];
    if (!taken.Contains(candidate)) return candidate;
  }
  return std::nullopt;
}

Point Initial(const Space& space, const Study& study, const std::vector<Point>& proven, uint64_t number,
              uint64_t seed) {
  if (number < proven.size()) return proven[number];
  Eigen::VectorXd units(space.size());
  if (study.start_at_centre && number == 0) return space.FromUnits(units.setConstant(0.5));
  const auto index = static_cast<uint32_t>(study.start_at_centre ? number - 1 : number);
  for (Index k = 0; k < units.size(); ++k) units[k] = ScrambledSobol(seed, index, static_cast<uint32_t>(k));
  return space.FromUnits(units);
}

tl::unexpected<Error> Exhausted(const Space& space) {
  if (space.Count() > kEnumerableMax) {
    return Fail(ErrorCode::kNotFound, "no combination of the ranges was found that has not been tried; widen a range");
  }
  return Fail(ErrorCode::kNotFound,
              "all " + std::to_string(space.Count()) +
                  " combinations of the ranges have been tried; widen a range, or ask for fewer training jobs");
}

Result<std::vector<Suggestion>> SuggestGrid(const Space& space, Taken& taken, uint32_t count) {
  if (space.Count() > kEnumerableMax) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "Grid tries every combination, and these ranges have too many; give the values of each continuous range, "
        "and fewer of the others");
  }
  std::vector<Suggestion> suggestions;
  for (const auto& point : space.All()) {
    if (suggestions.size() == count) break;
    if (!taken.Contains(point)) suggestions.push_back(space.Decode(point));
  }
  if (suggestions.empty() && count > 0) return Exhausted(space);
  return suggestions;
}

}  // namespace

Result<std::vector<Suggestion>> Suggest(const Study& study, uint32_t count, uint64_t seed) {
  LEAT_ASSIGN_OR_RETURN(const Space space, Space::Make(study.ranges));
  Taken taken(space, study);
  if (study.strategy == Study::Strategy::kGrid) return SuggestGrid(space, taken, count);
  std::optional<Surrogate> surrogate;
  std::vector<Suggestion> suggestions;
  const Observations observations = Observe(space, study);
  const auto proven = BestOfEarlier(space, study, kProven);
  uint64_t design = std::min<uint64_t>(kInitialMax, 2 + static_cast<uint64_t>(space.size()));
  if (!proven.empty()) design = proven.size();
  uint64_t before = 0;  // trials that count as the study's own
  for (const auto& earlier : study.earlier) before += earlier.is_same_task ? earlier.trials.size() : 0;
  const bool enough = observations.completed.cols() >= kCompletedToModel &&
                      observations.completed.cols() + observations.failed.cols() >= kFinishedToModel;
  for (uint32_t i = 0; i < count; ++i) {
    if (taken.size() >= space.Count() && space.Count() <= kEnumerableMax) break;
    const uint64_t number = study.trials.size() + i;
    std::optional<Point> point;
    if (study.strategy == Study::Strategy::kBayesian && enough && number + before >= design) {
      Random random(seed, kModelStream + number);
      if (!surrogate) surrogate.emplace(space, observations, Transfer(space, study), random);
      point = MostPromising(
          space, *surrogate, [&](const Point& other) { return taken.Contains(other); }, random);
      if (point) surrogate->AddPending(*point);
    }
    if (!point) {
      Random random(seed, number);
      const Point first = study.strategy == Study::Strategy::kBayesian ? Initial(space, study, proven, number, seed)
                                                                       : space.Draw(random);
      point = Free(space, taken, first, random);
    }
    if (!point) break;
    taken.Add(*point);
    suggestions.push_back(space.Decode(*point));
  }
  if (suggestions.empty() && count > 0) return Exhausted(space);
  return suggestions;
}

}  // namespace leat::search
