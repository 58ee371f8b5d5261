// SPDX-License-Identifier: Apache-2.0
// What a study's trials say about the points not tried: a model of the objective, and of where jobs fail. Confined to
// one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "search/gaussian_process.h"
#include "search/space.h"
#include "search/study.h"
#include "search/transfer.h"

namespace leat::search {

// Trials as points (columns). Those that the space cannot express are left out.
struct Observations {
  Eigen::MatrixXd completed, failed, pending;
  Eigen::VectorXd values;  // of the completed ones; higher is better
};
Observations Observe(const Space& space, const std::vector<Trial>& trials, bool maximize);
// A study's, after those of earlier studies of the same task.
Observations Observe(const Space& space, const Study& study);
std::vector<Metric> MetricsOf(const Space& space);

class Surrogate {
 public:
  // At most this many trials are modelled: the better half of them the best there are, the others drawn with `random`.
  static constexpr Eigen::Index kPointsMax = 400;
  // Hyperparameters are found on the better half of these and an even sample of the others, at most so many in all.
  static constexpr Eigen::Index kFitPointsMax = 90;

  // At least one completed trial.
  Surrogate(const Space& space, const Observations& observations, Transfer transfer, Random& random);

  void AddPending(const Point& point);

  // How much a trial of the point promises, as a logarithm or on the scale of the objective: comparable for one state
  // of a surrogate alone. Points are columns.
  Eigen::VectorXd Score(const Eigen::MatrixXd& points) const;
  double ScoreWithSlope(const Point& point, Eigen::VectorXd& slope) const;

  bool is_noisy() const { return is_noisy_; }
  const GaussianProcess& objective() const { return *objective_; }
  // The best points that were completed, at most `count`, the best first.
  std::vector<Point> Best(size_t count) const;

 private:
  void FitObjective(const Observations& observations, Random& random);
  void FitFeasibility(const Observations& observations);
  void UpdateIncumbent();

  std::vector<Metric> metrics_;
  Transfer transfer_;
  std::optional<GaussianProcess> objective_, feasibility_;  // the objective: beside what `transfer_` expects
  bool is_noisy_ = false;
  double incumbent_ = 0;
  Eigen::Index completed_ = 0;  // the first so many of the objective's points did not fail
};

}  // namespace leat::search
