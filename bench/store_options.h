// SPDX-License-Identifier: Apache-2.0
// The options with which the S3 clients of bench/ name a bucket and how it is reached.
#pragma once

#include <CLI/CLI.hpp>

#include "s3/config.h"

namespace leat::bench {

inline void AddStoreOptions(CLI::App& app, s3::S3Options& store) {
  app.add_option("--bucket", store.bucket, "the bucket")->required();
  app.add_option("--endpoint-url", store.endpoint_url, "an S3 endpoint other than Amazon's");
  app.add_option("--region", store.region, "the bucket's region");
  app.add_flag("--no-sign-request", store.no_sign_request, "ask without credentials (public buckets)");
  app.add_option("--threads", store.threads, "network threads, which also parse what S3 says; 0: by the processors")
      ->capture_default_str()
      ->check(CLI::Range(0, 64));
}

}  // namespace leat::bench
