// SPDX-License-Identifier: Apache-2.0
// env::Processes from /proc. Stateless: any thread.
#pragma once

#include <optional>
#include <string_view>

#include "env/processes.h"

namespace leat::posix {

class ProcessTable final : public env::Processes {
 public:
  std::optional<env::Process> Find(int id) const override;
  std::optional<int> ProcessOf(int thread) const override;
};

// From the text of /proc/PID/stat. The name in it is the process's own choice and may hold anything, ')' too.
std::optional<env::Process> ParseProcess(std::string_view stat);

}  // namespace leat::posix
