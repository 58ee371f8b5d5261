// SPDX-License-Identifier: Apache-2.0
// The container-credentials protocol of the AWS SDKs, served on loopback: GET of one path with one token in the header
// Authorization gives {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}; anything else gives nothing. Source:
// "Container credential provider" of the AWS SDKs and Tools Reference Guide.
//
// Threads: one of its own, which calls the source; Start and the destructor from any one. The destructor waits for a
// call of the source that is under way.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "s3/temporary_credentials.h"

namespace leat::cli {

class CredentialsEndpoint {
 public:
  // How a program finds it: kept for as long as the program runs, for one endpoint after another.
  struct Address {
    uint16_t port = 0;
    std::string path;   // "/..."
    std::string token;  // a secret
    std::string Url() const { return "http://127.0.0.1:" + std::to_string(port) + path; }
  };
  struct Limits {
    unsigned connections_max = 32;
    size_t connection_bytes_max = 16u << 10;  // its buffers, so also the length of a request
    std::chrono::milliseconds connection_life{10'000};
  };
  // May block for seconds; its failures answer 503, which SDKs try again.
  using Source = std::function<Result<s3::LentCredentials>()>;

  // At a free port, with a path and a token that nobody else knows.
  static Result<std::unique_ptr<CredentialsEndpoint>> Start(Source source, Limits limits);
  // Again where an earlier one was. While somebody else has the port it is tried for once a second.
  static Result<std::unique_ptr<CredentialsEndpoint>> StartAt(Address address, Source source, Limits limits);
  virtual ~CredentialsEndpoint() = default;
  virtual const Address& address() const = 0;
};

}  // namespace leat::cli
