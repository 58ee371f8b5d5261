// SPDX-License-Identifier: Apache-2.0
#include "s3/credentials.h"

#include <curl/curl.h>

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/text.h"
#include "s3/xml.h"

namespace leat::s3 {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kUsableBeforeExpiry = 120 * kSecond;
constexpr int64_t kRefreshBeforeExpiry = 15 * 60 * kSecond;
constexpr long kMetadataTimeoutMs = 1000;  // there is no such service outside EC2, and packets to it may just vanish
constexpr size_t kAnswerBytesMax = 64 << 10;

struct Answer {
  long status = 0;
  std::string body;
};

size_t Collect(char* bytes, size_t size, size_t count, void* out) {
  auto& body = *static_cast<std::string*>(out);
  if (body.size() + size * count > kAnswerBytesMax) return 0;
  body.append(bytes, size * count);
  return size * count;
}

// Blocks for a second at most. No proxy: the metadata service is on the machine.
Answer Ask(const std::string& method, const std::string& url, const std::vector<std::string>& headers) {
  Answer answer;
  CURL* curl = curl_easy_init();
  if (curl == nullptr) return answer;
  curl_slist* list = nullptr;
  for (const std::string& header : headers) list = curl_slist_append(list, header.c_str());
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, kMetadataTimeoutMs);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Collect);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer.body);
  if (curl_easy_perform(curl) == CURLE_OK) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
  curl_slist_free_all(list);
  curl_easy_cleanup(curl);
  return answer;
}

Result<Credentials> ParseJson(const std::string& text, const char* source) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const auto field = [&](const char* name) {
    return json.is_object() && json.contains(name) && json[name].is_string() ? json[name].get<std::string>()
                                                                             : std::string();
  };
  Credentials credentials;
  credentials.access_key_id = field("AccessKeyId");
  credentials.secret_access_key = Secret(field("SecretAccessKey"));
  credentials.session_token = Secret(field("Token"));
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty())
    return Fail(ErrorCode::kNoCredentials, std::string(source) + " answered without credentials");
  if (const std::string expiration = field("Expiration"); !expiration.empty()) {
    LEAT_ASSIGN_OR_RETURN(credentials.expires_ns, ParseIsoTime(expiration));
  }
  return credentials;
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
      environment_(std::move(environment)),
      clock_(clock) {}

std::shared_ptr<const Credentials> CredentialChain::Get() const {
  const std::lock_guard lock(mutex_);
  if (held_ == nullptr) return nullptr;
  if (held_->expires_ns != 0 && held_->expires_ns < clock_.WallTimeNs() + kUsableBeforeExpiry) return nullptr;
  return held_;
}

bool CredentialChain::WantsRefresh() const {
  const std::lock_guard lock(mutex_);
  return held_ != nullptr && held_->expires_ns != 0 && held_->expires_ns < clock_.WallTimeNs() + kRefreshBeforeExpiry;
}

Result<std::shared_ptr<const Credentials>> CredentialChain::Fetch(uint64_t refused_generation) {
  uint64_t generation = 0;
  {
    const std::lock_guard lock(mutex_);
    if (held_ != nullptr) generation = held_->generation;
  }
  if (generation > refused_generation && !WantsRefresh()) {
    if (auto held = Get()) return held;
  }
  LEAT_ASSIGN_OR_RETURN(Credentials loaded, Load());
  if (HasControlCharacter(loaded.access_key_id) || HasControlCharacter(loaded.session_token.Reveal()))
    return Fail(ErrorCode::kNoCredentials, "the credentials found hold control characters; check where they are set");
  loaded.generation = generation + 1;
  auto fresh = std::make_shared<const Credentials>(std::move(loaded));
  const std::lock_guard lock(mutex_);
  held_ = fresh;
  return fresh;
}

Result<Credentials> CredentialChain::Load() const {
  const std::string id = Lookup(environment_, "AWS_ACCESS_KEY_ID");
  const std::string secret = Lookup(environment_, "AWS_SECRET_ACCESS_KEY");
  if (!profile_is_explicit_ && !id.empty() && !secret.empty()) {
    Credentials credentials;
    credentials.access_key_id = id;
    credentials.secret_access_key = Secret(secret);
    credentials.session_token = Secret(Lookup(environment_, "AWS_SESSION_TOKEN"));
    return credentials;
  }
  std::string tried = profile_is_explicit_ ? "" : "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ";
  if (auto found = FromFiles(); found) return found;
  tried += "the profile '" + profile_ + "' of the AWS credentials and config files";
  if (auto found = FromContainerEndpoint(); found) return found;
  tried += ", the container's credential endpoint";
  if (metadata_service_ && ToLower(Lookup(environment_, "AWS_EC2_METADATA_DISABLED")) != "true") {
    if (auto found = FromMetadataService(); found) return found;
    tried += ", the machine's metadata service";
  }
  return Fail(ErrorCode::kNoCredentials, "no AWS credentials found; tried " + tried +
                                             "; set one of them, or use --no-sign-request for a public bucket");
}

