// SPDX-License-Identifier: Apache-2.0
#include "s3/temporary_credentials.h"

#include <chrono>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "s3/service_request.h"
#include "s3/sigv4.h"
#include "s3/xml.h"

namespace leat::s3 {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kLentFor = 3600 * kSecond;               // long-term keys, and what STS is asked for
constexpr int64_t kLentForUnknownEnd = 20 * 60 * kSecond;  // asked for again after five minutes, and looked up anew
constexpr int64_t kExchangeBeforeEnd = 20 * 60 * kSecond;  // SDKs ask again from 15 minutes before the end on
constexpr int64_t kUsableBeforeEnd = 60 * kSecond;
constexpr std::chrono::seconds kPauseAfterFailure{5};
constexpr std::chrono::seconds kPauseBetweenExchanges{30};
constexpr long kStsTimeoutMs = 10'000;

Result<Credentials> GetSessionToken(const S3Settings& sts, const Credentials& keys, int64_t now_ns) {
  const std::string body =
      "Action=GetSessionToken&DurationSeconds=" + std::to_string(kLentFor / kSecond) + "&Version=2011-06-15";
  const std::string date = AmzDate(now_ns / kSecond), path = sts.base_path + "/";
  const NameValues headers = {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"},
                              {"host", sts.authority},
                              {"x-amz-date", date}};
  const std::string canonical = CanonicalRequest("POST", path, "", headers, HexEncode(Sha256(body)));
  const Digest key = SigningKey(keys.secret_access_key, date.substr(0, 8), sts.region, "sts");
  ServiceRequest request;
  request.method = "POST";
  request.url = sts.Endpoint() + path;
  for (const auto& [name, value] : headers) request.headers.push_back(name + ": " + value);
  request.headers.push_back("authorization: " + Authorization(keys.access_key_id, date, sts.region, "sts",
                                                              SignedHeaders(headers),
                                                              Signature(key, date, sts.region, "sts", canonical)));
  request.body = body;
  request.timeout_ms = kStsTimeoutMs;
  request.settings = &sts;
  const ServiceAnswer answer = Ask(request);
  if (answer.status != 200) {
    const ErrorBody error = ParseErrorBody(answer.body);
    return Fail(answer.status >= 400 && answer.status < 500 ? ErrorCode::kDenied : ErrorCode::kUnavailable,
                "STS at " + sts.Endpoint() + " does not exchange the caller's keys: " + answer.reason +
                    (error.code.empty() ? "" : " " + error.code + ": " + error.message) +
                    "; check AWS_ENDPOINT_URL_STS and that GetSessionToken is allowed");
  }
  auto session = ParseSessionKeys(answer.body);
  if (!session) return Fail(session.error().code, "STS at " + sts.Endpoint() + ": " + session.error().message);
  Credentials exchanged;
  exchanged.access_key_id = std::move(session->access_key_id);
  exchanged.secret_access_key = std::move(session->secret_access_key);
  exchanged.session_token = std::move(session->session_token);
  exchanged.expires_ns = session->expires_ns;
  exchanged.from_service = true;
  return exchanged;
}

}  // namespace

struct TemporaryCredentials::Source {
  Source(const S3Settings& settings, std::optional<S3Settings> sts_settings, Environment environment,
         const env::Clock& clock)
      : sts(std::move(sts_settings)), chain(settings, std::move(environment), clock) {}
  const std::optional<S3Settings> sts;
  CredentialChain chain;
  std::optional<Credentials> exchanged;
  std::string exchanged_for;  // the access key id
  env::MonotonicTime next_exchange{};
};

TemporaryCredentials::TemporaryCredentials(std::optional<Environment> environment, const env::Clock& clock)
    : clock_(clock), environment_(std::move(environment)) {}
TemporaryCredentials::~TemporaryCredentials() = default;

void TemporaryCredentials::Renew(Environment environment) {
  const std::lock_guard lock(mutex_);
  if (renewed_ == environment) return;
  renewed_ = std::move(environment);
  is_newer_ = true;
}

