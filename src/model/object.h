// SPDX-License-Identifier: Apache-2.0
// What is known of an object in a repository.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace leat {

using UserMetadata = std::vector<std::pair<std::string, std::string>>;  // lower-case name without x-amz-meta-, value

struct ObjectInfo {
  std::string key;   // the true key, raw bytes
  std::string etag;  // as the server sent it, with its quotes; compared for equality only
  uint64_t size_bytes = 0;
  int64_t last_modified_ns = 0;    // since the epoch
  std::string storage_class;       // empty = STANDARD
  bool has_user_metadata = false;  // LIST never tells it, HEAD and GET always do
  UserMetadata user_metadata;
};

}  // namespace leat
