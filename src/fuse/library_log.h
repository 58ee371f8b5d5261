// SPDX-License-Identifier: Apache-2.0
// What libfuse would print to standard error: kept, so that an error can be told in one message.
#pragma once

#include <string>

namespace leat::fuse {

void CaptureLibraryLog();  // any thread, any number of times
// The messages since the last call, in one line; of mounts that start at the same time, together.
std::string TakeLibraryMessages();

}  // namespace leat::fuse