Result<std::unique_ptr<TemporaryCredentials::Source>> TemporaryCredentials::Open(Environment environment) const {
  S3Options options;
  options.bucket = "-";
  LEAT_ASSIGN_OR_RETURN(const S3Settings settings, ResolveS3Settings(options, environment));
  auto sts = ResolveStsSettings(environment);
  if (!sts && sts.error().code != ErrorCode::kNotFound) return Fail(sts.error());
  return std::make_unique<Source>(settings, sts ? std::optional(std::move(*sts)) : std::nullopt, std::move(environment),
                                  clock_);
}

Result<LentCredentials> TemporaryCredentials::From(Source& source) {
  auto found = source.chain.Get();
  if (found == nullptr || source.chain.WantsRefresh()) {
    LEAT_ASSIGN_OR_RETURN(found, source.chain.Fetch(0));
  }
  const bool has_unknown_end = !found->session_token.empty() && found->expires_ns == 0;
  if (has_unknown_end && !found->from_service) {
    LEAT_ASSIGN_OR_RETURN(found, source.chain.Fetch(found->generation));  // a file may hold newer ones by now
  }
  const int64_t now = clock_.WallTimeNs();
  if (!found->session_token.empty() || found->expires_ns != 0) {
    LentCredentials lent{*found, false};
    if (found->expires_ns == 0) lent.credentials.expires_ns = now + kLentForUnknownEnd;
    if (lent.credentials.expires_ns <= now + kUsableBeforeEnd)
      return Fail(ErrorCode::kNoCredentials, "the caller's credentials ended at " + FormatTimeUtc(found->expires_ns) +
                                                 "; set newer ones and run any leat command, such as leat jobs list");
    return lent;
  }
  if (!source.sts) {
    LentCredentials lent{*found, true};
    lent.credentials.expires_ns = now + kLentFor;
    return lent;
  }
  const bool is_held = source.exchanged && source.exchanged_for == found->access_key_id &&
                       source.exchanged->expires_ns > now + kUsableBeforeEnd;
  const bool ends_soon = is_held && source.exchanged->expires_ns <= now + kExchangeBeforeEnd;
  if (!is_held || (ends_soon && clock_.Now() >= source.next_exchange)) {
    auto exchanged = GetSessionToken(*source.sts, *found, now);
    source.next_exchange = clock_.Now() + kPauseBetweenExchanges;
    if (exchanged) {
      source.exchanged = std::move(*exchanged);
      source.exchanged_for = found->access_key_id;
    } else if (!is_held) {
      return Fail(exchanged.error());
    } else {
      LogWarning(exchanged.error().message + "; those at hand stay in use");
    }
  }
  return LentCredentials{*source.exchanged, false};
}

Result<LentCredentials> TemporaryCredentials::Find(const std::optional<Environment>& renewed) {
  Result<LentCredentials> lent = Fail(ErrorCode::kNoCredentials, "the caller's credentials are not known yet");
  if (source_ == nullptr && environment_) {
    auto opened = Open(*environment_);
    if (opened) {
      source_ = std::move(*opened);
    } else {
      lent = Fail(opened.error());
    }
  }
  if (source_ != nullptr) lent = From(*source_);
  if (lent || !renewed) return lent;
  auto other = Open(*renewed);
  if (!other) return lent;
  auto from_other = From(**other);
  if (!from_other) return environment_ ? std::move(lent) : std::move(from_other);
  source_ = std::move(*other);
  return from_other;
}

Result<LentCredentials> TemporaryCredentials::Get() {
  std::optional<Environment> renewed;
  bool is_newer = false;
  {
    const std::lock_guard lock(mutex_);
    renewed = renewed_;
    is_newer = std::exchange(is_newer_, false);
  }
  if (failure_ && !is_newer && clock_.Now() < next_try_) return Fail(*failure_);
  auto lent = Find(renewed);
  failure_.reset();
  if (!lent) {
    failure_ = lent.error();
    next_try_ = clock_.Now() + kPauseAfterFailure;
  }
  return lent;
}

}  // namespace leat::s3
