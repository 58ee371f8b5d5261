// SPDX-License-Identifier: Apache-2.0
// LEAT_CHECK(condition): ends the process with file, line and condition when an invariant is broken. On in release
// builds.
#pragma once

namespace leat {
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);
}  // namespace leat

#define LEAT_CHECK(condition)                              \
  do {                                                     \
    if (!(condition)) [[unlikely]]                         \
      ::leat::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)
