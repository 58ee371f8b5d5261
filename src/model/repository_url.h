// SPDX-License-Identifier: Apache-2.0
// Where the truth lies: "s3://bucket/prefix/" or "file:///absolute/path".
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace leat {

struct RepositoryUrl {
  enum class Kind { kS3, kDirectory };
  Kind kind = Kind::kS3;
  std::string bucket;  // kS3
  std::string prefix;  // kS3: empty, or ends with '/' (a repository is a directory, as an FSx association is)
  std::string path;    // kDirectory: absolute, no trailing slash (but "/")

  // "s3://bucket[/prefix[/]]" or "file:///path". Fails with a message that shows the right form.
  static Result<RepositoryUrl> Parse(std::string_view text);
  std::string ToString() const;  // canonical: Parse(ToString()) is the same value
};

}  // namespace leat