Result<Credentials> CredentialChain::FromFiles() const {
  const auto from = [&](const ProfileFile& file, const std::string& section) -> Result<Credentials> {
    const auto found = file.find(section);
    if (found == file.end()) return Fail(ErrorCode::kNoCredentials, "no section " + section);
    const Environment& values = found->second;
    Credentials credentials;
    credentials.access_key_id = Lookup(values, "aws_access_key_id");
    credentials.secret_access_key = Secret(Lookup(values, "aws_secret_access_key"));
    credentials.session_token = Secret(Lookup(values, "aws_session_token"));
    if (credentials.access_key_id.empty() || credentials.secret_access_key.empty())
      return Fail(ErrorCode::kNoCredentials, "no keys in section " + section);
    return credentials;
  };
  if (auto found = from(ReadCredentialsFile(environment_), profile_); found) return found;
  return from(ReadConfigFile(environment_), ConfigSection(profile_));
}

Result<Credentials> CredentialChain::FromContainerEndpoint() const {
  const std::string relative = Lookup(environment_, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  std::string url =
      relative.empty() ? Lookup(environment_, "AWS_CONTAINER_CREDENTIALS_FULL_URI") : "http://169.254.170.2" + relative;
  if (url.empty()) return Fail(ErrorCode::kNoCredentials, "no container endpoint");
  bool allowed = url.starts_with("https://");
  // The token must not travel in the clear over a network.
  for (const char* host : {"http://127.0.0.1", "http://localhost", "http://[::1]", "http://169.254.170.2",
                           "http://169.254.170.23", "http://[fd00:ec2::23]"}) {
    const std::string prefix(host);
    if (url.starts_with(prefix) &&
        (url.size() == prefix.size() || url[prefix.size()] == ':' || url[prefix.size()] == '/'))
      allowed = url.find('@') == std::string::npos;
  }
  if (!allowed) return Fail(ErrorCode::kNoCredentials, "the container endpoint's host is not allowed over http");
  std::string token = Lookup(environment_, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (const std::string file = Lookup(environment_, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); !file.empty()) {
    LEAT_ASSIGN_OR_RETURN(token, ReadFile(file, kAnswerBytesMax));
    token = std::string(Trim(token));
  }
  if (HasControlCharacter(token))
    return Fail(ErrorCode::kNoCredentials, "the container token holds control characters");
  std::vector<std::string> headers;
  if (!token.empty()) headers.push_back("Authorization: " + token);
  const Answer answer = Ask("GET", url, headers);
  if (answer.status != 200) return Fail(ErrorCode::kNoCredentials, "the container endpoint did not answer");
  return ParseJson(answer.body, "the container's credential endpoint");
}

Result<Credentials> CredentialChain::FromMetadataService() const {
  std::string endpoint = Lookup(environment_, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
  if (endpoint.empty()) {
    const bool is_v6 = ToLower(Lookup(environment_, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")) == "ipv6";
    endpoint = is_v6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
  }
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const Answer token = Ask("PUT", endpoint + "/latest/api/token", {"x-aws-ec2-metadata-token-ttl-seconds: 21600"});
  if (token.status != 200 || HasControlCharacter(token.body))
    return Fail(ErrorCode::kNoCredentials, "the metadata service gave no token");
  const std::vector<std::string> headers = {"x-aws-ec2-metadata-token: " + token.body};
  const std::string base = endpoint + "/latest/meta-data/iam/security-credentials/";
  const Answer roles = Ask("GET", base, headers);
  const std::string role(Trim(roles.body.substr(0, roles.body.find('\n'))));
  if (roles.status != 200 || role.empty()) return Fail(ErrorCode::kNoCredentials, "the machine has no role");
  const Answer answer = Ask("GET", base + PercentEncode(role, false), headers);
  if (answer.status != 200) return Fail(ErrorCode::kNoCredentials, "the metadata service did not answer");
  return ParseJson(answer.body, "the metadata service");
}

}  // namespace leat::s3
