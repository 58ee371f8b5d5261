// SPDX-License-Identifier: Apache-2.0
#include "search/search.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/random.h"
#include "search/bayesian_search.h"
#include "search/restart.h"
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
constexpr uint64_t kRestartSeedStep = 0x9e3779b97f4a7c15;
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

tl::unexpected<Error> Exhausted(const Space& space) {
  if (space.Count() > kEnumerableMax) {
    return Fail(ErrorCode::kNotFound, "no combination of the ranges was found that has not been tried; widen a range");
  }
  return Fail(ErrorCode::kNotFound,
              "all " + std::to_string(space.Count()) +
                  " combinations of the ranges have been tried; widen a range, or ask for fewer training jobs");
}

Result<std::vector<Trial>> SuggestGrid(const Space& space, Taken& taken, uint32_t count) {
  if (space.Count() > kEnumerableMax) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "Grid tries every combination, and these ranges have too many; give the values of each continuous range, "
        "and fewer of the others");
  }
  std::vector<Trial> suggestions;
  for (const auto& point : space.All()) {
    if (suggestions.size() == count) break;
    if (!taken.Contains(point)) suggestions.push_back({space.Decode(point)});
  }
  if (suggestions.empty() && count > 0) return Exhausted(space);
  return suggestions;
}

// A Bayesian search: its trials, and the model of them once one is asked for.
class Bayesian {
 public:
  Bayesian(const Space& space, const Study& study, uint64_t seed)
      : space_(space),
        study_(study),
        seed_(seed),
        observations_(Observe(space, study)),
        proven_(BestOfEarlier(space, study, kProven)) {
    design_ =
        proven_.empty() ? std::min<uint64_t>(kInitialMax, 2 + static_cast<uint64_t>(space.size())) : proven_.size();
    for (const auto& earlier : study.earlier)
      design_ -= std::min<uint64_t>(design_, earlier.is_same_task ? earlier.trials.size() : 0);
    const Index completed = observations_.completed.cols();
    is_enough_ = completed >= kCompletedToModel && completed + observations_.failed.cols() >= kFinishedToModel;
  }

  // What another search has suggested, and nobody knows yet.
  void AddPending(const Point& point) {
    if (surrogate_) {
      surrogate_->AddPending(point);
      return;
    }
    observations_.pending.conservativeResize(Eigen::NoChange, observations_.pending.cols() + 1);
    observations_.pending.rightCols(1) = point;
  }

  // Of the trial with that number among the search's own. nullopt: everything that was looked at is taken.
  std::optional<Point> Next(uint64_t number, const Taken& taken) {
    if (is_enough_ && number >= design_) {
      Random random(seed_, kModelStream + number);
      if (!surrogate_) surrogate_.emplace(space_, observations_, Transfer(space_, study_), random);
      auto point = MostPromising(
          space_, *surrogate_, [&](const Point& other) { return taken.Contains(other); }, random);
      if (point) {
        surrogate_->AddPending(*point);
        return point;
      }
    }
    Random random(seed_, number);
    return Free(space_, taken, Initial(number), random);
  }

 private:
  Point Initial(uint64_t number) const {
    if (number < proven_.size()) return proven_[number];
    Eigen::VectorXd units(space_.size());
    if (study_.start_at_centre && number == 0) return space_.FromUnits(units.setConstant(0.5));
    const auto index = static_cast<uint32_t>(study_.start_at_centre ? number - 1 : number);
    for (Index k = 0; k < units.size(); ++k) units[k] = ScrambledSobol(seed_, index, static_cast<uint32_t>(k));
    return space_.FromUnits(units);
  }

  const Space& space_;
  const Study& study_;
  const uint64_t seed_;
  Observations observations_;
  const std::vector<Point> proven_;
  uint64_t design_ = 0;
  bool is_enough_ = false;
  std::optional<Surrogate> surrogate_;
};

}  // namespace

Result<std::vector<Trial>> Suggest(const Study& study, uint32_t count, uint64_t seed) {
  LEAT_ASSIGN_OR_RETURN(const Space space, Space::Make(study.ranges));
  Taken taken(space, study);
  if (study.strategy == Study::Strategy::kGrid) return SuggestGrid(space, taken, count);
  const bool is_bayesian = study.strategy == Study::Strategy::kBayesian;
  std::optional<Restart> restart = is_bayesian ? LastRestart(study) : std::nullopt;
  std::optional<Bayesian> of_all, anew;
  if (is_bayesian) of_all.emplace(space, study, seed);
  if (restart) anew.emplace(space, restart->study, seed + restart->number * kRestartSeedStep);
  std::vector<Trial> suggestions;
  for (uint32_t i = 0; i < count; ++i) {
    if (taken.size() >= space.Count() && space.Count() <= kEnumerableMax) break;
    const uint64_t number = study.trials.size() + i;
    const bool is_anew = restart && IsOfRestart(number);
    std::optional<Point> point;
    if (!is_bayesian) {
      Random random(seed, number);
      const Point first_draw = space.Draw(random);
      point = Free(space, taken, first_draw, random);
    } else if (is_anew) {
      point = anew->Next(restart->own_trials++, taken);
      if (point) of_all->AddPending(*point);
    } else {
      point = of_all->Next(number, taken);
    }
    if (!point) break;
    taken.Add(*point);
    suggestions.push_back({space.Decode(*point)});
    if (is_anew) suggestions.back().restart = restart->number;
  }
  if (suggestions.empty() && count > 0) return Exhausted(space);
  return suggestions;
}

}  // namespace leat::search
