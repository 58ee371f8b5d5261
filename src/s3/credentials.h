// SPDX-License-Identifier: Apache-2.0
// Who we are to S3: environment, shared credentials and config files, the container endpoint's and the machine's
// metadata service (IMDSv2), or nobody (--no-sign-request).
//
// What was loaded is served until something newer is there, also past its end: a clock may be wrong and a credential
// service may be down, so it is for S3 to refuse. A credential service is asked once a minute at most.
//
// A source that is configured and cannot be used ends the search, with the reason: whoever comes next in line would be
// another identity than the one meant.
//
// Threads: Get(), WantsRefresh() and Renew() from any, at once. Fetch() blocks (a credential service may take seconds)
// and belongs to the one thread that fetches, which makes it single flight; the network threads never call it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "env/clock.h"
#include "s3/config.h"
#include "s3/secret.h"

namespace leat::s3 {

struct Credentials {
  std::string access_key_id;
  Secret secret_access_key;
  Secret session_token;       // empty: long-lived keys
  int64_t expires_ns = 0;     // since the epoch; 0: never
  bool from_service = false;  // asked for over HTTP: not to be repeated at will
  uint64_t generation = 0;    // grows with each fetch; tells a refused one from its successor
};

class CredentialChain {
 public:
  CredentialChain(const S3Settings& settings, Environment environment, const env::Clock& clock);

  bool anonymous() const { return anonymous_; }
  // What is held; null when Fetch() is needed: nothing is held, or it is about to end and no newer one was asked for
  // in the last minute.
  std::shared_ptr<const Credentials> Get() const;
  // True when Get()'s are within a quarter of an hour of their end and a refresh in good time is due.
  bool WantsRefresh() const;
  // Newer credentials than `refused_generation` (0: any), or the same again when the source has no other.
  // kNoCredentials says what was tried.
  Result<std::shared_ptr<const Credentials>> Fetch(uint64_t refused_generation);
  // Another environment to find credentials in, if it carries any; they are fetched when next needed.
  void Renew(const Environment& environment);

 private:
  Result<Credentials> Load() const;
  // kNotFound: this source is not configured. Any other failure: it is, and cannot be used.
  Result<Credentials> FromFiles() const;
  Result<Credentials> FromMetadataService() const;
  Result<Credentials> FromContainerEndpoint() const;
  // The reason when the profile names a source of credentials that Leat does not read.
  Status CheckProfile() const;

  const bool anonymous_;
  const bool metadata_service_;
  const std::string profile_;
  const bool profile_is_explicit_;  // by an option: it counts more than keys in the environment
  const env::Clock& clock_;

  mutable std::mutex mutex_;  // protects what follows
  Environment renewed_;
  bool is_renewed_ = false;
  std::shared_ptr<const Credentials> held_;
  uint64_t generation_ = 0;
  env::MonotonicTime next_fetch_{};

  Environment environment_;  // Fetch's thread only
};

}  // namespace leat::s3
