// SPDX-License-Identifier: Apache-2.0
#include "search/stop_decision.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace leat::search {
namespace {

constexpr int kDigitsMin = 6;
constexpr int kDigitsMax = std::numeric_limits<double>::max_digits10;

std::string Digits(double number, int digits) {
  if (std::isnan(number)) return "nan";  // without a sign
  if (number == 0) return "0";           // likewise
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, number, std::chars_format::general, digits).ptr};
}

}  // namespace

double Cost(double objective, bool maximize) {
  if (!std::isfinite(objective)) return std::numeric_limits<double>::infinity();
  return maximize ? -objective : objective;
}

std::string NumberText(double number, double beside) {
  int digits = kDigitsMin;
  while (digits < kDigitsMax && Digits(number, digits) == Digits(beside, digits)) ++digits;
  return Digits(number, digits);
}

}  // namespace leat::search
