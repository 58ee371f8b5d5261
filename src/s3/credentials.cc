// SPDX-License-Identifier: Apache-2.0
#include "s3/credentials.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/service_request.h"
#include "s3/xml.h"

namespace leat::s3 {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kUsableBeforeExpiry = 120 * kSecond;
constexpr int64_t kRefreshBeforeExpiry = 15 * 60 * kSecond;
constexpr std::chrono::seconds kPauseBetweenFetches{60};
// There is no metadata service outside EC2, and packets to it may just vanish: the first question is asked once. What
// has answered, or is configured, is given more time.
constexpr long kFirstTimeoutMs = 1000;
constexpr long kServiceTimeoutMs = 2000;
constexpr int kServiceTriesMax = 3;

// Of a service that is known to be there; blocks for some seconds at most.
ServiceAnswer AskAgain(const std::string& url, const std::vector<std::string>& headers) {
  ServiceAnswer answer;
  for (int i = 0; i < kServiceTriesMax; ++i) {
    answer = Ask({.url = url, .headers = headers, .timeout_ms = kServiceTimeoutMs});
    if (answer.status != 0 && answer.status != 429 && answer.status < 500) break;
  }
  return answer;
}

Result<Credentials> ParseJson(const std::string& text, const char* source) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const auto field = [&](const char* name) {
    return json.is_object() && json.contains(name) && json[name].is_string() ? json[name].get<std::string>()
                                                                             : std::string();
  };
  Credentials credentials;
  credentials.from_service = true;
  credentials.access_key_id = field("AccessKeyId");
  credentials.secret_access_key = Secret(field("SecretAccessKey"));
  credentials.session_token = Secret(field("Token"));
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty())
    return Fail(ErrorCode::kNoCredentials, std::string(source) + " answered without credentials");
  if (const std::string expiration = field("Expiration"); !expiration.empty()) {
    // One that cannot be read must not take the credentials with it: S3 knows when they end.
    if (const auto expires = ParseIsoTime(expiration)) credentials.expires_ns = *expires;
  }
  return credentials;
}

bool HasKeys(const Environment& environment) {
  return !Lookup(environment, "AWS_ACCESS_KEY_ID").empty() && !Lookup(environment, "AWS_SECRET_ACCESS_KEY").empty();
}

