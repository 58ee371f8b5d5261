// SPDX-License-Identifier: Apache-2.0
#include "s3/config.h"

#include <unistd.h>

#include <cctype>

#include "base/file.h"
#include "base/text.h"

extern char** environ;

namespace leat::s3 {
namespace {

constexpr size_t kProfileFileBytesMax = 1 << 20;

std::string HomeDirectory(const Environment& environment) { return Lookup(environment, "HOME"); }

std::string ExpandHome(const Environment& environment, std::string path) {
  if (path == "~" || path.starts_with("~/")) return HomeDirectory(environment) + path.substr(1);
  return path;
}

ProfileFile ReadProfileFile(const Environment& environment, const std::string& variable, const std::string& standard) {
  std::string path = Lookup(environment, variable);
  if (path.empty() && HomeDirectory(environment).empty()) return {};
  path = path.empty() ? HomeDirectory(environment) + standard : ExpandHome(environment, path);
  auto text = ReadFile(path, kProfileFileBytesMax);
  return text ? ParseProfileFile(*text) : ProfileFile{};
}

std::string Value(const ProfileFile& file, const std::string& section, const std::string& key) {
  const auto found = file.find(section);
  if (found == file.end()) return {};
  const auto value = found->second.find(key);
  return value == found->second.end() ? std::string() : value->second;
}

// May stand as one label of a host name: no dot (a certificate's wildcard covers one label), lower case.
bool IsDnsLabel(const std::string& bucket) {
  if (bucket.size() < 3 || bucket.size() > 63 || bucket.front() == '-' || bucket.back() == '-') return false;
  for (const char c : bucket) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
  }
  return true;
}

bool IsRegion(const std::string& region) {
  if (region.empty() || region.size() > 63) return false;
  for (const char c : region) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_') return false;
  }
  return true;
}

struct Named {
  std::string value;
  std::string source;
};

