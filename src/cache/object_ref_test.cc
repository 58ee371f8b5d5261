// SPDX-License-Identifier: Apache-2.0
#include "cache/object_ref.h"

#include <gtest/gtest.h>

namespace leat::cache {
namespace {

TEST(ObjectId, EveryFieldCountsAndFieldsDoNotRunTogether) {
  const ObjectId id = MakeObjectId("repository", "key", "\"e\"", 5);
  EXPECT_EQ(id, MakeObjectId("repository", "key", "\"e\"", 5));
  EXPECT_NE(id, MakeObjectId("repositor", "ykey", "\"e\"", 5));
  EXPECT_NE(id, MakeObjectId("repository", "key\"", "e\"", 5));
  EXPECT_NE(id, MakeObjectId("repository", "key", "\"f\"", 5));
  EXPECT_NE(id, MakeObjectId("repository", "key", "\"e\"", 6));
  EXPECT_NE(id, MakeObjectId("other", "key", "\"e\"", 5));
}

}  // namespace
}  // namespace leat::cache
