// SPDX-License-Identifier: Apache-2.0
// One HTTP request to a service that gives credentials: the metadata service, a container's endpoint, STS. Blocks until
// its time limit at most; any thread. Answers are small: what is longer fails.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "s3/config.h"

namespace leat::s3 {

inline constexpr size_t kServiceAnswerBytesMax = 64 << 10;

struct ServiceRequest {
  const char* method = "GET";
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::string body;
  long timeout_ms = 0;
  const S3Settings* settings = nullptr;  // whose proxy and certificates to use; null: none, as on this machine
};
struct ServiceAnswer {
  long status = 0;     // 0: none came
  std::string reason;  // of the failure, or "HTTP 404"
  std::string body;    // may hold secrets
};
ServiceAnswer Ask(const ServiceRequest& request);

}  // namespace leat::s3
