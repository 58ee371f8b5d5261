// SPDX-License-Identifier: Apache-2.0
// Where to cut a range of keys so that several LISTs can share it, knowing only the keys seen so far. A wrong guess
// costs an empty LIST and tightens the next one; it never loses a key, since ranges stay contiguous whatever the cuts
// are. Pure; any thread.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace leat::catalog {

// Bytes that keys are made of, as far as seen. Printable ASCII only: a cut is sent to servers, which may want valid
// UTF-8.
class KeyAlphabet {
 public:
  void Learn(std::string_view key);
  std::string_view symbols() const { return symbols_; }  // ascending

 private:
  std::bitset<128> seen_;
  std::string symbols_;
};

struct KeyRange {
  std::string_view prefix;                // all keys begin with it
  std::string_view first;                 // the first key seen
  std::string_view last;                  // the last key seen
  std::optional<std::string_view> until;  // keys up to this one, itself included; absent: to the end of the prefix
  uint64_t pages = 0;                     // how many pages it took from first to last
};

// How many pages are left if keys go on as densely as between first and last. A guess.
double EstimatePagesLeft(const KeyRange& range, const KeyAlphabet& alphabet);
// At most `count` ascending cuts, each > last and < until. `whole_names`: without '/' behind the prefix (delimited
// listings, where a cut inside a common prefix would show it on both sides or on none).
std::vector<std::string> CutPoints(const KeyRange& range, const KeyAlphabet& alphabet, size_t count, bool whole_names);

}  // namespace leat::catalog
