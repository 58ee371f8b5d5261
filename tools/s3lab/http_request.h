// SPDX-License-Identifier: Apache-2.0
// One HTTP/1.1 request head as it came over the wire, and the small grammars of its fields. Values and pure functions;
// any thread. Input is hostile: sizes are bounded, what does not parse is refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace leat::s3lab {

inline constexpr size_t kHeadBytesMax = 64u << 10;  // S3 allows 8 KiB of headers; test clients may exceed it

struct HttpRequest {
  std::string method;
  std::string raw_path;                                      // as it was sent, percent-encoded
  std::string raw_query;                                     // without '?'
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case, in the order sent
  std::vector<std::pair<std::string, std::string>> query;    // decoded
  bool keep_alive = true;

  // The first header or query value of that name; nullptr when absent.
  const std::string* Header(std::string_view lower_case_name) const;
  const std::string* Query(std::string_view name) const;
};

// Parses a head that ends with the blank line. Fails with kProtocol.
Result<HttpRequest> ParseHead(std::string_view head);

// "bytes=0-9", "bytes=5-", "bytes=-3". As S3: what is not a single byte range is ignored (kWhole).
struct ByteRange {
  enum class Kind { kWhole, kPart, kUnsatisfiable };
  Kind kind = Kind::kWhole;
  uint64_t first = 0;
  uint64_t length = 0;
};
ByteRange ParseRange(std::string_view header, uint64_t object_size);

std::string HttpTime(int64_t epoch_s);  // "Fri, 02 Jan 2026 03:04:05 GMT"
std::string IsoTime(int64_t epoch_s);   // "2026-01-02T03:04:05.000Z"
// For XML text: markup escaped, control characters as numeric references.
std::string XmlText(std::string_view text);
// What encoding-type=url does to a key: percent-encoded, '/' kept, a space as '+'.
std::string UrlEncodeKey(std::string_view key);
// Whether `etag` is one of the tags of an If-Match or If-None-Match value ("*", "\"a\", \"b\"", or a bare tag).
bool ETagMatches(std::string_view condition, std::string_view etag);
std::string_view ReasonPhrase(int status);

}  // namespace leat::s3lab
