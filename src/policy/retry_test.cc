// SPDX-License-Identifier: Apache-2.0
#include "policy/retry.h"

#include <gtest/gtest.h>

namespace leat::policy {
namespace {

using std::chrono::milliseconds;

TEST(Retry, Table) {
  const struct {
    int status;
    std::string_view code;
    RetryClass retry;
    ErrorCode final_code;
  } rows[] = {
      {0, "", RetryClass::kTransient, ErrorCode::kUnavailable},
      {500, "InternalError", RetryClass::kTransient, ErrorCode::kUnavailable},
      {502, "", RetryClass::kTransient, ErrorCode::kUnavailable},
      {509, "", RetryClass::kTransient, ErrorCode::kUnavailable},
      {520, "", RetryClass::kTransient, ErrorCode::kUnavailable},
      {501, "", RetryClass::kNever, ErrorCode::kNotSupported},
      {505, "", RetryClass::kNever, ErrorCode::kUnavailable},
      {503, "SlowDown", RetryClass::kThrottled, ErrorCode::kThrottled},
      {503, "", RetryClass::kThrottled, ErrorCode::kUnavailable},
      {400, "RequestTimeout", RetryClass::kTransient, ErrorCode::kTimedOut},
      {400, "ExpiredToken", RetryClass::kRefreshCredentials, ErrorCode::kDenied},
      {403, "RequestTimeTooSkewed", RetryClass::kCorrectClock, ErrorCode::kDenied},
      {400, "AuthorizationHeaderMalformed", RetryClass::kOtherRegion, ErrorCode::kWrongRegion},
      {301, "", RetryClass::kOtherRegion, ErrorCode::kWrongRegion},
      {403, "AccessDenied", RetryClass::kNever, ErrorCode::kDenied},
      {403, "InvalidObjectState", RetryClass::kNever, ErrorCode::kArchivedStorage},
      {404, "NoSuchBucket", RetryClass::kNever, ErrorCode::kNoSuchBucket},
      {404, "", RetryClass::kNever, ErrorCode::kNotFound},
      {412, "", RetryClass::kNever, ErrorCode::kObjectChanged},
      {416, "InvalidRange", RetryClass::kNever, ErrorCode::kInvalidArgument},
      {501, "NotImplemented", RetryClass::kNever, ErrorCode::kNotSupported},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(ClassifyFailure({row.status, row.code}), row.retry) << row.status << row.code;
    EXPECT_EQ(FinalCode({row.status, row.code}), row.final_code) << row.status << row.code;
  }
}

TEST(Retry, FullJitterDoublesUpToTheMost) {
  RetryBudget budget;
  EXPECT_EQ(budget.NextDelay(RetryClass::kTransient, 0, 0.0, {}), milliseconds(0));
  EXPECT_EQ(budget.NextDelay(RetryClass::kTransient, 0, 0.5, {}), milliseconds(25));
  EXPECT_EQ(budget.NextDelay(RetryClass::kTransient, 3, 0.5, {}), milliseconds(200));
  EXPECT_EQ(budget.NextDelay(RetryClass::kThrottled, 1, 0.5, {}), milliseconds(500));
  EXPECT_LE(budget.NextDelay(RetryClass::kThrottled, 4'000'000'000u, 0.999, {}), milliseconds(20'000));
}

TEST(Retry, TheServersHintBoundsTheDelay) {
  RetryBudget budget;
  EXPECT_EQ(budget.NextDelay(RetryClass::kThrottled, 0, 0.0, milliseconds(700)), milliseconds(700));
}

TEST(Retry, WithoutTokensRetriesBecomeRare) {
  RetryBudget budget({.tokens_max = 2, .tokens_per_success = 0.5});
  EXPECT_LE(budget.NextDelay(RetryClass::kTransient, 0, 0.9, {}), milliseconds(50));
  EXPECT_LE(budget.NextDelay(RetryClass::kTransient, 0, 0.9, {}), milliseconds(50));
  EXPECT_GE(budget.NextDelay(RetryClass::kTransient, 0, 0.0, {}), milliseconds(10'000));
  budget.OnSuccess();
  budget.OnSuccess();
  EXPECT_LE(budget.NextDelay(RetryClass::kTransient, 0, 0.9, {}), milliseconds(50));
}

}  // namespace
}  // namespace leat::policy
