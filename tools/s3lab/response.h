// SPDX-License-Identifier: Apache-2.0
// An answer on its way out: status, headers, and a body that is text or a stretch of an object. Value.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bucket.h"

namespace leat::s3lab {

struct Response {
  int status = 200;
  std::string headers;        // "Name: value\r\n" lines, without Content-Length, which the body gives
  std::string content_range;  // its value; "" is none
  std::string text;           // the body, when `object_body` is nullptr
  std::shared_ptr<const Body> object_body;
  uint64_t offset = 0;        // of the object, where the answer's body begins
  uint64_t length = 0;        // of the answer's body, when it is of the object
  bool without_body = false;  // HEAD, 204, 304: headers only
  bool close = false;         // the connection ends after this answer

  void AddHeader(std::string_view name, std::string_view value) {
    headers.append(name).append(": ").append(value).append("\r\n");
  }
};

}  // namespace leat::s3lab
