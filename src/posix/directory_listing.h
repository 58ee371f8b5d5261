// SPDX-License-Identifier: Apache-2.0
// A page of a directory tree's listing, as S3 would list it: keys in bytewise order. Blocks on the disk; any thread.
#pragma once

#include "base/result.h"
#include "env/object_store.h"

namespace leat::posix {

Result<env::ListPage> ListDirectory(int root_fd, const env::ListRequest& request);

}  // namespace leat::posix