std::string ContainerUrl(const Environment& environment) {
  const std::string relative = Lookup(environment, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  return relative.empty() ? Lookup(environment, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
                          : "http://169.254.170.2" + relative;
}

Status CheckWebIdentity(const Environment& environment) {
  if (Lookup(environment, "AWS_WEB_IDENTITY_TOKEN_FILE").empty() || Lookup(environment, "AWS_ROLE_ARN").empty())
    return {};
  return Fail(ErrorCode::kNoCredentials,
              "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN ask for a web identity, which Leat does not read yet; "
              "export keys with: aws configure export-credentials --format env");
}

bool HasControlCharacter(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

}  // namespace

CredentialChain::CredentialChain(const S3Settings& settings, Environment environment, const env::Clock& clock)
    : anonymous_(settings.options.no_sign_request),
      metadata_service_(settings.options.metadata_service),
      profile_(settings.profile),
      profile_is_explicit_(settings.profile_is_explicit),
      clock_(clock),
      environment_(std::move(environment)) {}

std::shared_ptr<const Credentials> CredentialChain::Get() const {
  const std::lock_guard lock(mutex_);
  if (held_ == nullptr) return nullptr;
  const bool ends = held_->expires_ns != 0 && held_->expires_ns < clock_.WallTimeNs() + kUsableBeforeExpiry;
  return ends && clock_.Now() >= next_fetch_ ? nullptr : held_;
}

bool CredentialChain::WantsRefresh() const {
  const std::lock_guard lock(mutex_);
  return held_ != nullptr && held_->expires_ns != 0 && clock_.Now() >= next_fetch_ &&
         held_->expires_ns < clock_.WallTimeNs() + kRefreshBeforeExpiry;
}

void CredentialChain::Renew(const Environment& environment) {
  if (!HasKeys(environment) && ContainerUrl(environment).empty()) return;
  const std::lock_guard lock(mutex_);
  renewed_ = environment;
  is_renewed_ = true;
}

Result<std::shared_ptr<const Credentials>> CredentialChain::Fetch(uint64_t refused_generation) {
  const bool wants_refresh = WantsRefresh();
  std::shared_ptr<const Credentials> before;
  {
    const std::lock_guard lock(mutex_);
    before = held_;
    const bool is_early = clock_.Now() < next_fetch_;
    if (before != nullptr && before->generation <= refused_generation) {
      if (before->from_service && is_early && !is_renewed_) return before;  // it would say the same again
    } else if (before != nullptr && (is_early || !wants_refresh)) {
      return before;
    }
    // Those at hand have ended or soon will: only now does what a later caller brought take their place. It may be of
    // another identity, and must not drive out one that works.
    if (std::exchange(is_renewed_, false)) environment_ = std::exchange(renewed_, {});
  }
  Result<Credentials> loaded = Load();
  const std::lock_guard lock(mutex_);
  if (!loaded) {
    if (before == nullptr || before->generation <= refused_generation) return Fail(loaded.error());
    LogWarning("no newer credentials: " + loaded.error().message + "; those at hand stay in use");
    next_fetch_ = clock_.Now() + kPauseBetweenFetches;
    return before;
  }
  next_fetch_ = clock_.Now() + kPauseBetweenFetches;
  loaded->generation = ++generation_;
  auto fresh = std::make_shared<const Credentials>(std::move(*loaded));
  held_ = fresh;
  return fresh;
}

Result<Credentials> CredentialChain::Load() const {
  const auto checked = [](Result<Credentials> found) -> Result<Credentials> {
    if (found && (HasControlCharacter(found->access_key_id) || HasControlCharacter(found->session_token.Reveal())))
      return Fail(ErrorCode::kNoCredentials, "the credentials found hold control characters; check where they are set");
    return found;
  };
  if (!profile_is_explicit_ && HasKeys(environment_)) {
    Credentials credentials;
    credentials.access_key_id = Lookup(environment_, "AWS_ACCESS_KEY_ID");
    credentials.secret_access_key = Secret(Lookup(environment_, "AWS_SECRET_ACCESS_KEY"));
    credentials.session_token = Secret(Lookup(environment_, "AWS_SESSION_TOKEN"));
    if (const auto ends = ParseIsoTime(Lookup(environment_, "AWS_CREDENTIAL_EXPIRATION")))
      credentials.expires_ns = *ends;
    return checked(std::move(credentials));
  }
  std::string tried = profile_is_explicit_ ? "" : "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ";
  // A profile that somebody has named, by option or by AWS_PROFILE, comes before the web identity, as at AWS.
  const bool is_named = profile_is_explicit_ || !Lookup(environment_, "AWS_PROFILE").empty();
  if (!is_named) LEAT_RETURN_IF_ERROR(CheckWebIdentity(environment_));
  if (auto found = FromFiles(); found || found.error().code != ErrorCode::kNotFound) return checked(std::move(found));
  LEAT_RETURN_IF_ERROR(CheckProfile());
  if (is_named && !profile_is_explicit_) LEAT_RETURN_IF_ERROR(CheckWebIdentity(environment_));
  tried += "the profile '" + profile_ + "' of the AWS credentials and config files";
  if (auto found = FromContainerEndpoint(); found || found.error().code != ErrorCode::kNotFound)
    return checked(std::move(found));
  tried += ", the container's credential endpoint (not set)";
  if (metadata_service_ && ToLower(Lookup(environment_, "AWS_EC2_METADATA_DISABLED")) != "true") {
    auto found = FromMetadataService();
    if (found) return checked(std::move(found));
    tried += ", the machine's metadata service (" + found.error().message + ")";
  }
  return Fail(ErrorCode::kNoCredentials, "no AWS credentials found; tried " + tried +
                                             "; set one of them, or use --no-sign-request for a public bucket");
}

Result<Credentials> CredentialChain::FromFiles() const {
  const auto from = [&](const ProfileFile& file, const std::string& section) -> Result<Credentials> {
    const auto found = file.find(section);
    if (found == file.end()) return Fail(ErrorCode::kNotFound, "no section " + section);
    const Environment& values = found->second;
    Credentials credentials;
    credentials.access_key_id = Lookup(values, "aws_access_key_id");
    credentials.secret_access_key = Secret(Lookup(values, "aws_secret_access_key"));
    credentials.session_token = Secret(Lookup(values, "aws_session_token"));
    if (credentials.access_key_id.empty() || credentials.secret_access_key.empty())
      return Fail(ErrorCode::kNotFound, "no keys in section " + section);
    return credentials;
  };
  if (auto found = from(ReadCredentialsFile(environment_), profile_); found) return found;
  return from(ReadConfigFile(environment_), ConfigSection(profile_));
}

Status CredentialChain::CheckProfile() const {
  const ProfileFile credentials = ReadCredentialsFile(environment_), config = ReadConfigFile(environment_);
  const std::string section = ConfigSection(profile_);
  for (const auto& [file, name] : {std::pair(&credentials, &profile_), std::pair(&config, &section)}) {
    const auto found = file->find(*name);
    if (found == file->end()) continue;
    for (const auto& [key, value] : found->second) {
      if (key != "role_arn" && key != "credential_process" && key != "web_identity_token_file" &&
          !key.starts_with("sso_"))
        continue;
      return Fail(ErrorCode::kNoCredentials, "profile '" + profile_ + "' uses " + key +
                                                 ", which Leat does not read yet; export keys with: aws configure "
                                                 "export-credentials --profile " +
                                                 profile_ + " --format env");
    }
  }
  if (profile_ != "default" && !credentials.contains(profile_) && !config.contains(section)) {
    return Fail(ErrorCode::kNoCredentials, "profile '" + profile_ +
                                               "' is in neither the AWS config nor the credentials file; see aws "
                                               "configure list-profiles, and AWS_PROFILE");
  }
  return {};
}

Result<Credentials> CredentialChain::FromContainerEndpoint() const {
  const std::string url = ContainerUrl(environment_);
  if (url.empty()) return Fail(ErrorCode::kNotFound, "no container endpoint");
  bool allowed = url.starts_with("https://");
  // The token must not travel in the clear over a network.
  for (const char* host : {"http://127.0.0.1", "http://localhost", "http://[::1]", "http://169.254.170.2",
                           "http://169.254.170.23", "http://[fd00:ec2::23]"}) {
    const std::string prefix(host);
    if (url.starts_with(prefix) &&
        (url.size() == prefix.size() || url[prefix.size()] == ':' || url[prefix.size()] == '/'))
      allowed = url.find('@') == std::string::npos;
  }
  if (!allowed)
    return Fail(ErrorCode::kNoCredentials, "the container's credential endpoint " + url +
                                               " is of a host that is not allowed over http; use https, or correct "
                                               "AWS_CONTAINER_CREDENTIALS_FULL_URI");
  std::string token = Lookup(environment_, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (const std::string file = Lookup(environment_, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); !file.empty()) {
    auto text = ReadFile(file, kServiceAnswerBytesMax);
    if (!text)
      return Fail(ErrorCode::kNoCredentials,
                  "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read: " + text.error().message);
    token = std::string(Trim(*text));
  }
  if (HasControlCharacter(token))
    return Fail(ErrorCode::kNoCredentials,
                "the container's authorization token holds control characters; check where it is set");
  std::vector<std::string> headers;
  if (!token.empty()) headers.push_back("Authorization: " + token);
  const ServiceAnswer answer = AskAgain(url, headers);
  if (answer.status != 200)
    return Fail(ErrorCode::kNoCredentials, "the container's credential endpoint " + url + " gives no credentials (" +
                                               answer.reason + "); check it and AWS_CONTAINER_CREDENTIALS_*");
  return ParseJson(answer.body, "the container's credential endpoint");
}

Result<Credentials> CredentialChain::FromMetadataService() const {
  std::string endpoint = Lookup(environment_, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
  if (endpoint.empty()) {
    const bool is_v6 = ToLower(Lookup(environment_, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")) == "ipv6";
    endpoint = is_v6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
  }
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const ServiceAnswer token = Ask({.method = "PUT",
                                   .url = endpoint + "/latest/api/token",
                                   .headers = {"x-aws-ec2-metadata-token-ttl-seconds: 21600"},
                                   .timeout_ms = kFirstTimeoutMs});
  if (token.status != 200 || HasControlCharacter(token.body))
    return Fail(ErrorCode::kNoCredentials, "no token: " + token.reason);
  const std::vector<std::string> headers = {"x-aws-ec2-metadata-token: " + token.body};
  const std::string base = endpoint + "/latest/meta-data/iam/security-credentials/";
  const ServiceAnswer roles = AskAgain(base, headers);
  const std::string role(Trim(roles.body.substr(0, roles.body.find('\n'))));
  if (roles.status != 200 || role.empty())
    return Fail(ErrorCode::kNoCredentials, "the machine has no role: " + roles.reason);
  const ServiceAnswer answer = AskAgain(base + PercentEncode(role, false), headers);
  if (answer.status != 200)
    return Fail(ErrorCode::kNoCredentials, "no credentials of role '" + role + "': " + answer.reason);
  return ParseJson(answer.body, "the metadata service");
}

}  // namespace leat::s3
