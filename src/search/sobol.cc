// SPDX-License-Identifier: Apache-2.0
#include "search/sobol.h"

#include <array>

#include "base/random.h"

namespace leat::search {
namespace {

constexpr uint32_t kBits = 32;
constexpr uint32_t kDegreeMax = 8;
constexpr uint64_t kDirectionSeed = 20;

using Directions = std::array<uint32_t, kBits>;

// A polynomial over GF(2), the lowest bit the constant term, is primitive when x has the order 2^degree - 1 modulo it.
bool IsPrimitive(uint32_t polynomial, uint32_t degree) {
  const uint32_t order = (1u << degree) - 1;
  uint32_t power = 1;
  for (uint32_t i = 1; i <= order; ++i) {
    power <<= 1;
    if (power >> degree) power ^= polynomial;
    if (power == 1) return i == order;
  }
  return false;
}

Directions DirectionsOf(uint32_t polynomial, uint32_t degree, Random& random) {
  Directions directions{};
  for (uint32_t k = 0; k < kBits; ++k) {
    if (k < degree) {  // any odd number below 2^(k+1)
      directions[k] = static_cast<uint32_t>(2 * random.Below(1u << k) + 1) << (kBits - 1 - k);
      continue;
    }
    directions[k] = directions[k - degree] ^ (directions[k - degree] >> degree);
    for (uint32_t term = 1; term < degree; ++term) {
      if (polynomial >> (degree - term) & 1) directions[k] ^= directions[k - term];
    }
  }
  return directions;
}

std::array<Directions, kSobolDimensions> MakeDirections() {
  std::array<Directions, kSobolDimensions> all{};
  for (uint32_t k = 0; k < kBits; ++k) all[0][k] = 1u << (kBits - 1 - k);
  Random random(kDirectionSeed);
  uint32_t dimension = 1;
  for (uint32_t degree = 1; degree <= kDegreeMax; ++degree) {
    for (uint32_t polynomial = (1u << degree) + 1; polynomial < 2u << degree; polynomial += 2) {
      if (dimension == kSobolDimensions) return all;
      if (IsPrimitive(polynomial, degree)) all[dimension++] = DirectionsOf(polynomial, degree, random);
    }
  }
  return all;
}

// Flips each bit as a hash of the bits above it says.
uint32_t Scramble(uint32_t x, uint64_t key) {
  uint32_t scrambled = 0;
  for (uint32_t k = 0; k < kBits; ++k) {
    const uint64_t above = (uint64_t{1} << k) | (k == 0 ? 0 : x >> (kBits - k));
    const uint32_t flip = static_cast<uint32_t>(Random::Mix(key ^ Random::Mix(above)) >> 63);
    scrambled |= ((x >> (kBits - 1 - k) & 1) ^ flip) << (kBits - 1 - k);
  }
  return scrambled;
}

}  // namespace

double ScrambledSobol(uint64_t seed, uint32_t index, uint32_t dimension) {
  const uint64_t key = Random(seed, dimension).Next();
  if (dimension >= kSobolDimensions) return Random(key, index).Unit();
  static const auto directions = MakeDirections();
  uint32_t x = 0;
  for (uint32_t k = 0; k < kBits; ++k) {
    if (index >> k & 1) x ^= directions[dimension][k];
  }
  return (Scramble(x, key) + 0.5) * 0x1.0p-32;
}

}  // namespace leat::search
