// SPDX-License-Identifier: Apache-2.0
// The ranges of a study as a space of points, and back: what a model computes with, and what a script gets.
//
// A point has one coordinate for each range that has more than one value, parents before children. A number stands at
// its place u in [0, 1] on its scale: Linear a+u(b-a); Logarithmic exp(ln a+u(ln b-ln a)); ReverseLogarithmic
// 1-exp(ln(1-a)+u(ln(1-b)-ln(1-a))); Auto is Logarithmic where the range is positive and spans a factor of 100 or more,
// else Linear. Integers have half a unit of room at both ends. A category is its index. A coordinate that is not
// active, since its parent has another value, is NaN.
//
// Continuous values have eight significant digits, more where the range is narrow beside its bounds: enough to tell
// hyperparameters apart, few enough that no math library's last bit shows.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "search/study.h"

namespace leat::search {

using Point = Eigen::VectorXd;

inline constexpr uint64_t kEnumerableMax = 10000;

class Space {  // immutable once made; any thread
 public:
  struct Dimension {
    ParameterRange range;
    Scaling scaling = Scaling::kLinear;  // never Auto
    uint64_t levels = 0;                 // how many values; 0: a continuum
    double low = 0, high = 1;            // the bounds on the scale
    int digits = 8;
    int parent = -1;                         // the dimension that decides whether this one is active; -1: it always is
    std::vector<double> parent_coordinates;  // of the parent, that make it active
    std::unordered_map<std::string, size_t> categories;  // index of each value
    bool IsCategorical() const { return range.kind == ParameterRange::Kind::kCategorical; }
  };

  // kNotFound: a range has no value. kInvalidArgument: the parent of a range is not there, is continuous, has no such
  // value or is a descendant of the range.
  static Result<Space> Make(const std::vector<ParameterRange>& ranges);

  const std::vector<Dimension>& dimensions() const { return dimensions_; }
  Eigen::Index size() const { return static_cast<Eigen::Index>(dimensions_.size()); }
  bool has_conditions() const { return has_conditions_; }

  Suggestion Decode(const Point& point) const;
  // Numbers outside their range keep their place outside [0, 1]. A range without a value counts as not active. nullopt:
  // a value is no number or no category of its range.
  std::optional<Point> Encode(const Suggestion& suggestion) const;
  // The point that the script of `point` gets: Encode(Decode(point)).
  Point Snap(const Point& point) const;
  // The coordinate nearest to `coordinate` that a dimension with levels has.
  double SnapLevel(size_t dimension, double coordinate) const;
  double LevelCoordinate(size_t dimension, uint64_t level) const;

  bool IsActive(size_t dimension, const Point& point) const;
  // Makes coordinates NaN that are not active, and draws those that are active and NaN.
  void Repair(Point& point, Random& random) const;
  Point Draw(Random& random) const;
  double DrawCoordinate(size_t dimension, Random& random) const;
  // `units` in [0, 1) -> coordinates, categories included.
  Point FromUnits(const Eigen::VectorXd& units) const;

  // How many points there are, at most kEnumerableMax + 1 (which also stands for infinitely many).
  uint64_t Count() const { return count_; }
  // All points of a finite space in order, the last range varying fastest; at most kEnumerableMax + 1.
  std::vector<Point> All() const;

 private:
  struct Constant {  // a range with one value
    std::string name, text;
    int parent = -1;
    std::vector<double> parent_coordinates;
  };
  bool Holds(int parent, const std::vector<double>& coordinates, const Point& point) const;
  std::string Text(const Dimension& dimension, double coordinate) const;
  std::optional<double> Coordinate(const Dimension& dimension, const std::string& text) const;
  void Enumerate(Point& point, size_t from, std::vector<Point>& points) const;

  std::vector<Dimension> dimensions_;
  std::vector<Constant> constants_;
  bool has_conditions_ = false;
  uint64_t count_ = 1;
};

}  // namespace leat::search
