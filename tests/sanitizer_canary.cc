// SPDX-License-Identifier: Apache-2.0
// Commits the fault that its argument names; built only with sanitizers, which must catch it (sanitizer_canary.sh).
#include <climits>
#include <cstdio>
#include <string_view>

int main(int count, char** arguments) {
  const std::string_view fault = count > 1 ? arguments[1] : "";
  if (fault == "use-after-free") {
    volatile int* number = new int(7);
    delete number;
    return *number;
  }
  if (fault == "signed-overflow") {
    volatile int number = INT_MAX;
    number = number + 1;
    std::printf("%d\n", number);
  }
  return 0;
}
