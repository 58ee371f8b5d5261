// SPDX-License-Identifier: Apache-2.0
#include "model/key_rules.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"

namespace leat {
namespace {

using Names = std::vector<std::string>;

std::string Bytes(std::string_view text) { return std::string(text); }

TEST(KeyRules, TableOfDecidedNames) {
  using namespace std::string_view_literals;
  const struct {
    std::string_view key;
    Names names;
    PathKind kind;
  } rows[] = {
      {"a", {"a"}, PathKind::kFile},
      {"a/b", {"a", "b"}, PathKind::kFile},
      {"", {}, PathKind::kDirectory},
      {"a/", {"a"}, PathKind::kDirectory},
      {"/", {"@leat-empty"}, PathKind::kDirectory},
      {"a//b", {"a", "@leat-empty", "b"}, PathKind::kFile},
      {"./..", {"@leat-dot", "@leat-dotdot"}, PathKind::kFile},
      {"...", {"..."}, PathKind::kFile},
      {"\xff\x01 %", {"\xff\x01 %"}, PathKind::kFile},
      {"a\0%"sv, {"@leat-enc-a%00%25"}, PathKind::kFile},
      {"@leat-object", {"@leat-enc-@leat-object"}, PathKind::kFile},
      {"@leat", {"@leat"}, PathKind::kFile},
  };
  for (const auto& row : rows) {
    const KeyPath path = PathOfKey(row.key);
    EXPECT_EQ(path.names, row.names) << row.key;
    EXPECT_EQ(path.kind, row.kind) << row.key;
    EXPECT_EQ(KeyOfPath(row.names, row.kind), Bytes(row.key));
  }
}

TEST(KeyRules, LongComponentsAreNestedAndCutBetweenCharacters) {
  const std::string long_name(600, 'x');
  const Names names = PathOfKey("d/" + long_name + "/f").names;
  ASSERT_EQ(names.size(), 5u);
  EXPECT_EQ(names[1], "@leat-part-" + std::string(240, 'x'));
  EXPECT_EQ(names[2], "@leat-part-" + std::string(240, 'x'));
  EXPECT_EQ(names[3], "@leat-last-" + std::string(120, 'x'));
  EXPECT_EQ(KeyOfPath(std::span(names).first(2), PathKind::kDirectory), "d/" + std::string(240, 'x'));
  EXPECT_EQ(KeyOfPath(std::span(names).first(2), PathKind::kFile), std::nullopt);

  std::string accents = "a";
  for (int i = 0; i < 150; ++i) accents += "\xc3\xa9";
  const Names cut = PathOfKey(accents).names;
  ASSERT_EQ(cut.size(), 2u);
  EXPECT_EQ(cut[0].size(), 11u + 239u);  // a two-byte character does not straddle the cut

  EXPECT_EQ(PathOfKey(std::string(255, 'x')).names, Names{std::string(255, 'x')});
  // Encoding can push a name over the limit.
  const Names encoded = PathOfKey("@leat-" + std::string(246, '%')).names;
  ASSERT_GT(encoded.size(), 1u);
  for (const auto& name : encoded) EXPECT_LE(name.size(), kNameBytesMax);
}

TEST(KeyRules, InverseOfReservedFiles) {
  EXPECT_EQ(KeyOfPath(Names{"x", "@leat-object"}, PathKind::kFile), "x");
  EXPECT_EQ(KeyOfPath(Names{"x", "@leat-body"}, PathKind::kFile), "x/");
  EXPECT_EQ(KeyOfPath(Names{"@leat-body"}, PathKind::kFile), "");
  EXPECT_EQ(KeyOfPath(Names{"@leat-object"}, PathKind::kFile), std::nullopt);
  EXPECT_EQ(KeyOfPath(Names{"@leat-unknown"}, PathKind::kFile), std::nullopt);
  EXPECT_EQ(KeyOfPath(Names{"@leat-enc-plain"}, PathKind::kFile), std::nullopt);  // not how `plain` is spelt
  EXPECT_EQ(KeyOfPath(Names{"@leat-last-short"}, PathKind::kFile), std::nullopt);
  EXPECT_EQ(KeyOfPath(Names{"@leat-empty"}, PathKind::kFile), std::nullopt);
}

std::string RandomKey(Random& random) {
  static const std::string pieces[] = {"/",
                                       "//",
                                       ".",
                                       "..",
                                       "@leat-",
                                       "@leat-object",
                                       "@leat-enc-",
                                       "%",
                                       "%00",
                                       "%25",
                                       "a",
                                       "b",
                                       std::string(1, '\0'),
                                       "\xff",
                                       "\xc3\xa9",
                                       "\xe2\x82\xac",
                                       std::string(100, 'z')};
  std::string key;
  const uint64_t count = random.Below(8);
  for (uint64_t i = 0; i < count; ++i) {
    if (random.Below(4) == 0) {
      key += static_cast<char>(random.Below(256));
    } else {
      key += pieces[random.Below(std::size(pieces))];
    }
    if (random.Below(10) == 0) key += std::string(random.Below(400), random.Below(2) ? '%' : 'q');
  }
  return key;
}

TEST(KeyRules, RandomKeysRoundTripAndNeverMeet) {
  Random random(7);
  std::map<std::pair<Names, bool>, std::string> keys;
  for (int i = 0; i < 20'000; ++i) {
    const std::string key = RandomKey(random);
    const KeyPath path = PathOfKey(key);
    for (const auto& name : path.names) {
      ASSERT_FALSE(name.empty());
      ASSERT_LE(name.size(), kNameBytesMax);
      ASSERT_EQ(name.find('/'), std::string::npos);
      ASSERT_EQ(name.find('\0'), std::string::npos);
      ASSERT_NE(name, ".");
      ASSERT_NE(name, "..");
    }
    ASSERT_EQ(KeyOfPath(path.names, path.kind), key);
    const auto [at, is_new] = keys.try_emplace({path.names, path.kind == PathKind::kDirectory}, key);
    ASSERT_TRUE(is_new || at->second == key);
  }
  EXPECT_GT(keys.size(), 5'000u);
}

}  // namespace
}  // namespace leat
