// SPDX-License-Identifier: Apache-2.0
#include "catalog/key_range.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace leat::catalog {
namespace {

TEST(KeyRange, CutsLieInsideAndAscend) {
  Random random(5);
  size_t cut_count = 0;
  for (int i = 0; i < 5000; ++i) {
    const auto key = [&] {
      static const std::string pieces[] = {"0", "7", "a", "/", "\xc3\xa9", "\xff", "z"};
      std::string text = "p/";
      for (uint64_t n = random.Below(12) + 1; n > 0; --n) text += pieces[random.Below(std::size(pieces))];
      return text;
    };
    KeyAlphabet alphabet;
    std::string keys[] = {key(), key(), key()};
    std::sort(std::begin(keys), std::end(keys));
    for (const auto& text : keys) alphabet.Learn(std::string_view(text).substr(2));
    KeyRange range{"p/", keys[0], keys[1], std::nullopt, 1};
    if (random.Below(2)) range.until = keys[2];
    const bool whole_names = random.Below(2);
    EXPECT_GE(EstimatePagesLeft(range, alphabet), 0);
    std::string before = keys[1];
    for (const auto& cut : CutPoints(range, alphabet, 15, whole_names)) {
      ASSERT_GT(cut, before);
      if (range.until) {
        ASSERT_LT(cut, *range.until);
      }
      if (whole_names) {
        ASSERT_EQ(cut.find('/', 2), std::string::npos);
      }
      before = cut;
      ++cut_count;
    }
  }
  EXPECT_GT(cut_count, 10'000u);
}

TEST(KeyRange, CutsANumberedRangeEvenly) {
  KeyAlphabet alphabet;
  alphabet.Learn("0123456789");
  const auto cuts = CutPoints({"", "1000", "1999", "9999", 1}, alphabet, 3, false);
  ASSERT_EQ(cuts.size(), 3u);
  EXPECT_EQ(cuts[1].substr(0, 1), "5");
  EXPECT_GT(EstimatePagesLeft({"", "1000", "1999", "9999", 1}, alphabet), 5);
}

}  // namespace
}  // namespace leat::catalog
