// SPDX-License-Identifier: Apache-2.0
// --accelerate: what a request of the service's would copy before each job is mounted instead, and so comes from S3
// once for all jobs. Any thread.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace leat::cli {

// Whether all keys that begin with an S3 prefix lie in the folder of that name.
using FolderTest = std::function<Result<bool>(const std::string& uri)>;

struct AcceleratedRequest {
  nlohmann::json request;
  std::vector<std::string> warnings;  // of channels that could be accelerated but for something
};
// Every S3Prefix channel in File mode, of a CreateTrainingJob request or of the definitions of a
// CreateHyperParameterTuningJob request, becomes a FileSystemDataSource of the same data: a Leat mount, read-only. The
// rest stays as it is. `names_folder` is asked of prefixes that do not end with a slash. Pure but for it.
AcceleratedRequest AccelerateChannels(nlohmann::json request, const FolderTest& names_folder);

// The same, asking the repositories with the caller's credentials; warnings go to standard error behind "leat VERB:".
// Blocking.
nlohmann::json Accelerated(const std::string& verb, nlohmann::json request);

// The DataSource of a Leat mount of `id`: fs-..., a name or a URL.
nlohmann::json MountedSource(const std::string& id, const std::string& directory);

}  // namespace leat::cli
