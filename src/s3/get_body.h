// SPDX-License-Identifier: Apache-2.0
// Whether the answer to a GET is the body that was asked for, and the handing over of its bytes. On the network thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "model/object.h"
#include "s3/operation.h"

namespace leat::s3 {

struct ContentRange {
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t total = 0;
};
Result<ContentRange> ParseContentRange(std::string_view text);  // "bytes 0-9/4096"

// Key, size, times and metadata from the headers of a HEAD or GET. `size_bytes` is the whole object's.
Result<ObjectInfo> InfoFromHeaders(const std::string& key, const Response& response, uint64_t size_bytes);

// Before the first byte of a 200 or 206. On failure sets attempt_error and gives false; calls OnStart the first time.
bool BeginBody(Operation& operation);
// False when the body is longer than asked.
bool DeliverBytes(Operation& operation, std::span<const std::byte> bytes);
// After the last byte: is everything there, and does the checksum agree?
Status EndBody(Operation& operation);

}  // namespace leat::s3
