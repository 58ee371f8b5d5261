// SPDX-License-Identifier: Apache-2.0
#include "cli/data_watch.h"

#include <gmock/gmock.h>

namespace leat::cli {
namespace {

using Json = nlohmann::json;

Json StatusWith(double first_stalled, double second_stalled, uint64_t restored) {
  return {{"capacity", {{"total_bytes", 1000}}},
          {"file_systems",
           {{{"id", "fs-1"},
             {"name", "data"},
             {"repository", "s3://data/"},
             {"import", {{"state", "complete"}}},
             {"bytes", 400},
             {"restored", {{"bytes", restored}}},
             {"jobs",
              {{{"owner_pids", {7}}, {"leased", true}, {"stalled_seconds", first_stalled}},
               {{"owner_pids", {8}}, {"leased", true}, {"stalled_seconds", second_stalled}},
               {{"owner_pids", {9}}, {"leased", false}, {"stalled_seconds", 99.0}}}}},
            {{"id", "fs-2"}, {"name", "other"}, {"repository", "s3://other/"}, {"bytes", 5000}}}}};
}

TEST(DataWatch, TellsHowMuchIsHereAndHowLongItsReadersWait) {
  DaemonDataWatcher watcher("/nowhere");
  for (const char* name : {"fs-1", "data", "s3://data/", "s3://data"}) {
    const auto state = watcher.Read(StatusWith(0, 0, 100), {name}, 0);
    ASSERT_TRUE(state) << name;
    EXPECT_DOUBLE_EQ(state->part_here, 0.25);
    EXPECT_TRUE(state->fits);
  }
  const auto later = watcher.Read(StatusWith(2, 1, 200), {"data"}, 2);
  EXPECT_DOUBLE_EQ(later->part_here, 0.5);
  EXPECT_DOUBLE_EQ(later->part_waiting, 0.75);  // 3 of 4 seconds
  EXPECT_DOUBLE_EQ(watcher.Read(StatusWith(9, 9, 200), {"data"}, 3600)->part_waiting, 0);
  EXPECT_FALSE(watcher.Read(StatusWith(0, 0, 0), {"none"}, 1));
  EXPECT_FALSE(watcher.Read(StatusWith(0, 0, 0), {"other"}, 1)->fits);
}

}  // namespace
}  // namespace leat::cli
