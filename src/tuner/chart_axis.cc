// SPDX-License-Identifier: Apache-2.0
#include "tuner/chart_axis.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace leat::tuner {
namespace {

constexpr double kLogarithmicRatio = 100;
constexpr double kTolerance = 1e-6;  // how far beyond the ends a mark may stand

double OnScale(Scaling scaling, double value) {
  if (scaling == Scaling::kLogarithmic) return std::log10(value);
  return scaling == Scaling::kReverseLogarithmic ? -std::log1p(-value) : value;
}

// 1, 2 or 5 times a power of ten, `least` or more.
double NiceStep(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

std::vector<double> LinearNumbers(double min, double max, size_t count, bool is_integer) {
  const auto parts = static_cast<double>(count);
  double step = NiceStep(max / parts - min / parts);
  if (is_integer) step = std::max(step, 1.0);
  std::vector<double> numbers;
  for (double k = std::ceil(min / step - 1e-9); k * step - max <= step * 1e-9 && numbers.size() <= count; ++k) {
    numbers.push_back(std::abs(k) < 0.5 ? 0 : k * step);
  }
  return numbers;
}

std::vector<double> LogarithmicNumbers(double min, double max, size_t count) {
  const auto from = static_cast<int>(std::floor(std::log10(min))), to = static_cast<int>(std::ceil(std::log10(max)));
  const auto within = [&](const std::vector<double>& factors) {
    std::vector<double> numbers;
    for (int power = from; power <= to; ++power) {
      for (const double factor : factors) {
        const double value = factor * std::pow(10.0, power);
        if (value >= min * (1 - 1e-9) && value <= max * (1 + 1e-9)) numbers.push_back(value);
      }
    }
    return numbers;
  };
  std::vector<double> numbers = within({1});
  if (numbers.size() < 3) numbers = within({1, 2, 5});
  if (numbers.size() < 2) return LinearNumbers(min, max, count, false);
  const size_t every = (numbers.size() + count - 1) / count;
  std::vector<double> few;
  for (size_t i = 0; i < numbers.size(); i += every) few.push_back(numbers[i]);
  return few;
}

}  // namespace

std::string ShortNumber(double value, int digits) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  char text[40];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  std::string number = text;
  const size_t exponent = number.find('e');
  if (exponent == std::string::npos) return number;
  size_t from = exponent + 1;
  if (number[from] == '+') number.erase(from, 1);
  if (number[from] == '-') ++from;
  while (number[from] == '0') number.erase(from, 1);
  return number;
}

ChartAxis ChartAxis::OfRange(const ParameterRange& range) {
  ChartAxis axis;
  if (range.kind == ParameterRange::Kind::kCategorical) {
    axis.categories_ = range.values;
    return axis;
  }
  axis.is_integer_ = range.kind == ParameterRange::Kind::kInteger;
  axis.min_ = axis.is_integer_ ? static_cast<double>(range.integer_min) : range.min;
  axis.max_ = axis.is_integer_ ? static_cast<double>(range.integer_max) : range.max;
  axis.scaling_ = range.scaling;
  if (range.scaling == Scaling::kAuto) {
    const bool is_wide = axis.min_ > 0 && axis.max_ / axis.min_ >= kLogarithmicRatio;
    axis.scaling_ = is_wide ? Scaling::kLogarithmic : Scaling::kLinear;
  }
  return axis;
}

ChartAxis ChartAxis::OfObjectives(std::vector<double> values, bool maximize) {
  constexpr size_t kManyValues = 10;
  constexpr double kMost = 0.9, kFarther = 2, kRoom = 1.6;
  std::erase_if(values, [](double value) { return !std::isfinite(value); });
  if (values.empty()) return OfNumbers(0, 1);
  std::ranges::sort(values);
  double min = values.front(), max = values.back();
  ChartAxis axis;
  if (min > 0 && max / min >= kLogarithmicRatio) {
    axis.scaling_ = Scaling::kLogarithmic;
  } else if (values.size() >= kManyValues) {
    if (maximize) std::ranges::reverse(values);  // best first
    const double best = values.front();
    const double of_most = values[static_cast<size_t>(kMost * static_cast<double>(values.size() - 1))] - best;
    if (of_most != 0 && std::abs(values.back() - best) > kFarther * std::abs(of_most)) {
      (maximize ? min : max) = best + kRoom * of_most;
    }
  }
  if (min == max) {
    const double room = min == 0 ? 1 : std::abs(min) / 10;
    min -= room;
    max += room;
  }
  axis.min_ = min;
  axis.max_ = max;
  return axis;
}

ChartAxis ChartAxis::OfNumbers(double min, double max) {
  ChartAxis axis;
  axis.min_ = min;
  axis.max_ = max;
  return axis;
}

double ChartAxis::Place(double value) const {
  if (min_ >= max_) return 0.5;
  if (scaling_ == Scaling::kLogarithmic && value <= 0) return -1;
  if (scaling_ == Scaling::kReverseLogarithmic && value >= 1) return 2;
  // Halves, so that the widest range does not overflow.
  const double low = OnScale(scaling_, min_) / 2, high = OnScale(scaling_, max_) / 2;
  return (OnScale(scaling_, value) / 2 - low) / (high - low);
}

std::optional<double> ChartAxis::Place(const std::string& text) const {
  if (IsCategorical()) {
    const auto found = std::ranges::find(categories_, text);
    if (found == categories_.end()) return std::nullopt;
    return (static_cast<double>(found - categories_.begin()) + 0.5) / static_cast<double>(categories_.size());
  }
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return Place(value);
}

double ChartAxis::StepWidth() const {
  if (IsCategorical()) return 1 / static_cast<double>(categories_.size());
  return is_integer_ ? 1 / (max_ - min_ + 1) : 0;
}

std::vector<double> ChartAxis::Numbers(size_t max) const {
  if (min_ >= max_) return {min_};
  if (scaling_ == Scaling::kLogarithmic) {
    auto numbers = LogarithmicNumbers(min_, max_, max);
    if (is_integer_) std::erase_if(numbers, [](double number) { return number != std::floor(number); });
    return numbers;
  }
  if (scaling_ == Scaling::kReverseLogarithmic) {
    std::vector<double> numbers;
    for (const double distance : LogarithmicNumbers(1 - max_, 1 - min_, max)) numbers.push_back(1 - distance);
    return numbers;
  }
  return LinearNumbers(min_, max_, max, is_integer_);
}

std::vector<ChartAxis::Mark> ChartAxis::Marks(size_t max) const {
  std::vector<Mark> marks;
  if (IsCategorical()) {
    const size_t every = (categories_.size() + max - 1) / max;
    for (size_t i = 0; i < categories_.size(); i += every) marks.push_back({*Place(categories_[i]), categories_[i]});
    return marks;
  }
  // As many digits as tell neighbours apart.
  const auto numbers = Numbers(max);
  double step = 0, size = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0 && (step == 0 || std::abs(numbers[i] - numbers[i - 1]) < step)) {
      step = std::abs(numbers[i] - numbers[i - 1]);
    }
    size = std::max(size, std::abs(numbers[i]));
  }
  int digits = step > 0 ? std::clamp(2 + static_cast<int>(std::log10(size / step)), 3, 15) : 6;
  if (size < 1e6) digits = std::max(digits, 6);  // 1000, not 1e3
  for (const double number : numbers) {
    const double place = Place(number);
    if (place > -kTolerance && place < 1 + kTolerance) marks.push_back({place, ShortNumber(number, digits)});
  }
  return marks;
}

}  // namespace leat::tuner
