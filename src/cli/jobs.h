// SPDX-License-Identifier: Apache-2.0
// leat jobs list | describe NAME | stop NAME | logs NAME: training and tuning jobs of a state directory.
#pragma once

#include <CLI/CLI.hpp>

namespace leat::cli {
void AddJobsCommand(CLI::App& app, int& exit_code);
}  // namespace leat::cli
