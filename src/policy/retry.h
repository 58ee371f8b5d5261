// SPDX-License-Identifier: Apache-2.0
// Whether and when to try a request to an object store again. Pure: the clock and the random number come in. Values,
// not synchronised. Source: "Retry behavior" of the AWS SDKs reference guide; reads go on until a deadline instead of 3
// attempts.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace leat::policy {

enum class RetryClass {
  kNever,               // the same request would fail again
  kTransient,           // try again after a backoff
  kThrottled,           // the server asks for fewer requests: a longer backoff
  kRefreshCredentials,  // once, with new credentials
  kCorrectClock,        // once, with the server's time
  kOtherRegion,         // once, signed for the region that the server names
};

struct Failure {
  int http_status = 0;    // 0: no answer came (connection failed, cut, timed out)
  std::string_view code;  // S3's error code, empty when there was no body to read
};
RetryClass ClassifyFailure(const Failure& failure);
// What the failure comes to when it is not retried any more.
ErrorCode FinalCode(const Failure& failure);

struct RetryOptions {
  std::chrono::milliseconds transient_base{50};
  std::chrono::milliseconds throttled_base{500};
  std::chrono::milliseconds delay_max{20'000};
  // The budget of retries all requests share, so that a broken server is not asked many times as often as a working
  // one. Each retry costs one token and each success gives some back; at no tokens a request waits for `delay_max`.
  double tokens_max = 500;
  double tokens_per_success = 0.1;
};

class RetryBudget {
 public:
  explicit RetryBudget(RetryOptions options = {}) : options_(options), tokens_(options.tokens_max) {}
  void OnSuccess();
  // The wait before retry number `retries_done` (0 for the first), full jitter with `random` in [0, 1). `hint`: the
  // server's x-amz-retry-after, or zero. Takes a token when there is one.
  std::chrono::milliseconds NextDelay(RetryClass kind, uint32_t retries_done, double random,
                                      std::chrono::milliseconds hint);
  double tokens() const { return tokens_; }

 private:
  RetryOptions options_;
  double tokens_;
};

}  // namespace leat::policy
