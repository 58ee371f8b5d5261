// SPDX-License-Identifier: Apache-2.0
#include "s3/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "base/check.h"
#include "base/text.h"

namespace leat::s3 {
namespace {

std::string Scope(std::string_view amz_date, std::string_view region, std::string_view service) {
  std::string scope(amz_date.substr(0, 8));
  scope.append("/").append(region).append("/").append(service).append("/aws4_request");
  return scope;
}

// Trimmed, and every inner run of spaces made one.
std::string CanonicalValue(std::string_view value) {
  std::string out;
  for (const char c : Trim(value)) {
    if (c == ' ' && !out.empty() && out.back() == ' ') continue;
    out += c;
  }
  return out;
}

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

}  // namespace

Digest Sha256(std::string_view bytes) {
  Digest digest;
  LEAT_CHECK(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr,
                        EVP_sha256(), nullptr) == 1);
  return digest;
}

Digest HmacSha256(std::span<const std::byte> key, std::string_view bytes) {
  Digest digest;
  unsigned size = 0;
  LEAT_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                  reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                  reinterpret_cast<unsigned char*>(digest.data()), &size) != nullptr);
  LEAT_CHECK(size == digest.size());
  return digest;
}

std::string CanonicalQuery(const NameValues& query) {
  NameValues encoded;
  encoded.reserve(query.size());
  for (const auto& [name, value] : query) encoded.emplace_back(PercentEncode(name, false), PercentEncode(value, false));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) {
    if (!out.empty()) out += '&';
    out.append(name).append("=").append(value);
  }
  return out;
}

std::string CanonicalRequest(std::string_view method, std::string_view encoded_path, std::string_view canonical_query,
                             NameValues headers, std::string_view payload_sha256) {
  std::stable_sort(headers.begin(), headers.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string out;
  out.reserve(512);
  out.append(method).append("\n").append(encoded_path.empty() ? "/" : encoded_path).append("\n");
  out.append(canonical_query).append("\n");
  for (const auto& [name, value] : headers) out.append(name).append(":").append(CanonicalValue(value)).append("\n");
  out.append("\n").append(SignedHeaders(headers)).append("\n").append(payload_sha256);
  return out;
}

std::string SignedHeaders(NameValues headers) {
  std::sort(headers.begin(), headers.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string out;
  for (const auto& header : headers) {
    if (!out.empty()) out += ';';
    out += header.first;
  }
  return out;
}

std::string AmzDate(int64_t epoch_seconds) {
  const std::time_t time = epoch_seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return text;
}

Digest SigningKey(const Secret& secret_key, std::string_view yyyymmdd, std::string_view region,
                  std::string_view service) {
  const Secret start("AWS4" + secret_key.Reveal());
  const Digest day = HmacSha256(Bytes(start.Reveal()), yyyymmdd);
  return HmacSha256(HmacSha256(HmacSha256(day, region), service), "aws4_request");
}

std::string Signature(const Digest& signing_key, std::string_view amz_date, std::string_view region,
                      std::string_view service, std::string_view canonical_request) {
  std::string text = "AWS4-HMAC-SHA256\n";
  text.append(amz_date).append("\n").append(Scope(amz_date, region, service)).append("\n");
  text.append(HexEncode(Sha256(canonical_request)));
  return HexEncode(HmacSha256(signing_key, text));
}

std::string Authorization(std::string_view access_key_id, std::string_view amz_date, std::string_view region,
                          std::string_view service, std::string_view signed_headers, std::string_view signature) {
  std::string out = "AWS4-HMAC-SHA256 Credential=";
  out.append(access_key_id).append("/").append(Scope(amz_date, region, service));
  out.append(", SignedHeaders=").append(signed_headers).append(", Signature=").append(signature);
  return out;
}

}  // namespace leat::s3
