// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace leat {
void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "leat: internal error: %s:%d: broken invariant: %s\n", file, line, condition);
  std::abort();
}
}  // namespace leat
