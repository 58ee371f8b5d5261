// SPDX-License-Identifier: Apache-2.0
// Who we are to S3: environment, shared credentials and config files, the container endpoint's and the machine's
// metadata service (IMDSv2), or nobody (--no-sign-request).
//
// Threads: Get() and WantsRefresh() from any, at once. Fetch() blocks (a metadata service may take a second) and
// belongs to the one thread that fetches, which makes it single flight; the network threads never call it.
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
  Secret session_token;     // empty: long-lived keys
  int64_t expires_ns = 0;   // since the epoch; 0: never
  uint64_t generation = 0;  // grows with each fetch; tells a refused one from its successor
};

class CredentialChain {
 public:
  CredentialChain(const S3Settings& settings, Environment environment, const env::Clock& clock);

  bool anonymous() const { return anonymous_; }
  // What is held and good for two more minutes at least; null when Fetch() is needed.
  std::shared_ptr<const Credentials> Get() const;
  // True when Get()'s are within a quarter of an hour of their end, so that a refresh in good time is worth it.
  bool WantsRefresh() const;
  // Newer credentials than `refused_generation` (0: any). kNoCredentials says what was tried.
  Result<std::shared_ptr<const Credentials>> Fetch(uint64_t refused_generation);

 private:
  Result<Credentials> Load() const;
  Result<Credentials> FromFiles() const;
  Result<Credentials> FromMetadataService() const;
  Result<Credentials> FromContainerEndpoint() const;

  const bool anonymous_;
  const bool metadata_service_;
  const std::string profile_;
  const bool profile_is_explicit_;
  const Environment environment_;
  const env::Clock& clock_;

  mutable std::mutex mutex_;  // protects held_
  std::shared_ptr<const Credentials> held_;
};

}  // namespace leat::s3
