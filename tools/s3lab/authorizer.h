// SPDX-License-Identifier: Apache-2.0
// Checks a request's SigV4 Authorization header, as strictly as a server should: credentials in the query are refused,
// every x-amz-* header must be signed, only known payload types pass, unknown keys and wrong signatures cost the same.
// Immutable; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http_request.h"
#include "s3/secret.h"
#include "s3/sigv4.h"
#include "s3_error.h"

namespace leat::s3lab {

struct AuthorizerOptions {
  std::string access_key;  // empty, with anonymous: signatures are not checked at all
  s3::Secret secret_key;
  std::string region = "us-east-1";
  bool anonymous = false;  // unsigned requests pass
};

// How the body is covered by the signature.
struct PayloadPromise {
  enum class Kind { kNone, kUnsigned, kSha256, kUnsignedTrailer, kSignedChunks, kSignedChunksTrailer };
  Kind kind = Kind::kNone;
  std::string sha256;  // kSha256: 64 hex digits
  // For chunk signatures; no check of them when `check_chunks` is false (no keys are configured).
  bool check_chunks = false;
  s3::Digest signing_key{};
  std::string amz_date;
  std::string scope;
  std::string seed_signature;

  bool aws_chunked() const {
    return kind == Kind::kUnsignedTrailer || kind == Kind::kSignedChunks || kind == Kind::kSignedChunksTrailer;
  }
};

class Authorizer {
 public:
  explicit Authorizer(AuthorizerOptions options);
  // nullopt: the request may go on, and `promise` says how to check its body.
  std::optional<S3Error> Check(const HttpRequest& request, int64_t now_s, PayloadPromise* promise) const;
  const std::string& region() const { return options_.region; }

 private:
  const AuthorizerOptions options_;
};

// "20260102T030405Z" to seconds since the epoch; -1 when it is not one.
int64_t ParseAmzDate(std::string_view text);
bool EqualInConstantTime(std::string_view a, std::string_view b);

}  // namespace leat::s3lab
