// SPDX-License-Identifier: Apache-2.0
// Where and how to reach a bucket: what the user asked for (S3Options), and what that comes to once environment
// variables and AWS's config files are read (S3Settings). Values; immutable after construction.
//
// Precedence, highest first: the option; AWS_ENDPOINT_URL_S3; AWS_ENDPOINT_URL; the profile's `services` section; the
// profile's endpoint_url. AWS_REGION; AWS_DEFAULT_REGION; the profile's region; us-east-1. AWS_CA_BUNDLE; the profile's
// ca_bundle; CURL_CA_BUNDLE; SSL_CERT_FILE. The proxy as in botocore: https_proxy or http_proxy by the endpoint's
// scheme, and no_proxy, in lower case or else in upper.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace leat::s3 {

// Environment variables by name: passed in, so that a daemon can use those of the command that asked.
using Environment = std::map<std::string, std::string>;
Environment ProcessEnvironment();

enum class Addressing {
  kAuto,  // virtual-hosted at AWS for DNS-compatible names, path style at any other endpoint
  kPath,
  kVirtual,
};

struct S3Options {
  std::string bucket;
  std::string region;        // empty: from the environment
  std::string endpoint_url;  // empty: from the environment, else AWS
  Addressing addressing = Addressing::kAuto;
  std::string profile;  // empty: AWS_PROFILE, else "default"
  bool no_sign_request = false;
  bool requester_pays = false;

  uint32_t connections_max = 128;  // over all threads
  uint32_t threads = 0;  // network threads, one of which carries some 10,000 small GETs a second; 0: by the processors
  std::chrono::milliseconds demand_deadline{60'000};       // an operation's retries end then
  std::chrono::milliseconds background_deadline{300'000};  // the same for background GETs
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::seconds stall_timeout{10};  // below 1 KiB/s for so long: the transfer is cut and resumed
  // CompleteMultipartUpload joins the parts before it answers, which takes Amazon minutes for a large object.
  std::chrono::seconds completion_stall_timeout{300};
  std::chrono::milliseconds completion_deadline{900'000};
  std::chrono::milliseconds check_deadline{8'000};  // Check()'s whole time
  bool metadata_service = true;                     // ask the machine's metadata service for credentials
};

struct S3Settings {
  S3Options options;  // as given
  std::string region;
  std::string scheme;     // "https" or "http"
  std::string authority;  // Host header: bucket included when virtual-hosted, port unless the scheme's own
  std::string base_path;  // what stands before "/key": "" or "/bucket", with the endpoint's own path before it
  std::string profile;
  bool profile_is_explicit = false;
  bool is_aws = false;       // no custom endpoint: a region redirect may change the host
  std::string ca_bundle;     // empty: the system's
  std::string ca_directory;  // the same
  std::string proxy;         // empty: none. May hold a password: for no message.
  std::string no_proxy;      // hosts that are reached without it, in libcurl's form

  std::string Endpoint() const { return scheme + "://" + authority; }
};

// Fails with kInvalidArgument naming the variable, flag or file line that is wrong.
Result<S3Settings> ResolveS3Settings(const S3Options& options, const Environment& environment);
// Where STS is for the same caller, no bucket in it: AWS_ENDPOINT_URL_STS, the profile's `services` section, AWS's own
// when S3 is AWS's. kNotFound: it is not known, for S3 is elsewhere.
Result<S3Settings> ResolveStsSettings(const Environment& environment);
// The same for another region at AWS (a redirect); at a custom endpoint only the signing region changes.
S3Settings WithRegion(const S3Settings& settings, const std::string& region);

// An AWS ini file: section -> key -> value. Nested values ("s3 =" and indented lines) appear as "s3.key". Keys lower
// case.
using ProfileFile = std::map<std::string, std::map<std::string, std::string>>;
ProfileFile ParseProfileFile(std::string_view text);
// The shared credentials or config file that `environment` names, empty when there is none.
ProfileFile ReadCredentialsFile(const Environment& environment);
ProfileFile ReadConfigFile(const Environment& environment);
// In the config file a profile's section is "profile NAME", but for "default".
std::string ConfigSection(const std::string& profile);
std::string Lookup(const Environment& environment, const std::string& name);  // empty when absent

}  // namespace leat::s3