bool IgnoresConfiguredEndpoints(const Environment& environment, const ProfileFile& config, const std::string& section) {
  return ToLower(Lookup(environment, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")) == "true" ||
         ToLower(Value(config, section, "ignore_configured_endpoint_urls")) == "true";
}

Named EndpointOfServices(const ProfileFile& config, const std::string& section, const std::string& service) {
  const std::string services = Value(config, section, "services");
  if (services.empty()) return {};
  return {Value(config, "services " + services, service + ".endpoint_url"),
          "the section [services " + services + "] of the AWS config file"};
}

Named ChooseEndpoint(const S3Options& options, const Environment& environment, const ProfileFile& config,
                     const std::string& section) {
  if (!options.endpoint_url.empty()) return {options.endpoint_url, "the endpoint URL"};
  if (IgnoresConfiguredEndpoints(environment, config, section)) return {};
  for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
    if (std::string value = Lookup(environment, name); !value.empty()) return {value, name};
  }
  if (Named named = EndpointOfServices(config, section, "s3"); !named.value.empty()) return named;
  return {Value(config, section, "endpoint_url"), "endpoint_url of [" + section + "] in the AWS config file"};
}

void PlaceBucket(S3Settings& settings) {
  const std::string& bucket = settings.options.bucket;
  const bool is_virtual = settings.options.addressing == Addressing::kVirtual ||
                          (settings.options.addressing == Addressing::kAuto && settings.is_aws && IsDnsLabel(bucket));
  if (is_virtual) {
    settings.authority = bucket + "." + settings.authority;
  } else {
    settings.base_path += "/" + PercentEncode(bucket, false);
  }
}

Status ApplyEndpoint(S3Settings& settings, const Named& endpoint, const std::string& service = "s3") {
  if (endpoint.value.empty()) {
    settings.is_aws = true;
    settings.scheme = "https";
    settings.authority =
        service + "." + settings.region + (settings.region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com");
    return {};
  }
  const std::string& url = endpoint.value;
  const auto wrong = [&] {
    return Fail(ErrorCode::kInvalidArgument,
                endpoint.source + " is '" + url + "', which is no endpoint; write http://host:port or https://host");
  };
  const size_t mark = url.find("://");
  if (mark == std::string::npos) return wrong();
  settings.scheme = ToLower(url.substr(0, mark));
  if (settings.scheme != "http" && settings.scheme != "https") return wrong();
  const size_t slash = url.find('/', mark + 3);
  settings.authority = url.substr(mark + 3, slash == std::string::npos ? slash : slash - mark - 3);
  if (settings.authority.empty() || settings.authority.find_first_of("@?# \t\r\n\\") != std::string::npos)
    return wrong();
  if (slash != std::string::npos) settings.base_path = url.substr(slash);
  while (settings.base_path.ends_with('/')) settings.base_path.pop_back();
  if (settings.base_path.find_first_of("?# \t\r\n") != std::string::npos) return wrong();
  const std::string standard_port = settings.scheme == "http" ? ":80" : ":443";
  if (settings.authority.ends_with(standard_port) && settings.authority.find(']') != settings.authority.size() - 1) {
    settings.authority.resize(settings.authority.size() - standard_port.size());
  }
  return {};
}

// libcurl reads http_proxy in lower case only, since a web server's child process finds a client's "Proxy:" header in
// HTTP_PROXY. Leat is nobody's CGI script, and botocore, whose settings users have, reads both.
std::string LowerOrUpper(const Environment& environment, std::string name) {
  std::string value = Lookup(environment, name);
  if (!value.empty()) return value;
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return Lookup(environment, name);
}

}  // namespace

Environment ProcessEnvironment() {
  Environment environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos) environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

std::string Lookup(const Environment& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string() : found->second;
}

ProfileFile ParseProfileFile(std::string_view text) {
  ProfileFile file;
  std::map<std::string, std::string>* section = nullptr;
  std::string parent;
  for (const std::string& line : Split(text, '\n')) {
    const std::string_view trimmed = Trim(line);
    if (trimmed.empty() || trimmed.front() == '#' || trimmed.front() == ';') continue;
    if (trimmed.front() == '[') {
      const size_t end = trimmed.find(']');
      // "[profile  x]" and "[profile x]" are the same section.
      const std::string_view name = Trim(trimmed.substr(1, end == std::string_view::npos ? end : end - 1));
      const size_t space = name.find_first_of(" \t");
      std::string key(name.substr(0, space));
      if (space != std::string_view::npos) key.append(" ").append(Trim(name.substr(space)));
      section = &file[key];
      parent.clear();
      continue;
    }
    const size_t equals = trimmed.find('=');
    if (section == nullptr || equals == std::string_view::npos) continue;
    const std::string name = ToLower(Trim(trimmed.substr(0, equals)));
    std::string_view value = Trim(trimmed.substr(equals + 1));
    const bool nested = (line.front() == ' ' || line.front() == '\t') && !parent.empty();
    if (const size_t comment = std::min(value.find(" #"), value.find(" ;")); comment != std::string_view::npos)
      value = Trim(value.substr(0, comment));
    if (nested) {
      (*section)[parent + "." + name] = value;
    } else {
      parent = value.empty() ? name : std::string();
      (*section)[name] = value;
    }
  }
  return file;
}

ProfileFile ReadCredentialsFile(const Environment& environment) {
  return ReadProfileFile(environment, "AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials");
}
ProfileFile ReadConfigFile(const Environment& environment) {
  return ReadProfileFile(environment, "AWS_CONFIG_FILE", "/.aws/config");
}
std::string ConfigSection(const std::string& profile) { return profile == "default" ? profile : "profile " + profile; }

Result<S3Settings> ResolveS3Settings(const S3Options& options, const Environment& environment) {
  S3Settings settings;
  settings.options = options;
  if (options.bucket.empty()) return Fail(ErrorCode::kInvalidArgument, "no bucket is named; write s3://bucket/prefix/");
  settings.profile = options.profile.empty() ? Lookup(environment, "AWS_PROFILE") : options.profile;
  settings.profile_is_explicit = !options.profile.empty();
  if (settings.profile.empty()) settings.profile = "default";
  const ProfileFile config = ReadConfigFile(environment);
  const std::string section = ConfigSection(settings.profile);
  if (!options.profile.empty() && !config.contains(section) &&
      !ReadCredentialsFile(environment).contains(options.profile)) {
    return Fail(ErrorCode::kInvalidArgument,
                "profile '" + options.profile +
                    "' is in neither the AWS config nor the credentials file; see aws configure list-profiles");
  }
  settings.region = options.region;
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (settings.region.empty()) settings.region = Lookup(environment, name);
  }
  if (settings.region.empty()) settings.region = Value(config, section, "region");
  if (settings.region.empty()) settings.region = "us-east-1";
  if (!IsRegion(settings.region))
    return Fail(ErrorCode::kInvalidArgument, "'" + settings.region + "' is not a region; write one such as us-east-1");
  if (settings.options.addressing == Addressing::kAuto) {
    const std::string style = Value(config, section, "s3.addressing_style");
    if (style == "path") settings.options.addressing = Addressing::kPath;
    if (style == "virtual") settings.options.addressing = Addressing::kVirtual;
  }
  LEAT_RETURN_IF_ERROR(ApplyEndpoint(settings, ChooseEndpoint(options, environment, config, section)));
  PlaceBucket(settings);
  settings.ca_bundle = Lookup(environment, "AWS_CA_BUNDLE");
  if (settings.ca_bundle.empty()) settings.ca_bundle = Value(config, section, "ca_bundle");
  for (const char* name : {"CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
    if (settings.ca_bundle.empty()) settings.ca_bundle = Lookup(environment, name);
  }
  settings.ca_bundle = ExpandHome(environment, settings.ca_bundle);
  settings.ca_directory = Lookup(environment, "SSL_CERT_DIR");
  settings.proxy = LowerOrUpper(environment, settings.scheme + "_proxy");
  settings.no_proxy = LowerOrUpper(environment, "no_proxy");
  return settings;
}

Result<S3Settings> ResolveStsSettings(const Environment& environment) {
  S3Options options;
  options.bucket = "-";
  LEAT_ASSIGN_OR_RETURN(S3Settings settings, ResolveS3Settings(options, environment));
  const ProfileFile config = ReadConfigFile(environment);
  const std::string section = ConfigSection(settings.profile);
  Named endpoint;
  if (!IgnoresConfiguredEndpoints(environment, config, section)) {
    endpoint = {Lookup(environment, "AWS_ENDPOINT_URL_STS"), "AWS_ENDPOINT_URL_STS"};
    if (endpoint.value.empty()) endpoint = EndpointOfServices(config, section, "sts");
  }
  if (endpoint.value.empty() && !settings.is_aws)
    return Fail(ErrorCode::kNotFound, "no STS endpoint is known beside the S3 endpoint " + settings.Endpoint());
  settings.is_aws = false;
  settings.base_path.clear();
  LEAT_RETURN_IF_ERROR(ApplyEndpoint(settings, endpoint, "sts"));
  const bool is_loopback = settings.authority.starts_with("127.") || settings.authority.starts_with("localhost") ||
                           settings.authority.starts_with("[::1]");
  settings.proxy = is_loopback ? "" : LowerOrUpper(environment, settings.scheme + "_proxy");
  return settings;
}

S3Settings WithRegion(const S3Settings& settings, const std::string& region) {
  S3Settings changed = settings;
  if (!IsRegion(region)) return changed;  // a server's text must not become part of a host name
  changed.region = region;
  if (!settings.is_aws) return changed;
  changed.base_path.clear();
  (void)ApplyEndpoint(changed, {});
  PlaceBucket(changed);
  return changed;
}

}  // namespace leat::s3
