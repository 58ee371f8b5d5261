// SPDX-License-Identifier: Apache-2.0
// AWS Signature Version 4 in its header form, for S3 (the path is encoded once and never normalised). Pure functions;
// any thread. Source: "Signature Calculations for the Authorization Header" of the S3 API reference.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "s3/secret.h"

namespace leat::s3 {

using Digest = std::array<std::byte, 32>;
using NameValues = std::vector<std::pair<std::string, std::string>>;

Digest Sha256(std::string_view bytes);
Digest HmacSha256(std::span<const std::byte> key, std::string_view bytes);

inline constexpr std::string_view kEmptyPayloadSha256 =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// "name=value&..." percent-encoded, sorted by encoded name, then value. Also what goes on the wire.
std::string CanonicalQuery(const NameValues& query);
// `headers`: lower-case names. `encoded_path` starts with '/' and is as it goes on the wire.
std::string CanonicalRequest(std::string_view method, std::string_view encoded_path, std::string_view canonical_query,
                             NameValues headers, std::string_view payload_sha256);
std::string SignedHeaders(NameValues headers);  // "host;range;x-amz-date"
std::string AmzDate(int64_t epoch_seconds);     // "20130524T000000Z"
// The key of one day, region and service: worth keeping, since it costs four HMACs.
Digest SigningKey(const Secret& secret_key, std::string_view yyyymmdd, std::string_view region,
                  std::string_view service);
// 64 hex digits.
std::string Signature(const Digest& signing_key, std::string_view amz_date, std::string_view region,
                      std::string_view service, std::string_view canonical_request);
// The value of the Authorization header.
std::string Authorization(std::string_view access_key_id, std::string_view amz_date, std::string_view region,
                          std::string_view service, std::string_view signed_headers, std::string_view signature);

}  // namespace leat::s3
