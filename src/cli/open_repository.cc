// SPDX-License-Identifier: Apache-2.0
#include "cli/open_repository.h"

#include "control/protocol.h"
#include "posix/directory_object_store.h"
#include "s3/s3_object_store.h"

namespace leat::cli {
namespace {

using control::BoolMember;
using control::StringMember;
using Json = nlohmann::json;

// The counters live as long as the store that writes them, whoever holds it last.
struct CountedStore {
  env::RequestCounters counters;
  std::unique_ptr<env::ObjectStore> store;
};

s3::Environment EnvironmentOf(const Json& request) {
  s3::Environment environment;
  const auto variables = request.find("environment");
  if (variables == request.end() || !variables->is_object()) return environment;
  for (const auto& [name, value] : variables->items()) {
    if (value.is_string()) environment[name] = value.get<std::string>();
  }
  return environment;
}

Result<s3::S3Options> OptionsOf(const Json& request, const RepositoryUrl& repository) {
  s3::S3Options options;
  options.bucket = repository.bucket;
  LEAT_ASSIGN_OR_RETURN(options.endpoint_url, StringMember(request, "endpoint_url", ""));
  LEAT_ASSIGN_OR_RETURN(options.region, StringMember(request, "region", ""));
  LEAT_ASSIGN_OR_RETURN(options.profile, StringMember(request, "profile", ""));
  LEAT_ASSIGN_OR_RETURN(options.no_sign_request, BoolMember(request, "no_sign_request", false));
  LEAT_ASSIGN_OR_RETURN(options.requester_pays, BoolMember(request, "request_payer", false));
  return options;
}

}  // namespace

Result<std::string> EndpointOf(const Json& request, const RepositoryUrl& repository) {
  if (repository.kind == RepositoryUrl::Kind::kDirectory) return std::string("directory");
  LEAT_ASSIGN_OR_RETURN(s3::S3Options options, OptionsOf(request, repository));
  options.addressing = s3::Addressing::kPath;  // the endpoint's own name, without the bucket
  LEAT_ASSIGN_OR_RETURN(const s3::S3Settings settings, s3::ResolveS3Settings(options, EnvironmentOf(request)));
  return settings.is_aws ? std::string("aws") : settings.Endpoint();
}

std::string RegionOf(const Json& environment) {
  s3::S3Options options;
  options.bucket = "-";
  options.addressing = s3::Addressing::kPath;
  const auto settings = s3::ResolveS3Settings(options, EnvironmentOf({{"environment", environment}}));
  return settings ? settings->region : "";
}

Result<OpenedRepository> OpenRepository(const Json& request, const RepositoryUrl& repository, const env::Clock& clock) {
  auto counted = std::make_shared<CountedStore>();
  OpenedRepository opened;
  opened.counters = &counted->counters;
  if (repository.kind == RepositoryUrl::Kind::kDirectory) {
    LEAT_ASSIGN_OR_RETURN(counted->store, posix::OpenDirectoryObjectStore(repository.path, counted->counters));
  } else {
    LEAT_ASSIGN_OR_RETURN(const s3::S3Options options, OptionsOf(request, repository));
    LEAT_ASSIGN_OR_RETURN(auto store,
                          s3::S3ObjectStore::Create(options, EnvironmentOf(request), counted->counters, clock));
    opened.check = [raw = store.get(), prefix = repository.prefix] { return raw->Check(prefix); };
    opened.renew_credentials = [raw = store.get()](const Json& other) { raw->RenewCredentials(EnvironmentOf(other)); };
    counted->store = std::move(store);
  }
  opened.store = std::shared_ptr<env::ObjectStore>(counted, counted->store.get());
  return opened;
}

}  // namespace leat::cli
