// SPDX-License-Identifier: Apache-2.0
// What is lent to a program on behalf of a caller: the credentials that Leat finds for the caller (s3/credentials),
// with an end. Long-term keys are exchanged at STS (GetSessionToken) where one is known; at an S3 of one's own without
// STS they are lent as they are. Source: the API reference of AWS STS.
//
// Threads: Renew from any. Get blocks for seconds and belongs to one thread at a time, which its caller sees to.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "base/result.h"
#include "env/clock.h"
#include "s3/config.h"
#include "s3/credentials.h"

namespace leat::s3 {

struct LentCredentials {
  Credentials credentials;     // expires_ns is set and lies ahead
  bool are_long_term = false;  // the caller's own keys, which do not end
};

class TemporaryCredentials {
 public:
  // Absent: the caller's environment is not known yet.
  TemporaryCredentials(std::optional<Environment> environment, const env::Clock& clock);
  ~TemporaryCredentials();

  // kNoCredentials: there are none, or they have ended. kUnavailable, kDenied: STS gives none. A failure stands for
  // some seconds before it is tried again.
  Result<LentCredentials> Get();
  // A later environment of the caller's, for the time when there are none of the first.
  void Renew(Environment environment);

 private:
  struct Source;
  Result<std::unique_ptr<Source>> Open(Environment environment) const;
  Result<LentCredentials> From(Source& source);
  Result<LentCredentials> Find(const std::optional<Environment>& renewed);

  const env::Clock& clock_;
  const std::optional<Environment> environment_;
  std::unique_ptr<Source> source_;  // null: none was usable yet
  std::optional<Error> failure_;
  env::MonotonicTime next_try_{};

  std::mutex mutex_;  // protects what follows
  std::optional<Environment> renewed_;
  bool is_newer_ = false;
};

}  // namespace leat::s3
