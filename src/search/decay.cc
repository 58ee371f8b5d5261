// SPDX-License-Identifier: Apache-2.0
#include "search/decay.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace leat::search {
namespace {

using Eigen::Index;

constexpr Index kLanes = 4;
using Doubles = double __attribute__((vector_size(kLanes * sizeof(double))));
using Integers = int64_t __attribute__((vector_size(kLanes * sizeof(double))));

constexpr double kScaledMax = 700;
constexpr double kLog2E = 1.44269504088896340736;
constexpr double kLog2High = 6.93147180369123816490e-01, kLog2Low = 1.90821492927058770002e-10;  // ln 2, in two parts
constexpr double kRounding = 0x1.8p52;  // added to a small number, leaves the nearest whole number in its low bits
constexpr int kMantissaBits = 52, kExponentBias = 1023;
constexpr int kTerms = 14;  // of the series of e^x; 1 / n!
constexpr double kTerm[kTerms] = {
    1,         1,          1. / 2,      1. / 6,       1. / 24,       1. / 120,       1. / 720,
    1. / 5040, 1. / 40320, 1. / 362880, 1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800};

// 2^k times e^r, |r| <= ln 2 / 2, by its series.
[[gnu::always_inline]] inline void DecayLanes(const double* scaled, double* decays) {
  Doubles s;
  std::memcpy(&s, scaled, sizeof(s));
  s = s > kScaledMax ? Doubles{} + kScaledMax : s;
  const Doubles shifted = kRounding - s * kLog2E;
  const Doubles whole = shifted - kRounding;
  const Doubles rest = (-s - whole * kLog2High) - whole * kLog2Low;
  Doubles sum = Doubles{} + kTerm[kTerms - 1];
#pragma GCC unroll 14
  for (int term = kTerms - 2; term >= 0; --term) sum = sum * rest + kTerm[term];
  Integers bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits << kMantissaBits) + (int64_t{kExponentBias} << kMantissaBits);
  Doubles power;
  std::memcpy(&power, &bits, sizeof(power));
  sum *= power;
  std::memcpy(decays, &sum, sizeof(sum));
}

[[gnu::always_inline]] inline void DecayAll(const double* scaled, double* decays, Index size) {
  Index i = 0;
  for (; i + kLanes <= size; i += kLanes) DecayLanes(scaled + i, decays + i);
  if (i == size) return;
  double rest[kLanes] = {};
  std::copy(scaled + i, scaled + size, rest);
  DecayLanes(rest, rest);
  std::copy(rest, rest + (size - i), decays + i);
}

#ifdef __x86_64__
// Without FMA, whose roundings would differ.
[[gnu::target("avx2")]] void DecayByAvx2(const double* scaled, double* decays, Index size) {
  DecayAll(scaled, decays, size);
}
#endif

}  // namespace

void Decay(const double* scaled, double* decays, Index size) {
#ifdef __x86_64__
  static const bool has_avx2 = __builtin_cpu_supports("avx2");
  if (has_avx2) return DecayByAvx2(scaled, decays, size);
#endif
  DecayAll(scaled, decays, size);
}

}  // namespace leat::search
