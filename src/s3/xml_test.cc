// SPDX-License-Identifier: Apache-2.0
#include "s3/xml.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <ctime>

#include "base/random.h"

namespace leat::s3 {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(IsoTime, AgreesWithTheLibraryOnEverySecondOfTwoCenturies) {
  Random random(1, 0);
  for (int i = 0; i < 100'000; ++i) {
    const auto seconds = static_cast<time_t>(random.Below(7'200'000'000)) - 200'000'000;
    std::tm parts{};
    ASSERT_NE(gmtime_r(&seconds, &parts), nullptr);
    char text[40];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    for (const std::string ending : {"", "Z", ".000Z"}) {
      const auto time = ParseIsoTime(text + ending);
      ASSERT_TRUE(time) << text << ending;
      ASSERT_EQ(*time, int64_t{seconds} * kSecond) << text << ending;
    }
    EXPECT_EQ(*ParseIsoTime(std::string(text) + ".120Z"), int64_t{seconds} * kSecond + 120'000'000) << text;
  }
}

TEST(IsoTime, RefusesWhatIsNone) {
  for (const char* text : {"", "2026", "2026-01-02", "2026-01-02T03:04", "yesterday", "2026-13-02T03:04:05Z",
                           "2026-01-02T25:04:05Z", "9999-01-02T03:04:05Z"}) {
    EXPECT_FALSE(ParseIsoTime(text)) << text;
  }
}

}  // namespace
}  // namespace leat::s3
