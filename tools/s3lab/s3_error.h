// SPDX-License-Identifier: Apache-2.0
// An S3 error answer: HTTP status, S3's code and message, and what else its XML has. Value.
#pragma once

#include <string>
#include <utility>

namespace leat::s3lab {

struct S3Error {
  int status = 500;
  std::string code;
  std::string message;
  std::string details;  // more XML elements, already escaped: "<Region>us-east-1</Region>"
};

}  // namespace leat::s3lab
