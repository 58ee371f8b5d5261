// SPDX-License-Identifier: Apache-2.0
#include "cli/job_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace leat::cli {
namespace {

std::vector<ListedJob> Jobs() {
  return {{"sweep", "Completed", "Completed: 2 done", 30, true},
          {"beta", "Failed", "Failed", 10},
          {"alpha", "Completed", "Completed", 20},
          {"alpine", "InProgress", "Training", 40}};
}

std::vector<std::string> Names(const ListSelection& selection) {
  std::vector<std::string> names;
  for (const auto& job : SelectJobs(Jobs(), selection)) names.push_back(job.name);
  return names;
}

TEST(JobListTest, WithoutWishesTheOrderStays) {
  EXPECT_THAT(Names({}), testing::ElementsAre("sweep", "beta", "alpha", "alpine"));
}

TEST(JobListTest, SelectsByStatusAndPartOfTheName) {
  EXPECT_THAT(Names({.status = "completed"}), testing::ElementsAre("sweep", "alpha"));
  EXPECT_THAT(Names({.name_contains = "ALP"}), testing::ElementsAre("alpha", "alpine"));
  EXPECT_THAT(Names({.status = "Failed", .name_contains = "alp"}), testing::IsEmpty());
}

TEST(JobListTest, SortsAndCuts) {
  EXPECT_THAT(Names({.order = ListOrder::kName}), testing::ElementsAre("alpha", "alpine", "beta", "sweep"));
  EXPECT_THAT(Names({.order = ListOrder::kStatus}), testing::ElementsAre("sweep", "alpha", "beta", "alpine"));
  EXPECT_THAT(Names({.descending = true}), testing::ElementsAre("alpine", "sweep", "alpha", "beta"));
  EXPECT_THAT(Names({.max = 2}), testing::ElementsAre("beta", "alpha"));
  EXPECT_THAT(Names({.max = 2, .order = ListOrder::kCreation, .descending = true}),
              testing::ElementsAre("alpine", "sweep"));
  EXPECT_THAT(Names({.max = 9, .order = ListOrder::kStatus, .descending = true}),
              testing::ElementsAre("alpine", "beta", "sweep", "alpha"));
}

TEST(JobListTest, IsAlignedAndALongNameHasALineOfItsOwn) {
  std::vector<ListedJob> jobs = {{"a", "Failed", "Failed", 0}, {std::string(60, 'n'), "Completed", "Completed", 0}};
  EXPECT_EQ(ListText(jobs), "a  Failed     01-01 00:00\n" + std::string(60, 'n') + "\n   Completed  01-01 00:00\n");
}

}  // namespace
}  // namespace leat::cli
