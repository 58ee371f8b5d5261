// SPDX-License-Identifier: Apache-2.0
#include "model/repository_url.h"

namespace leat {
namespace {

constexpr std::string_view kForm = "; write s3://bucket/prefix/ or file:///absolute/path";

tl::unexpected<Error> Malformed(std::string_view text, std::string_view what) {
  return Fail(ErrorCode::kInvalidArgument,
              "'" + std::string(text) + "' is not a repository: " + std::string(what) + std::string(kForm));
}

bool IsBucketCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

}  // namespace

Result<RepositoryUrl> RepositoryUrl::Parse(std::string_view text) {
  RepositoryUrl url;
  if (text.find('\0') != std::string_view::npos) return Malformed("(text with a NUL byte)", "it holds a NUL byte");
  if (text.starts_with("s3://")) {
    const std::string_view rest = text.substr(5);
    const size_t slash = rest.find('/');
    url.bucket = rest.substr(0, slash);
    if (url.bucket.size() < 3 || url.bucket.size() > 255)
      return Malformed(text, "the bucket name is missing or too short or long");
    for (const char c : url.bucket) {
      if (!IsBucketCharacter(c))
        return Malformed(text, "the bucket name may hold only letters, digits, '.', '-' and '_'");
    }
    if (slash != std::string_view::npos) url.prefix = rest.substr(slash + 1);
    if (!url.prefix.empty() && url.prefix.back() != '/') url.prefix += '/';
    // Keys have at most 1,024 bytes, so a longer prefix could hold nothing.
    if (url.prefix.size() > 1024) return Malformed(text, "the prefix is longer than a key may be (1,024 bytes)");
    return url;
  }
  if (text.starts_with("file://")) {
    url.kind = Kind::kDirectory;
    url.path = text.substr(7);
    if (url.path.empty() || url.path.front() != '/') return Malformed(text, "the path is not absolute");
    while (url.path.size() > 1 && url.path.back() == '/') url.path.pop_back();
    return url;
  }
  return Malformed(text, "it starts with neither s3:// nor file://");
}

std::string RepositoryUrl::ToString() const {
  if (kind == Kind::kDirectory) return "file://" + path;
  return "s3://" + bucket + "/" + prefix;
}

}  // namespace leat
