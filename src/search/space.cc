// SPDX-License-Identifier: Apache-2.0
#include "search/space.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

namespace leat::search {
namespace {

using Kind = ParameterRange::Kind;

constexpr double kAutoLogarithmicRatio = 100;
constexpr int kDigits = 8, kDigitsMax = 17;
constexpr double kNotActive = std::numeric_limits<double>::quiet_NaN();

double OnScale(Scaling scaling, double value) {
  if (scaling == Scaling::kLogarithmic) return std::log(value);
  return scaling == Scaling::kReverseLogarithmic ? -std::log1p(-value) : value;
}

double FromScale(Scaling scaling, double place) {
  if (scaling == Scaling::kLogarithmic) return std::exp(place);
  return scaling == Scaling::kReverseLogarithmic ? -std::expm1(-place) : place;
}

// low + unit (high - low) and back, where high - low may overflow.
double Between(double low, double high, double unit) { return low * (1 - unit) + high * unit; }
double PlaceBetween(double low, double high, double place) {
  if (std::isfinite(high - low) && std::isfinite(place - low)) return (place - low) / (high - low);
  return (place / 4 - low / 4) / (high / 4 - low / 4);
}

uint64_t ValueCount(const ParameterRange& range) {
  if (range.kind == Kind::kCategorical) return range.values.size();
  if (range.kind == Kind::kInteger) {
    return range.integer_max < range.integer_min ? 0 : static_cast<uint64_t>(range.integer_max - range.integer_min) + 1;
  }
  return range.min == range.max ? 1 : range.min < range.max ? std::numeric_limits<uint64_t>::max() : 0;
}

std::string OnlyText(const ParameterRange& range) {
  if (range.kind == Kind::kCategorical) return range.values[0];
  return range.kind == Kind::kInteger ? std::to_string(range.integer_min) : range.min_text;
}

Space::Dimension MakeDimension(const ParameterRange& range) {
  Space::Dimension dimension;
  dimension.range = range;
  if (range.kind == Kind::kCategorical) {
    dimension.levels = range.values.size();
    for (size_t i = 0; i < range.values.size(); ++i) dimension.categories.emplace(range.values[i], i);
    return dimension;
  }
  const bool is_integer = range.kind == Kind::kInteger;
  double min = range.min, max = range.max;
  if (is_integer) {
    min = static_cast<double>(range.integer_min);
    max = static_cast<double>(range.integer_max);
    dimension.levels = ValueCount(range);
  }
  dimension.scaling = range.scaling;
  if (range.scaling == Scaling::kAuto) {
    dimension.scaling = min > 0 && max / min >= kAutoLogarithmicRatio ? Scaling::kLogarithmic : Scaling::kLinear;
  }
  const double room = is_integer ? 0.5 : 0;
  dimension.low = OnScale(dimension.scaling, min - room);
  dimension.high = OnScale(dimension.scaling, max + room);
  if (dimension.scaling == Scaling::kLinear || dimension.scaling == Scaling::kReverseLogarithmic) {
    const double ratio = std::max(std::abs(min), std::abs(max)) / (max - min);
    if (ratio > 1) dimension.digits = std::min(kDigitsMax, kDigits + static_cast<int>(std::ceil(std::log10(ratio))));
  } else if (dimension.high - dimension.low < 1) {
    const int more = static_cast<int>(std::ceil(-std::log10(dimension.high - dimension.low)));
    dimension.digits = std::min(kDigitsMax, kDigits + more);
  }
  return dimension;
}

// Ranges so that each comes after its parent.
Result<std::vector<const ParameterRange*>> ParentsFirst(const std::vector<ParameterRange>& ranges) {
  std::vector<const ParameterRange*> order, waiting;
  for (const auto& range : ranges) waiting.push_back(&range);
  while (!waiting.empty()) {
    std::vector<const ParameterRange*> still;
    for (const auto* range : waiting) {
      const bool has_parent = range->parent.empty() || std::any_of(order.begin(), order.end(), [&](const auto* other) {
                                return other->name == range->parent;
                              });
      (has_parent ? order : still).push_back(range);
    }
    if (still.size() == waiting.size()) {
      return Fail(ErrorCode::kInvalidArgument, "the range " + still[0]->name + " depends on " + still[0]->parent +
                                                   ", which is no range or depends on it in turn; name another");
    }
    waiting = std::move(still);
  }
  return order;
}

}  // namespace

Result<Space> Space::Make(const std::vector<ParameterRange>& ranges) {
  Space space;
  LEAT_ASSIGN_OR_RETURN(const auto order, ParentsFirst(ranges));
  std::vector<std::string> never;  // active
  for (const auto* range : order) {
    const uint64_t count = ValueCount(*range);
    if (count == 0) return Fail(ErrorCode::kNotFound, "the range " + range->name + " has no value; give it one");
    int parent = -1;
    std::vector<double> coordinates;
    if (!range->parent.empty()) {
      const auto above = std::find_if(space.dimensions_.begin(), space.dimensions_.end(),
                                      [&](const auto& dimension) { return dimension.range.name == range->parent; });
      const auto constant = std::find_if(space.constants_.begin(), space.constants_.end(),
                                         [&](const auto& other) { return other.name == range->parent; });
      if (above != space.dimensions_.end()) {
        if (above->levels == 0) {
          return Fail(ErrorCode::kInvalidArgument, "the range " + range->name + " depends on " + range->parent +
                                                       ", which is continuous; a parent has categories or integers");
        }
        parent = static_cast<int>(above - space.dimensions_.begin());
        for (const auto& text : range->parent_values) {
          const auto coordinate = space.Coordinate(*above, text);
          if (!coordinate || *coordinate < 0 || (!above->IsCategorical() && *coordinate > 1)) {
            return Fail(ErrorCode::kInvalidArgument, "the range " + range->name + " is for the value " + text + " of " +
                                                         range->parent + ", which has no such value");
          }
          coordinates.push_back(*coordinate);
        }
      } else if (constant != space.constants_.end()) {
        const auto& wanted = range->parent_values;
        parent = constant->parent;
        coordinates = constant->parent_coordinates;
        if (std::find(wanted.begin(), wanted.end(), constant->text) == wanted.end()) parent = -2;
      } else {
        parent = -2;
      }
      if (parent == -2) {
        never.push_back(range->name);
        continue;
      }
    }
    space.has_conditions_ = space.has_conditions_ || parent >= 0;
    if (count == 1) {
      space.constants_.push_back({range->name, OnlyText(*range), parent, std::move(coordinates)});
      continue;
    }
    Dimension dimension = MakeDimension(*range);
    dimension.parent = parent;
    dimension.parent_coordinates = std::move(coordinates);
    space.dimensions_.push_back(std::move(dimension));
  }
  for (const auto& dimension : space.dimensions_) {
    const bool is_many = dimension.levels == 0 || dimension.levels > kEnumerableMax;
    space.count_ = is_many ? kEnumerableMax + 1 : std::min(kEnumerableMax + 1, space.count_ * dimension.levels);
    if (dimension.levels == 0) return space;
  }
  // Children are not there for every value of their parents.
  if (space.has_conditions_) space.count_ = space.All().size();
  return space;
}

bool Space::Holds(int parent, const std::vector<double>& coordinates, const Point& point) const {
  return parent < 0 || std::find(coordinates.begin(), coordinates.end(), point[parent]) != coordinates.end();
}

bool Space::IsActive(size_t dimension, const Point& point) const {
  return Holds(dimensions_[dimension].parent, dimensions_[dimension].parent_coordinates, point);
}

std::string Space::Text(const Dimension& dimension, double coordinate) const {
  const auto& range = dimension.range;
  if (dimension.IsCategorical()) {
    const double last = static_cast<double>(dimension.levels - 1);
    return range.values[static_cast<size_t>(std::clamp(coordinate, 0.0, last))];
  }
  const double place = Between(dimension.low, dimension.high, std::clamp(coordinate, 0.0, 1.0));
  const double value = FromScale(dimension.scaling, place);
  if (range.kind == Kind::kInteger) {
    const double min = static_cast<double>(range.integer_min), max = static_cast<double>(range.integer_max);
    return std::to_string(static_cast<int64_t>(std::clamp(std::floor(value + 0.5), min, max)));
  }
  char text[40];
  std::snprintf(text, sizeof text, "%.*g", dimension.digits, value);
  double rounded = value;
  std::from_chars(text, text + std::char_traits<char>::length(text), rounded);
  if (rounded <= range.min) return range.min_text;
  return rounded >= range.max ? range.max_text : text;
}

std::optional<double> Space::Coordinate(const Dimension& dimension, const std::string& text) const {
  if (dimension.IsCategorical()) {
    const auto at = dimension.categories.find(text);
    if (at == dimension.categories.end()) return std::nullopt;
    return static_cast<double>(at->second);
  }
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  // Far outside, as an earlier version of the space may have it, is as good as a little outside.
  const double coordinate = PlaceBetween(dimension.low, dimension.high, OnScale(dimension.scaling, value));
  return std::isnan(coordinate) ? -1.0 : std::clamp(coordinate, -1.0, 2.0);
}

Suggestion Space::Decode(const Point& point) const {
  Suggestion suggestion;
  for (size_t k = 0; k < dimensions_.size(); ++k) {
    const double coordinate = point[static_cast<Eigen::Index>(k)];
    if (!std::isnan(coordinate)) suggestion[dimensions_[k].range.name] = Text(dimensions_[k], coordinate);
  }
  for (const auto& constant : constants_) {
    if (Holds(constant.parent, constant.parent_coordinates, point)) suggestion[constant.name] = constant.text;
  }
  return suggestion;
}

std::optional<Point> Space::Encode(const Suggestion& suggestion) const {
  Point point = Point::Constant(size(), kNotActive);
  for (size_t k = 0; k < dimensions_.size(); ++k) {
    const auto at = suggestion.find(dimensions_[k].range.name);
    if (at == suggestion.end()) continue;
    const auto coordinate = Coordinate(dimensions_[k], at->second);
    if (!coordinate) return std::nullopt;
    point[static_cast<Eigen::Index>(k)] = *coordinate;
  }
  return point;
}

Point Space::Snap(const Point& point) const {
  Point snapped = point;
  for (size_t k = 0; k < dimensions_.size(); ++k) {
    double& coordinate = snapped[static_cast<Eigen::Index>(k)];
    if (!std::isnan(coordinate)) coordinate = *Coordinate(dimensions_[k], Text(dimensions_[k], coordinate));
  }
  return snapped;
}

double Space::LevelCoordinate(size_t k, uint64_t level) const {
  const Dimension& dimension = dimensions_[k];
  if (dimension.IsCategorical()) return static_cast<double>(level);
  const double value = static_cast<double>(dimension.range.integer_min + static_cast<int64_t>(level));
  return PlaceBetween(dimension.low, dimension.high, OnScale(dimension.scaling, value));
}

double Space::SnapLevel(size_t k, double coordinate) const {
  const Dimension& dimension = dimensions_[k];
  if (dimension.IsCategorical())
    return std::clamp(std::floor(coordinate), 0.0, static_cast<double>(dimension.levels - 1));
  const double value =
      FromScale(dimension.scaling, Between(dimension.low, dimension.high, std::clamp(coordinate, 0.0, 1.0)));
  const double min = static_cast<double>(dimension.range.integer_min),
               max = static_cast<double>(dimension.range.integer_max);
  return PlaceBetween(dimension.low, dimension.high,
                      OnScale(dimension.scaling, std::clamp(std::floor(value + 0.5), min, max)));
}

double Space::DrawCoordinate(size_t k, Random& random) const {
  const Dimension& dimension = dimensions_[k];
  if (dimension.IsCategorical()) return static_cast<double>(random.Below(dimension.levels));
  const double unit = random.Unit();
  return dimension.levels > 0 ? SnapLevel(k, unit) : unit;
}

void Space::Repair(Point& point, Random& random) const {
  if (!has_conditions_) return;
  for (size_t k = 0; k < dimensions_.size(); ++k) {
    double& coordinate = point[static_cast<Eigen::Index>(k)];
    if (!IsActive(k, point)) {
      coordinate = kNotActive;
    } else if (std::isnan(coordinate)) {
      coordinate = DrawCoordinate(k, random);
    }
  }
}

Point Space::Draw(Random& random) const {
  Point point = Point::Constant(size(), kNotActive);
  for (size_t k = 0; k < dimensions_.size(); ++k) {
    if (IsActive(k, point)) point[static_cast<Eigen::Index>(k)] = DrawCoordinate(k, random);
  }
  return point;
}

Point Space::FromUnits(const Eigen::VectorXd& units) const {
  Point point = Point::Constant(size(), kNotActive);
  for (size_t k = 0; k < dimensions_.size(); ++k) {
    const auto at = static_cast<Eigen::Index>(k);
    if (!IsActive(k, point)) continue;
    const Dimension& dimension = dimensions_[k];
    const double scaled = dimension.IsCategorical() ? units[at] * static_cast<double>(dimension.levels) : units[at];
    point[at] = dimension.levels > 0 ? SnapLevel(k, scaled) : scaled;
  }
  return point;
}

void Space::Enumerate(Point& point, size_t from, std::vector<Point>& points) const {
  if (from == dimensions_.size()) {
    points.push_back(point);
    return;
  }
  const auto at = static_cast<Eigen::Index>(from);
  const uint64_t levels = IsActive(from, point) ? dimensions_[from].levels : 0;
  if (levels == 0) {
    point[at] = kNotActive;
    Enumerate(point, from + 1, points);
  }
  for (uint64_t level = 0; level < levels && points.size() <= kEnumerableMax; ++level) {
    point[at] = LevelCoordinate(from, level);
    Enumerate(point, from + 1, points);
  }
}

std::vector<Point> Space::All() const {
  std::vector<Point> points;
  Point point = Point::Constant(size(), kNotActive);
  Enumerate(point, 0, points);
  return points;
}

}  // namespace leat::search
