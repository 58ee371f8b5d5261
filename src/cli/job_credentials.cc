// SPDX-License-Identifier: Apache-2.0
#include "cli/job_credentials.h"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/daemon_client.h"
#include "jobs/contract.h"
#include "jobs/volume.h"

namespace leat::cli {
namespace {

constexpr const char* kFile = "/credentials-endpoint";

s3::Environment EnvironmentOf(const std::vector<std::string>& variables) {
  s3::Environment environment;
  const Json json = RepositoryEnvironment(variables);
  for (const auto& [name, value] : json.items()) environment[name] = value.get<std::string>();
  return environment;
}

}  // namespace

bool JobCredentials::AreIn(const std::vector<std::string>& variables) {
  return jobs::WithoutCredentials(variables).size() != variables.size();
}

std::string JobCredentials::IdentityIn(const std::vector<std::string>& variables) {
  if (!AreIn(variables)) return "";
  const auto value = [&](const std::string& name) {
    for (const auto& entry : variables) {
      if (entry.starts_with(name + "=")) return entry.substr(name.size() + 1);
    }
    return std::string();
  };
  if (const std::string key = value("AWS_ACCESS_KEY_ID"); !key.empty())
    return "key " + std::to_string(Crc32c(std::as_bytes(std::span(key))));
  for (const char* name : {"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                           "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_SHARED_CREDENTIALS_FILE"}) {
    if (const std::string found = value(name); !found.empty()) return std::string(name) + " " + found;
  }
  return "other";
}

JobCredentials::JobCredentials(std::string state_directory, std::string job, std::vector<std::string> variables,
                               std::string identity)
    : state_directory_(std::move(state_directory)),
      job_(std::move(job)),
      variables_(std::move(variables)),
      identity_(std::move(identity)),
      credentials_(identity_.empty() || AreIn(variables_) ? std::optional(EnvironmentOf(variables_)) : std::nullopt,
                   clock_) {}
JobCredentials::~JobCredentials() = default;

std::string JobCredentials::File() const { return jobs::JobDirectory(state_directory_, job_) + kFile; }

void JobCredentials::Remove(const std::string& state_directory, const std::string& job) {
  unlink((jobs::JobDirectory(state_directory, job) + kFile).c_str());
}

Result<JobCredentials::Given> JobCredentials::Begin() {
  Given given;
  const auto kept = ReadAddress();
  const auto lent = credentials_.Get();
  if (lent && lent->are_long_term) {
    given.warnings.push_back(
        "--pass-credentials gives the script your own keys, which do not end: no STS is known for this S3 endpoint "
        "that would make temporary ones; set AWS_ENDPOINT_URL_STS where there is one");
  }
  if (!lent && !kept)
    given.warnings.push_back("--pass-credentials: the script gets no credentials for now: " + lent.error().message);
  if (!lent) LogWarning("job " + job_ + ": no credentials for the script: " + lent.error().message);
  LEAT_ASSIGN_OR_RETURN(endpoint_, StartEndpoint(kept));
  given.variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = endpoint_->address().Url();
  given.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = endpoint_->address().token;
  AddPlaceOfS3(given);
  return given;
}

std::optional<CredentialsEndpoint::Address> JobCredentials::ReadAddress() const {
  const auto text = ReadFile(File(), 1u << 16);
  const Json json = text ? Json::parse(*text, nullptr, false) : Json();
  if (!json.is_object()) return std::nullopt;
  CredentialsEndpoint::Address address{json.value("port", uint16_t{0}), json.value("path", ""),
                                       json.value("token", "")};
  if (address.port == 0 || address.path.empty() || address.token.empty()) return std::nullopt;
  return address;
}

Result<std::unique_ptr<CredentialsEndpoint>> JobCredentials::StartEndpoint(
    const std::optional<CredentialsEndpoint::Address>& kept) {
  const auto source = [this] { return credentials_.Get(); };
  if (kept) return CredentialsEndpoint::StartAt(*kept, source, {});
  LEAT_ASSIGN_OR_RETURN(auto started, CredentialsEndpoint::Start(source, {}));
  const CredentialsEndpoint::Address& address = started->address();
  const Json json = {{"port", address.port}, {"path", address.path}, {"token", address.token}};
  LEAT_RETURN_IF_ERROR(CreateDirectories(jobs::JobDirectory(state_directory_, job_), 0700));
  LEAT_RETURN_IF_ERROR(WriteFileAtomically(File(), json.dump(), 0600, false));
  return started;
}

// The script must find the same S3, also where the submitter has it from a profile.
void JobCredentials::AddPlaceOfS3(Given& given) const {
  const s3::Environment environment = EnvironmentOf(variables_);
  s3::S3Options options;
  options.bucket = "-";
  options.addressing = s3::Addressing::kPath;
  // A container is given nothing of the caller's by itself.
  for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"}) {
    if (const std::string url = s3::Lookup(environment, name); !url.empty()) given.variables[name] = url;
  }
  const auto settings = s3::ResolveS3Settings(options, environment);
  if (!settings) return;
  const auto is_unset = [&](const char* name) { return s3::Lookup(environment, name).empty(); };
  if (!settings->is_aws && is_unset("AWS_ENDPOINT_URL_S3") && is_unset("AWS_ENDPOINT_URL")) {
    const std::string path = settings->base_path.substr(0, settings->base_path.rfind('/'));
    given.variables["AWS_ENDPOINT_URL_S3"] = settings->Endpoint() + path;
  }
  // The training toolkit's name for it.
  if (const auto url = given.variables.find("AWS_ENDPOINT_URL_S3"); url != given.variables.end())
    given.variables["S3_ENDPOINT_URL"] = url->second;
  if (is_unset("AWS_REGION") && is_unset("AWS_DEFAULT_REGION")) {
    given.variables["AWS_REGION"] = settings->region;
    given.variables["AWS_DEFAULT_REGION"] = settings->region;
  }
}

void JobCredentials::Renew(const std::vector<std::string>& variables) {
  if (AreIn(variables) && IdentityIn(variables) == identity_) credentials_.Renew(EnvironmentOf(variables));
}

Status JobCredentials::Check() {
  const posix::SystemClock clock;
  const Json json = CallerEnvironment();
  s3::Environment environment;
  for (const auto& [name, value] : json.items()) environment[name] = value.get<std::string>();
  const auto lent = s3::TemporaryCredentials(std::move(environment), clock).Get();
  if (lent) return {};
  return Fail(lent.error().code,
              "--pass-credentials needs credentials of yours that a script can be given: " + lent.error().message);
}

}  // namespace leat::cli
