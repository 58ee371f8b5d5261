// SPDX-License-Identifier: Apache-2.0
#include "authorizer.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "base/text.h"

namespace leat::s3lab {
namespace {

constexpr int64_t kSkewSecondsMax = 15 * 60;
constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256 ";

S3Error Malformed(std::string message, std::string details = "") {
  return {400, "AuthorizationHeaderMalformed", "The authorization header is malformed; " + std::move(message),
          std::move(details)};
}

bool IsHex64(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

struct Header {
  std::string access_key, date, region, service, terminator, signed_headers, signature;
};

std::optional<S3Error> ParseAuthorization(std::string_view value, Header* header) {
  if (value.substr(0, kAlgorithm.size()) != kAlgorithm)
    return S3Error{400, "InvalidRequest",
                   "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.", ""};
  std::string credential;
  for (const std::string& part : Split(value.substr(kAlgorithm.size()), ',')) {
    const std::string_view item = Trim(part);
    const size_t equals = item.find('=');
    if (equals == std::string_view::npos) return Malformed("a component is not Name=value.");
    const std::string_view name = item.substr(0, equals);
    std::string* target = name == "Credential"      ? &credential
                          : name == "SignedHeaders" ? &header->signed_headers
                          : name == "Signature"     ? &header->signature
                                                    : nullptr;
    if (target == nullptr || !target->empty())
      return Malformed("Credential, SignedHeaders and Signature must each stand once.");
    *target = item.substr(equals + 1);
  }
  const std::vector<std::string> scope = Split(credential, '/');
  if (scope.size() < 5) return Malformed("the Credential is not KEY/DATE/REGION/s3/aws4_request.");
  const size_t n = scope.size();  // an access key may hold '/'
  header->access_key = credential.substr(0, credential.size() - (scope[n - 4].size() + scope[n - 3].size() +
                                                                 scope[n - 2].size() + scope[n - 1].size() + 4));
  header->date = scope[n - 4];
  header->region = scope[n - 3];
  header->service = scope[n - 2];
  header->terminator = scope[n - 1];
  if (header->signed_headers.empty() || header->signature.empty())
    return Malformed("SignedHeaders or Signature is missing.");
  if (!IsHex64(header->signature)) return Malformed("the Signature is not 64 hexadecimal digits.");
  return std::nullopt;
}

std::optional<S3Error> CheckScope(const Header& header, std::string_view amz_date, const std::string& region,
                                  int64_t now_s) {
  if (header.region != region)
    return Malformed("the region '" + header.region + "' is wrong; expecting '" + region + "'",
                     "<Region>" + XmlText(region) + "</Region>");
  if (header.service != "s3")
    return Malformed("incorrect service \"" + header.service + "\". This endpoint belongs to \"s3\".");
  if (header.terminator != "aws4_request") return Malformed("incorrect terminal \"" + header.terminator + "\".");
  const int64_t signed_s = ParseAmzDate(amz_date);
  if (signed_s < 0) return S3Error{403, "AccessDenied", "AWS authentication requires a valid x-amz-date header", ""};
  if (amz_date.substr(0, 8) != header.date)
    return Malformed("Invalid credential date \"" + header.date + "\": x-amz-date differs.");
  if (std::llabs(now_s - signed_s) > kSkewSecondsMax)
    return S3Error{403, "RequestTimeTooSkewed",
                   "The difference between the request time and the current time is too large.",
                   "<RequestTime>" + XmlText(amz_date) + "</RequestTime><ServerTime>" + IsoTime(now_s) +
                       "</ServerTime><MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>"};
  return std::nullopt;
}

// The signed headers with their values; refuses x-amz-* headers that are not signed, and a signed header that stands
// twice.
std::optional<S3Error> CollectSigned(const HttpRequest& request, const std::string& signed_headers,
                                     s3::NameValues* headers) {
  const std::vector<std::string> names = Split(signed_headers, ';');
  const auto is_signed = [&](std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (!is_signed("host")) return Malformed("SignedHeaders must contain host.");
  if (!std::is_sorted(names.begin(), names.end())) return Malformed("SignedHeaders must be sorted.");
  for (const auto& [name, value] : request.headers) {
    if (!is_signed(name)) {
      if (name.rfind("x-amz-", 0) == 0)
        return S3Error{403, "AccessDenied", "There were headers present in the request which were not signed",
                       "<HeadersNotSigned>" + XmlText(name) + "</HeadersNotSigned>"};
      continue;
    }
    for (const auto& [other, unused] : *headers)
      if (other == name) return S3Error{400, "InvalidRequest", "The signed header " + name + " stands twice.", ""};
    headers->emplace_back(name, value);
  }
  if (headers->size() != names.size())
    return S3Error{403, "AccessDenied", "A header that was signed is missing from the request.", ""};
  return std::nullopt;
}

std::optional<S3Error> ReadPromise(const std::string* value, PayloadPromise* promise) {
  using Kind = PayloadPromise::Kind;
  static constexpr std::array<std::pair<std::string_view, Kind>, 4> kNames = {{
      {"UNSIGNED-PAYLOAD", Kind::kUnsigned},
      {"STREAMING-UNSIGNED-PAYLOAD-TRAILER", Kind::kUnsignedTrailer},
      {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", Kind::kSignedChunks},
      {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", Kind::kSignedChunksTrailer},
  }};
  if (value == nullptr) return std::nullopt;
  for (const auto& [name, kind] : kNames) {
    if (*value != name) continue;
    promise->kind = kind;
    return std::nullopt;
  }
  if (!IsHex64(*value))
    return S3Error{400, "InvalidArgument",
                   "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
                   "STREAMING-AWS4-HMAC-SHA256-PAYLOAD(-TRAILER), or a valid sha256 value.",
                   ""};
  promise->kind = Kind::kSha256;
  promise->sha256 = *value;
  return std::nullopt;
}

}  // namespace

int64_t ParseAmzDate(std::string_view text) {
  std::tm parts{};
  const std::string copy(text);
  char tail = 0;
  if (copy.size() != 16 || copy.find_first_not_of("0123456789TZ") != std::string::npos ||
      std::sscanf(copy.c_str(), "%4d%2d%2dT%2d%2d%2d%c", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &parts.tm_hour,
                  &parts.tm_min, &parts.tm_sec, &tail) != 7 ||
      tail != 'Z')
    return -1;
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return timegm(&parts);
}

bool EqualInConstantTime(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Authorizer::Authorizer(AuthorizerOptions options) : options_(std::move(options)) {}

std::optional<S3Error> Authorizer::Check(const HttpRequest& request, int64_t now_s, PayloadPromise* promise) const {
  static constexpr std::array<std::string_view, 8> kQueryCredentials = {
      "x-amz-algorithm", "x-amz-credential",    "x-amz-signature", "x-amz-security-token",
      "x-amz-expires",   "x-amz-signedheaders", "awsaccesskeyid",  "signature"};
  for (const auto& [name, value] : request.query)
    if (std::find(kQueryCredentials.begin(), kQueryCredentials.end(), ToLower(name)) != kQueryCredentials.end())
      return S3Error{400, "AuthorizationQueryParametersError",
                     "s3lab refuses credentials in the query (presigned URLs): sign the headers", ""};
  if (auto error = ReadPromise(request.Header("x-amz-content-sha256"), promise)) return error;
  const std::string* authorization = request.Header("authorization");
  if (authorization == nullptr) {
    if (options_.anonymous) return std::nullopt;
    return S3Error{403, "AccessDenied", "Access Denied: the request is not signed", ""};
  }
  if (std::count_if(request.headers.begin(), request.headers.end(),
                    [](const auto& h) { return h.first == "authorization"; }) > 1)
    return S3Error{400, "InvalidRequest", "Authorization stands twice.", ""};
  if (options_.access_key.empty()) return std::nullopt;
  Header header;
  if (auto error = ParseAuthorization(*authorization, &header)) return error;
  const std::string* date = request.Header("x-amz-date");
  if (date == nullptr) return S3Error{403, "AccessDenied", "AWS authentication requires a valid x-amz-date header", ""};
  if (promise->kind == PayloadPromise::Kind::kNone)
    return S3Error{400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256", ""};
  if (auto error = CheckScope(header, *date, options_.region, now_s)) return error;
  s3::NameValues headers;
  if (auto error = CollectSigned(request, header.signed_headers, &headers)) return error;

  const s3::Digest key = s3::SigningKey(options_.secret_key, header.date, header.region, "s3");
  const std::string canonical =
      s3::CanonicalRequest(request.method, request.raw_path, s3::CanonicalQuery(request.query), headers,
                           *request.Header("x-amz-content-sha256"));
  const std::string expected = s3::Signature(key, *date, header.region, "s3", canonical);
  const bool known = EqualInConstantTime(header.access_key, options_.access_key);
  const bool right = EqualInConstantTime(header.signature, expected);
  if (!known)
    return S3Error{403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.",
                   "<AWSAccessKeyId>" + XmlText(header.access_key) + "</AWSAccessKeyId>"};
  if (!right)
    return S3Error{403, "SignatureDoesNotMatch",
                   "The request signature we calculated does not match the signature you provided. Check your key and "
                   "signing method.",
                   "<AWSAccessKeyId>" + XmlText(header.access_key) + "</AWSAccessKeyId><CanonicalRequest>" +
                       XmlText(canonical) + "</CanonicalRequest>"};
  promise->check_chunks = true;
  promise->signing_key = key;
  promise->amz_date = *date;
  promise->scope = header.date + "/" + header.region + "/s3/aws4_request";
  promise->seed_signature = header.signature;
  return std::nullopt;
}

}  // namespace leat::s3lab
