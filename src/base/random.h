// SPDX-License-Identifier: Apache-2.0
// A counter-based random generator (SplitMix64 over seed and counter): the same numbers on every compiler and machine,
// for anything stored, shared or tested. Not for secrets.
//
//   Random random(seed, stream);  random.Below(6);  random.Unit();
#pragma once

#include <cstdint>
#include <utility>

namespace leat {

__extension__ typedef unsigned __int128 Wide;

class Random {  // confined to one thread
 public:
  explicit Random(uint64_t seed, uint64_t stream = 0) : state_(Mix(seed ^ Mix(stream + 0x632be59bd9b4e019u))) {}

  uint64_t Next() { return Mix(state_ += 0x9e3779b97f4a7c15u); }
  // Uniform in [0, bound); bound > 0. The bias is below bound / 2^64.
  uint64_t Below(uint64_t bound) { return static_cast<uint64_t>((static_cast<Wide>(Next()) * bound) >> 64); }
  // Uniform in [0, 1), 53 bits.
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

  static uint64_t Mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

// Fisher-Yates with our generator: the same order on every compiler.
template <class Container>
void Shuffle(Container& items, Random& random) {
  for (uint64_t i = items.size(); i > 1; --i) {
    using std::swap;
    swap(items[i - 1], items[random.Below(i)]);
  }
}

}  // namespace leat
