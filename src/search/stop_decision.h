// SPDX-License-Identifier: Apache-2.0
// Whether a trial goes on, as decided after one of its reports; what the rules that decide it share. Values only; any
// thread.
#pragma once

#include <string>

namespace leat::search {

struct StopDecision {
  bool stop = false;
  std::string reason;  // for people, with the numbers compared; empty: it goes on

  bool operator==(const StopDecision&) const = default;
};

// Lower is better; an objective that is not finite is the worst.
double Cost(double objective, bool maximize);

// Six significant digits, or as many as tell it from the number that stands beside it in a text.
std::string NumberText(double number, double beside);

}  // namespace leat::search
