// SPDX-License-Identifier: Apache-2.0
// One version of one object, as the cache and the hydrator name it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "model/ids.h"

namespace leat::cache {

// The first 128 bits of SHA-256 over repository identity, key, ETag and size. A key never becomes a path; this does.
struct ObjectId {
  std::array<std::byte, 16> bytes{};
  auto operator<=>(const ObjectId&) const = default;
};

struct ObjectRef {
  DatasetId dataset{};  // whose share of the cache it is
  std::string key;      // the bucket's true key (prefix included)
  std::string etag;     // with quotes
  uint64_t size_bytes = 0;
  ObjectId id;  // MakeObjectId of the fields above and the repository
};

// `repository_identity`: endpoint and bucket (or directory), so that one mount can never read another's bytes.
ObjectId MakeObjectId(std::string_view repository_identity, std::string_view key, std::string_view etag,
                      uint64_t size_bytes);

}  // namespace leat::cache
