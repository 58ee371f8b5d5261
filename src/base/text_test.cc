// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <gtest/gtest.h>

namespace leat {
namespace {

TEST(FormatBytes, ThreeDigitsAndABinaryUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(512), "512 B");
  EXPECT_EQ(FormatBytes(1536), "1.50 KiB");
  EXPECT_EQ(FormatBytes(110 << 10), "110 KiB");
  EXPECT_EQ(FormatBytes(1023), "1.00 KiB");
  EXPECT_EQ(FormatBytes(uint64_t{3} << 40), "3.00 TiB");
}

TEST(ParseBytes, UnitsInAnySpelling) {
  EXPECT_EQ(*ParseBytes("4096"), 4096u);
  EXPECT_EQ(*ParseBytes("10G"), uint64_t{10} << 30);
  EXPECT_EQ(*ParseBytes("512MiB"), uint64_t{512} << 20);
  EXPECT_EQ(*ParseBytes("1.5 kb"), 1536u);
  EXPECT_EQ(*ParseBytes("7b"), 7u);
}

TEST(ParseBytes, RefusesWhatIsNoSize) {
  for (const char* text : {"", "G", "-1", "10X", "10GG", "1e300", "nan", "10 G x"}) {
    EXPECT_FALSE(ParseBytes(text)) << text;
  }
}

TEST(PercentEncode, AsSigV4WantsIt) {
  EXPECT_EQ(PercentEncode("a b+c/\xc3\xa9~=", true), "a%20b%2Bc/%C3%A9~%3D");
  EXPECT_EQ(PercentEncode("a/b", false), "a%2Fb");
}

TEST(PercentDecode, PlusAndMalformedEscapes) {
  EXPECT_EQ(PercentDecode("a+b%2By", true), "a b+y");
  EXPECT_EQ(PercentDecode("a+b", false), "a+b");
  EXPECT_EQ(PercentDecode("100%", true), "100%");
  EXPECT_EQ(PercentDecode("%zz%4", true), "%zz%4");
  EXPECT_EQ(PercentDecode("%00", true), std::string(1, '\0'));
}

TEST(Utf8SequenceLength, RefusesOverlongAndSurrogates) {
  EXPECT_EQ(Utf8SequenceLength("\xc3\xa9"), 2u);
  EXPECT_EQ(Utf8SequenceLength("\xc0\x80"), 0u);
  EXPECT_EQ(Utf8SequenceLength("\xed\xa0\x80"), 0u);
  EXPECT_EQ(Utf8SequenceLength("\xf0\x9f\x92\xa7"), 4u);
  EXPECT_EQ(Utf8SequenceLength("\xe2\x82"), 0u);
}

TEST(Characters, AreCountedAndNotCut) {
  EXPECT_EQ(CharacterCount("a\xc3\xa4\xe6\xbc\xa2"), 3u);
  EXPECT_EQ(CharacterCount("\x80\x80\xe6\xbc"), 4u);
  EXPECT_EQ(CutToCharacters("a\xc3\xa4\xe6\xbc\xa2z", 2), "a\xc3\xa4");
  EXPECT_EQ(CutToCharacters("ab", 2), "ab");
  EXPECT_EQ(CutToCharacters("", 2), "");
}

TEST(Text, SplitTrimSecondsTime) {
  EXPECT_EQ(Split("a,,b", ','), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(Trim(" \t a b\n"), "a b");
  EXPECT_EQ(FormatSeconds(200), "3 min 20 s");
  EXPECT_EQ(FormatSeconds(7500), "2 h 05 min");
  EXPECT_EQ(FormatTimeUtc(1767323045'000'000'000), "2026-01-02T03:04:05Z");
}

}  // namespace
}  // namespace leat
