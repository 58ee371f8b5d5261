// SPDX-License-Identifier: Apache-2.0
// From a mount request to an object store: s3/ for "s3://...", posix/ for "file:///...".
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"
#include "env/clock.h"
#include "env/object_store.h"
#include "env/request_counters.h"
#include "model/repository_url.h"

namespace leat::cli {

struct OpenedRepository {
  std::shared_ptr<env::ObjectStore> store;
  const env::RequestCounters* counters = nullptr;  // lives as long as the store; null: it counts nothing
  // Asks the repository for one listing and says in words what is wrong; blocks for some seconds at most. Empty: a LIST
  // does.
  // Whether anything lies below the prefix.
  std::function<Result<bool>()> check;
  // Takes over the credentials of another request's "environment", if it has any. Does not wait. Empty: there are none.
  std::function<void(const nlohmann::json& request)> renew_credentials;
};

// "aws", an endpoint's scheme and authority, or "directory": what a bucket's name is relative to. Found as a request to
// it would be, from the options, the environment and the AWS configuration files of `request`.
Result<std::string> EndpointOf(const nlohmann::json& request, const RepositoryUrl& repository);

// Of the one with that RepositoryEnvironment, wherever it comes from; empty: what his profile says is none.
std::string RegionOf(const nlohmann::json& environment);

// `request`: "endpoint_url", "region", "profile", "no_sign_request", "request_payer", "environment". Sends nothing yet.
Result<OpenedRepository> OpenRepository(const nlohmann::json& request, const RepositoryUrl& repository,
                                        const env::Clock& clock);

}  // namespace leat::cli
