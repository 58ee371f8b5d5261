// SPDX-License-Identifier: Apache-2.0
// The point that promises most by a Surrogate. Any thread.
#pragma once

#include <functional>
#include <optional>

#include "search/surrogate.h"

namespace leat::search {

// Whether a point, snapped, is among the trials.
using IsTaken = std::function<bool(const Point& point)>;

// nullopt: everything that was looked at is taken. The result is snapped.
std::optional<Point> MostPromising(const Space& space, const Surrogate& surrogate, const IsTaken& is_taken,
                                   Random& random);

}  // namespace leat::search
