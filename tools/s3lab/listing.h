// SPDX-License-Identifier: Apache-2.0
// One page of a listing: prefix, delimiter, where to start, how many. Pure over Bucket::Scan; its cost is that of the
// page, never of the keys that a common prefix hides.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bucket.h"

namespace leat::s3lab {

struct ListQuery {
  std::string prefix;
  std::string delimiter;  // may be longer than one byte
  std::string after;      // entries > after; a common prefix equal to it is not repeated
  uint64_t max_keys = 1000;
};

struct ListResult {
  std::vector<Object> objects;  // key, size, modified_s, etag
  std::vector<std::string> common_prefixes;
  bool truncated = false;
  std::string last;  // the last entry, key or common prefix: the next page's `after`
};

ListResult ListPage(const Bucket& bucket, const ListQuery& query);
// The least string above every string that begins with `prefix`; "" when there is none.
std::string PrefixSuccessor(std::string_view prefix);

}  // namespace leat::s3lab
