// SPDX-License-Identifier: Apache-2.0
// What tuning jobs of other data say about a study: the ranks of their trials, modelled for each, and trusted as far as
// they agree with the study's own trials. Immutable once weighed; any thread.
#pragma once

#include <Eigen/Core>
#include <vector>

#include "search/gaussian_process.h"
#include "search/space.h"
#include "search/study.h"

namespace leat::search {

class Transfer {
 public:
  // Of the earlier studies that are not of the same task; those with fewer than four results say nothing. At most 100
  // trials of each, the last, are looked at.
  Transfer(const Space& space, const Study& study);

  // Points are columns; `values`, higher is better, have mean 0 and deviation 1. Each study's part of the mean is its
  // correlation with the values, none where it is negative, and all parts together at most 1.
  void Weigh(const Eigen::MatrixXd& points, const Eigen::VectorXd& values);

  // What is expected of points; 0 where there is nothing to go by.
  Eigen::VectorXd Mean(const Eigen::MatrixXd& points) const;
  double MeanWithSlope(const Point& point, Eigen::VectorXd& slope) const;

 private:
  std::vector<GaussianProcess> earlier_;
  std::vector<double> weights_;
};

// The best points of the earlier studies that are not of the same task, one of each in turn, at most `count`.
std::vector<Point> BestOfEarlier(const Space& space, const Study& study, size_t count);

}  // namespace leat::search
