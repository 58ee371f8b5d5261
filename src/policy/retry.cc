// SPDX-License-Identifier: Apache-2.0
#include "policy/retry.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace leat::policy {
namespace {

struct Row {
  std::string_view code;
  RetryClass retry;
  ErrorCode final_code;
};

// "Error responses" of the S3 API reference.
constexpr Row kRows[] = {
    {"InternalError", RetryClass::kTransient, ErrorCode::kUnavailable},
    {"ServiceUnavailable", RetryClass::kThrottled, ErrorCode::kUnavailable},
    {"SlowDown", RetryClass::kThrottled, ErrorCode::kThrottled},
    {"Throttling", RetryClass::kThrottled, ErrorCode::kThrottled},
    {"ThrottlingException", RetryClass::kThrottled, ErrorCode::kThrottled},
    {"RequestLimitExceeded", RetryClass::kThrottled, ErrorCode::kThrottled},
    {"TooManyRequests", RetryClass::kThrottled, ErrorCode::kThrottled},
    {"TooManyRequestsException", RetryClass::kThrottled, ErrorCode::kThrottled},
    {"BandwidthLimitExceeded", RetryClass::kThrottled, ErrorCode::kThrottled},
    {"RequestTimeout", RetryClass::kTransient, ErrorCode::kTimedOut},
    {"OperationAborted", RetryClass::kTransient, ErrorCode::kUnavailable},
    {"ConditionalRequestConflict", RetryClass::kTransient, ErrorCode::kObjectChanged},
    {"BadDigest", RetryClass::kTransient, ErrorCode::kCorrupt},
    {"IncompleteBody", RetryClass::kTransient, ErrorCode::kUnavailable},
    {"RequestTimeTooSkewed", RetryClass::kCorrectClock, ErrorCode::kDenied},
    {"ExpiredToken", RetryClass::kRefreshCredentials, ErrorCode::kDenied},
    {"InvalidToken", RetryClass::kRefreshCredentials, ErrorCode::kDenied},
    {"TokenRefreshRequired", RetryClass::kRefreshCredentials, ErrorCode::kDenied},
    {"AuthorizationHeaderMalformed", RetryClass::kOtherRegion, ErrorCode::kWrongRegion},
    {"IllegalLocationConstraintException", RetryClass::kOtherRegion, ErrorCode::kWrongRegion},
    {"PermanentRedirect", RetryClass::kOtherRegion, ErrorCode::kWrongRegion},
    {"TemporaryRedirect", RetryClass::kOtherRegion, ErrorCode::kWrongRegion},
    {"AccessDenied", RetryClass::kNever, ErrorCode::kDenied},
    {"AllAccessDisabled", RetryClass::kNever, ErrorCode::kDenied},
    {"InvalidAccessKeyId", RetryClass::kNever, ErrorCode::kDenied},
    {"SignatureDoesNotMatch", RetryClass::kNever, ErrorCode::kDenied},
    {"InvalidObjectState", RetryClass::kNever, ErrorCode::kArchivedStorage},
    {"NoSuchBucket", RetryClass::kNever, ErrorCode::kNoSuchBucket},
    {"NoSuchKey", RetryClass::kNever, ErrorCode::kNotFound},
    {"NoSuchVersion", RetryClass::kNever, ErrorCode::kNotFound},
    {"NoSuchUpload", RetryClass::kNever, ErrorCode::kNotFound},
    {"PreconditionFailed", RetryClass::kNever, ErrorCode::kObjectChanged},
    {"NotImplemented", RetryClass::kNever, ErrorCode::kNotSupported},
};

const Row* Find(std::string_view code) {
  const auto* row = std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& r) { return r.code == code; });
  return row == std::end(kRows) ? nullptr : row;
}

}  // namespace

RetryClass ClassifyFailure(const Failure& failure) {
  if (const Row* row = Find(failure.code)) return row->retry;
  switch (failure.http_status) {
    case 0:
    case 408:
      return RetryClass::kTransient;
    case 429:
    case 503:
      return RetryClass::kThrottled;
    case 301:
    case 307:
      return RetryClass::kOtherRegion;
    case 501:  // not implemented: nor will it be in a minute
    case 505:  // HTTP version not supported
      return RetryClass::kNever;
    default:
      // Proxies and load balancers have 5xx numbers of their own (509, 520 to 530): trouble on the way, as a rule
      // brief.
      return failure.http_status >= 500 ? RetryClass::kTransient : RetryClass::kNever;
  }
}

ErrorCode FinalCode(const Failure& failure) {
  if (const Row* row = Find(failure.code)) return row->final_code;
  switch (failure.http_status) {
    case 301:
    case 302:
    case 307:
    case 308:
      return ErrorCode::kWrongRegion;
    case 400:
    case 405:
    case 411:
    case 414:
    case 416:
      return ErrorCode::kInvalidArgument;
    case 401:
    case 403:
      return ErrorCode::kDenied;
    case 404:
      return ErrorCode::kNotFound;
    case 409:
    case 412:
      return ErrorCode::kObjectChanged;
    case 429:
      return ErrorCode::kThrottled;
    case 501:
      return ErrorCode::kNotSupported;
    default:
      return failure.http_status == 0 || failure.http_status >= 500 ? ErrorCode::kUnavailable : ErrorCode::kProtocol;
  }
}

void RetryBudget::OnSuccess() { tokens_ = std::min(options_.tokens_max, tokens_ + options_.tokens_per_success); }

std::chrono::milliseconds RetryBudget::NextDelay(RetryClass kind, uint32_t retries_done, double random,
                                                 std::chrono::milliseconds hint) {
  if (kind == RetryClass::kRefreshCredentials || kind == RetryClass::kCorrectClock ||
      kind == RetryClass::kOtherRegion) {
    return std::chrono::milliseconds(0);  // at most once a request: no storm to fear
  }
  const double most = static_cast<double>(options_.delay_max.count());
  if (tokens_ < 1) return std::chrono::milliseconds(static_cast<int64_t>(most * (0.5 + random / 2)));
  tokens_ -= 1;
  const auto base = kind == RetryClass::kThrottled ? options_.throttled_base : options_.transient_base;
  const double cap = std::min(most, static_cast<double>(base.count()) * std::exp2(std::min(retries_done, 20u)));
  const auto delay = std::chrono::milliseconds(static_cast<int64_t>(cap * random));
  if (hint.count() > 0)
    return std::clamp(delay, std::min(hint, options_.delay_max),
                      std::min(hint, options_.delay_max) + std::chrono::seconds(5));
  return delay;
}

}  // namespace leat::policy
