// SPDX-License-Identifier: Apache-2.0
#include "policy/admission.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace leat::policy {
namespace {

TEST(Admission, PinsUntilFullThenMakesRoomOrReadsThrough) {
  EXPECT_EQ(Admit({.capacity_bytes = 100, .used_bytes = 90}, 10), Admission::kKeep);
  EXPECT_EQ(Admit({.capacity_bytes = 100, .used_bytes = 91}, 10), Admission::kMakeRoom);
  EXPECT_EQ(Lacking({.capacity_bytes = 100, .used_bytes = 91}, 10), 1u);
  EXPECT_EQ(Lacking({.capacity_bytes = 100, .used_bytes = 90}, 10), 0u);
  EXPECT_EQ(Admit({.capacity_bytes = 100}, 101), Admission::kReadThrough) << "no eviction would help";
  EXPECT_EQ(Admit({.capacity_bytes = 0}, 1), Admission::kReadThrough);
}

TEST(Admission, TheTailIsTakenBackBeforeAnythingIsEvicted) {
  EXPECT_EQ(Admit({.capacity_bytes = 100, .used_bytes = 80, .tail_bytes = 10}, 10), Admission::kKeep);
  EXPECT_EQ(Admit({.capacity_bytes = 100, .used_bytes = 80, .tail_bytes = 20}, 10), Admission::kTakeBackTail);
  // Another thread is giving it back: nothing has to go.
  EXPECT_EQ(Admit({.capacity_bytes = 100, .used_bytes = 80, .tail_bytes = 20, .tail_asked = true}, 10),
            Admission::kLater);
  EXPECT_EQ(Admit({.capacity_bytes = 100, .used_bytes = 95, .tail_bytes = 5, .tail_asked = true}, 10),
            Admission::kMakeRoom);
}

TEST(Admission, WhileRoomIsBeingMadeNothingMoreIsEvicted) {
  EXPECT_EQ(Admit({.capacity_bytes = 100, .used_bytes = 95, .evicting = true}, 10), Admission::kLater);
  EXPECT_EQ(Admit({.capacity_bytes = 100, .used_bytes = 80, .tail_bytes = 15, .evicting = true}, 10),
            Admission::kLater);
  EXPECT_EQ(Admit({.capacity_bytes = 100, .used_bytes = 50, .evicting = true}, 10), Admission::kKeep);
}

TEST(Admission, ADiskThatRestsGetsNothing) {
  EXPECT_EQ(Admit({.capacity_bytes = 100, .disk_rests = true}, 10), Admission::kLater);
}

TEST(Admission, NeverPastTheCapacity) {
  Random random(3);
  for (int round = 0; round < 20'000; ++round) {
    const CacheRoom room{.capacity_bytes = random.Below(50),
                         .used_bytes = random.Below(60),  // more than the capacity: it was lowered
                         .tail_bytes = random.Below(10),
                         .tail_asked = random.Below(2) == 0,
                         .evicting = random.Below(2) == 0,
                         .disk_rests = random.Below(8) == 0};
    const uint64_t bytes = random.Below(60);
    const Admission admission = Admit(room, bytes);
    const bool fits = room.used_bytes + room.tail_bytes + bytes <= room.capacity_bytes;
    EXPECT_EQ(admission == Admission::kKeep, fits && !room.disk_rests);
    if (admission == Admission::kMakeRoom) {
      EXPECT_GT(Lacking(room, bytes), 0u);
    }
  }
}

}  // namespace
}  // namespace leat::policy
