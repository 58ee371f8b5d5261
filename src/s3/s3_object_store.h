// SPDX-License-Identifier: Apache-2.0
// A bucket of Amazon S3 or of a server that speaks its protocol, over HTTP/1.1.
//
// Threads: as env::ObjectStore. The store owns `S3Options::threads` network threads, each with its own connections, and
// one thread that fetches credentials. Callbacks run on the network threads. Destroying the store ends every request
// with kCancelled and joins its threads; do not destroy it from a callback.
//
//   LEAT_ASSIGN_OR_RETURN(auto store, s3::S3ObjectStore::Create(options, s3::ProcessEnvironment(), counters, clock));
//   LEAT_ASSIGN_OR_RETURN(const bool holds_anything, store->Check("prefix/"));
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "env/clock.h"
#include "env/object_store.h"
#include "env/request_counters.h"
#include "s3/config.h"

namespace leat::s3 {

class S3ObjectStore : public env::ObjectStore {
 public:
  // Reads configuration and starts the threads; talks to no server yet. `counters` and `clock` must outlive the store.
  static Result<std::unique_ptr<S3ObjectStore>> Create(const S3Options& options, const Environment& environment,
                                                       env::RequestCounters& counters, const env::Clock& clock);

  // Lists one key under `prefix`: whether there is any. A failure says in words what is wrong: no such bucket, wrong
  // region, denied, no credentials, nothing there to connect to. Blocks for at most S3Options::check_deadline; not for
  // callbacks.
  virtual Result<bool> Check(const std::string& prefix) = 0;

  // Requests from now on are signed with what `environment` has, if it has credentials at all (keys, or a container's
  // credential endpoint); else nothing changes.
  virtual void RenewCredentials(const Environment& environment) = 0;
};

}  // namespace leat::s3
