// SPDX-License-Identifier: Apache-2.0
// A Sobol sequence (Bratley and Fox 1988), scrambled as Owen does (nested uniform scrambling, 1995): any 2^k first
// points have one in each of 2^k equal slices of every dimension. Any thread.
#pragma once

#include <cstdint>

namespace leat::search {

// Coordinate `dimension` of point `index` (both from 0), in [0, 1). Dimensions from kSobolDimensions on are independent
// draws.
inline constexpr uint32_t kSobolDimensions = 53;
double ScrambledSobol(uint64_t seed, uint32_t index, uint32_t dimension);

}  // namespace leat::search
