// SPDX-License-Identifier: Apache-2.0
#include "jobs/resource_pool.h"

#include <gmock/gmock.h>

namespace leat::jobs {
namespace {

using testing::ElementsAre;

const std::vector<std::string> kAll = {"0", "1", "2", "3"};

TEST(ResourcePool, GivesEachGpuOnce) {
  ResourcePool pool(8, 0, kAll);
  const auto first = pool.Take({2, 1}, 1, kAll);
  const auto second = pool.Take({2, 2}, 1, kAll);
  ASSERT_TRUE(first && second);
  EXPECT_THAT(first->gpus, ElementsAre(ElementsAre("0")));
  EXPECT_THAT(second->gpus, ElementsAre(ElementsAre("1", "2")));
  EXPECT_FALSE(pool.Take({2, 2}, 1, kAll));
  pool.Return(*first);
  EXPECT_THAT(pool.Take({2, 2}, 1, kAll)->gpus, ElementsAre(ElementsAre("0", "3")));
  EXPECT_EQ(pool.gpus_free(), 0u);
  EXPECT_EQ(pool.cpus_free(), 4u);
}

TEST(ResourcePool, GivesEachPortOnce) {
  ResourcePool pool(8, 0, kAll);
  Placement first, second, third;
  pool.TakePort(first);
  pool.TakePort(second);
  EXPECT_EQ(first.port, 7777u);
  EXPECT_EQ(second.port, 7778u);
  pool.Return(first);
  pool.TakePort(third);
  EXPECT_EQ(third.port, 7777u);
  ResourcePool next(8, 0, kAll);  // of a supervisor that comes after
  next.TakeAgain(PlacementFrom(ToJson(third)));
  next.TakePort(first);
  EXPECT_EQ(first.port, 7778u);
}

TEST(ResourcePool, HostsShareTheMachine) {
  ResourcePool pool(8, 0, kAll);
  EXPECT_THAT(pool.Take({2, 1}, 2, kAll)->gpus, ElementsAre(ElementsAre("0"), ElementsAre("1")));
  EXPECT_THAT(pool.Take({1, 1}, 1, {"3"})->gpus, ElementsAre(ElementsAre("3")));
}

TEST(ResourcePool, WhatIsLargerThanTheMachineGetsAllOfIt) {
  ResourcePool pool(2, 0, {"0"});
  const auto placement = pool.Take({96, 8}, 2, {"0"});
  ASSERT_TRUE(placement);
  EXPECT_EQ(placement->cpus, 2u);
  EXPECT_THAT(placement->gpus, ElementsAre(ElementsAre("0"), ElementsAre()));
  EXPECT_FALSE(pool.Take({1, 0}, 1, {"0"}));
  pool.Return(*placement);
  EXPECT_EQ(pool.cpus_free(), 2u);
  EXPECT_EQ(pool.gpus_free(), 1u);
}

TEST(ResourcePool, ADeviceWithoutAnIndexIsGivenOnceToo) {
  ResourcePool pool(8, 0, {"0", "1"});
  const auto first = pool.Take({1, 1}, 1, {"MIG-a"});
  ASSERT_TRUE(first);
  EXPECT_THAT(first->gpus, ElementsAre(ElementsAre("MIG-a")));
  EXPECT_FALSE(pool.Take({1, 1}, 1, {"MIG-a"}));
  EXPECT_EQ(pool.gpus_free(), 2u);
  EXPECT_THAT(pool.Take({1, 2}, 1, {"1", "0"})->gpus, ElementsAre(ElementsAre("1", "0")));
  EXPECT_THAT(pool.Take({1, 1}, 1, {"7"})->gpus, ElementsAre(ElementsAre()));  // no such GPU
  pool.Return(*first);
  EXPECT_TRUE(pool.Take({1, 1}, 1, {"MIG-a"}));
}

TEST(ResourcePool, APlacementSurvivesARestart) {
  ResourcePool before(8, 100, kAll), after(8, 100, kAll);
  const auto placement = before.Take({2, 2, 70}, 1, kAll);
  const Placement again = PlacementFrom(Json::parse(ToJson(*placement).dump()));
  after.TakeAgain(again);
  EXPECT_TRUE(again.is_counted);
  EXPECT_FALSE(after.Take({2, 0, 40}, 1, kAll));  // of 100 bytes it has 70
  EXPECT_THAT(after.Take({2, 2}, 1, kAll)->gpus, ElementsAre(ElementsAre("2", "3")));
}

TEST(ResourcePool, MemoryIsCountedWhereATypeSaysHowMuchItHas) {
  ResourcePool pool(8, 100, {});
  const auto two_hosts = pool.Take({1, 0, 40}, 2, {});
  EXPECT_EQ(two_hosts->memory_bytes, 80u);
  EXPECT_FALSE(pool.Take({1, 0, 30}, 1, {}));
  EXPECT_TRUE(pool.Take({1, 0, 0}, 1, {}));
  pool.Return(*two_hosts);
  EXPECT_EQ(pool.Take({1, 0, 1000}, 3, {})->memory_bytes, 100u);  // more than there is: all of it
}

}  // namespace
}  // namespace leat::jobs
