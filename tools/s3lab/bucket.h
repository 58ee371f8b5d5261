// SPDX-License-Identifier: Apache-2.0
// What a bucket is to the S3 operations: objects in byte order of their keys, each with its attributes and a body that
// is stretches of files. Buckets are thread-safe; objects and bodies are immutable.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace leat::s3lab {

struct Object {
  std::string key;
  uint64_t size = 0;
  int64_t modified_s = 0;
  std::string etag;  // without quotes
  std::string content_type = "binary/octet-stream";
  std::vector<std::pair<std::string, std::string>>
      headers;  // x-amz-meta-*, cache-control, ...: answered as they were sent
  std::vector<std::pair<std::string, std::string>> checksums;  // "x-amz-checksum-crc32" -> Base64
  std::string file;                                            // where the bucket keeps the body, in its own terms
};

class Body {
 public:
  struct Stretch {
    int descriptor = -1;
    uint64_t offset = 0;
    uint64_t length = 0;
  };
  virtual ~Body() = default;
  virtual Stretch At(uint64_t position) const = 0;  // what begins at that byte of the object; length > 0 within it
};

class Bucket {
 public:
  // Sees objects in key order. Returns false to stop; sets `seek` (to a later key) to go on at the first key >= seek.
  // Called under the bucket's lock: it must not call the bucket.
  using Visitor = std::function<bool(const Object& object, std::string& seek)>;

  virtual ~Bucket() = default;
  virtual void Scan(std::string_view from, const Visitor& visitor) const = 0;
  virtual std::shared_ptr<const Object> Find(std::string_view key) const = 0;  // nullptr: no such key
  // nullptr when the object was replaced or removed since Find: find again.
  virtual std::shared_ptr<const Body> Open(const Object& object) const = 0;
};

}  // namespace leat::s3lab
