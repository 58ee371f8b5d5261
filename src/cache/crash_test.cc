// SPDX-License-Identifier: Apache-2.0
// The process ends at each named step of writing, replacing and releasing; what was acknowledged before is there
// afterwards, nothing is wrong, and the counters agree with the blocks on disk.
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "cache/cache_testing.h"
#include "cache/records.h"
#include "cache/step.h"

namespace leat::cache {
namespace {

constexpr uint64_t kLarge = (9u << 20) + 12345;
const char* stop_at = nullptr;

void StopHere(const char* name) {
  if (std::string_view(name) == stop_at) ::_exit(9);
}

class Crash : public testing::TestWithParam<const char*> {};

TEST_P(Crash, LosesNothingAcknowledgedAndLeaksNothing) {
  Directory directory;
  const auto kept = MakeObject(1, "kept", 110000), kept_large = MakeObject(1, "kept large", kLarge);
  const auto fresh = MakeObject(1, "fresh", 500000), fresh_large = MakeObject(1, "fresh large", kLarge + 1);
  const auto gone = MakeObject(2, "gone", 50000), gone_large = MakeObject(2, "gone large", kLarge);
  const pid_t child = ::fork();
  if (child == 0) {
    auto cache = Cache::Open({directory.path(), 256u << 20, 1u << 20}, {});
    if (!cache) ::_exit(1);
    for (const auto& object : {kept, kept_large, gone, gone_large}) {
      if (!Store(**cache, object)) ::_exit(2);
    }
    stop_at = GetParam();
    step_observer = StopHere;
    (void)Store(**cache, fresh).has_value();
    (void)Store(**cache, kept).has_value();  // replaces
    (void)Store(**cache, fresh_large).has_value();
    (void)Store(**cache, MakeObject(2, "another segment", 900000)).has_value();
    (*cache)->ReleaseDataset(DatasetId{2});
    ::_exit(3);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  ASSERT_EQ(WEXITSTATUS(status), 9) << "the step was not reached";

  auto cache = OpenCache(directory);
  EXPECT_EQ(ReadBack(*cache, kept), Found::kRight);
  EXPECT_EQ(ReadBack(*cache, kept_large), Found::kRight);
  uint64_t blocks = 0, used = 0;
  used = cache->Statistics().used_bytes;
  blocks = directory.BlocksOnDisk();
  EXPECT_LE(blocks, used + 32 * kPageBytes);
  EXPECT_GE(blocks + kPageBytes, used);
  for (const auto& object : {fresh, fresh_large, gone, gone_large}) EXPECT_NE(ReadBack(*cache, object), Found::kWrong);
  EXPECT_EQ(cache->Statistics().corrupt, 0u);
  for (const uint32_t dataset : {1u, 2u}) {
    cache->ReleaseDataset(DatasetId{dataset});
    EXPECT_EQ(cache->Usage(DatasetId{dataset}).bytes, 0u);
    EXPECT_EQ(cache->Usage(DatasetId{dataset}).objects, 0u);
  }
  cache.reset();
  EXPECT_LE(directory.BlocksOnDisk(), 4 * kPageBytes);
}

int steps_left = 0;

void StopAtStep(const char* name) {
  if (std::string_view(name) == "emptied" && --steps_left == 0) ::_exit(9);
}

TEST(CrashWhileEmptying, IsMadeUpForAtTheNextOpen) {
  for (int steps = 1; steps <= 4; ++steps) {
    Directory directory;
    const auto small = MakeObject(1, "small", 110000), large = MakeObject(1, "large", kLarge);
    const pid_t child = ::fork();
    if (child == 0) {
      {
        auto cache = Cache::Open({directory.path(), 256u << 20}, {});
        if (!cache || !Store(**cache, small) || !Store(**cache, large)) ::_exit(1);
      }
      std::ofstream(directory.path() + "/index/CURRENT", std::ios::trunc) << "nonsense";
      steps_left = steps;
      step_observer = StopAtStep;
      (void)Cache::Open({directory.path(), 256u << 20}, {}).has_value();
      ::_exit(3);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_EQ(WEXITSTATUS(status), 9) << "the step was not reached";
    EXPECT_EQ(std::filesystem::exists(directory.path() + "/index-damaged"), steps < 4);
    auto cache = OpenCache(directory);
    EXPECT_EQ(directory.BlocksOnDisk(), 0u) << steps;
    EXPECT_FALSE(std::filesystem::exists(directory.path() + "/index-damaged"));
    ASSERT_TRUE(Store(*cache, large));
    EXPECT_EQ(ReadBack(*cache, large), Found::kRight);
  }
}

INSTANTIATE_TEST_SUITE_P(Steps, Crash,
                         testing::Values("segment.recorded", "small.reserved", "small.written", "small.recorded",
                                         "large.intended", "large.reserved", "large.written", "large.recorded",
                                         "release.recorded"));

}  // namespace
}  // namespace leat::cache
