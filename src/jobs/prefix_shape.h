// SPDX-License-Identifier: Apache-2.0
// What an S3 prefix names: a copy takes every key that begins with it, a mount what lies in the folder of that name.
// Blocking; any thread.
#pragma once

#include <string>

#include "base/result.h"
#include "jobs/services.h"

namespace leat::jobs {

enum class PrefixShape {
  kNothing,  // no object's key begins with it
  kFolder,   // all that do lie in the folder of that name, or are the whole bucket
  kOther,    // others do, too
};
// `uri`: "s3://...". One LIST, and one more for a folder whose slash is left out. Failures are the store's.
Result<PrefixShape> ShapeOfPrefix(RepositoryFactory& repositories, const std::string& uri, const StopCheck& stopped);

}  // namespace leat::jobs
