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
              {{{"owner_pids", {7}}, {"leased", true}, {"reads", 3}, {"stalled_seconds", first_stalled}},
               {{"owner_pids", {8}}, {"leased", true}, {"stalled_seconds", second_stalled}},
               {{"owner_pids", {9}}, {"leased", false}, {"stalled_seconds", 99.0}}}}},
            {{"id", "fs-2"}, {"name", "other"}, {"repository", "s3://other/"}, {"bytes", 5000}}}}};
}

TEST(DataWatch, TellsHowMuchIsHereAndHowLongItsReadersWait) {
  DaemonDataWatcher watcher("/nowhere");
  for (const char* name : {"fs-1", "data", "s3://data/", "s3://data"}) {
    const auto state = watcher.Read(StatusWith(0, 0, 100), {name}, 0);
    EXPECT_DOUBLE_EQ(state.part_here, 0.25) << name;
    EXPECT_TRUE(state.fits && state.is_listed) << name;
  }
  const auto later = watcher.Read(StatusWith(2, 1, 200), {"data"}, 2);
  EXPECT_DOUBLE_EQ(later.part_here, 0.5);
  EXPECT_DOUBLE_EQ(later.part_waiting, 0.75);  // 3 of 4 seconds
  EXPECT_EQ(later.readers, 1u);                // the other has not begun to read
  EXPECT_DOUBLE_EQ(watcher.Read(StatusWith(9, 9, 200), {"data"}, 3600).part_waiting, 0);
  EXPECT_FALSE(watcher.Read(StatusWith(0, 0, 0), {"other"}, 1).fits);
}

TEST(DataWatch, WhatIsNotMountedYetIsNotListed) {
  DaemonDataWatcher watcher("/nowhere");
  EXPECT_FALSE(watcher.Read(StatusWith(0, 0, 0), {"s3://new/"}, 1).is_listed);
  EXPECT_FALSE(watcher.Read(StatusWith(0, 0, 400), {"data", "s3://new/"}, 1).is_listed);
  EXPECT_FALSE(watcher.Read(Json::object(), {"data"}, 1).is_listed);
  Json first = StatusWith(0, 0, 0);
  first["file_systems"][0]["import"] = {{"state", "running"}, {"imported_at", nullptr}};
  EXPECT_FALSE(watcher.Read(first, {"data"}, 1).is_listed);
  first["file_systems"][0]["import"]["imported_at"] = "2026-01-02T03:04:05Z";  // and refreshed now
  EXPECT_TRUE(watcher.Read(first, {"data"}, 1).is_listed);
}

}  // namespace
}  // namespace leat::cli
