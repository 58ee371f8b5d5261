// SPDX-License-Identifier: Apache-2.0
// leat train JOB.json: runs one training job; exit status 0 completed, 1 failed, 2 wrong request, 130 interrupted.
#pragma once

#include <CLI/CLI.hpp>

namespace leat::cli {
void AddTrainCommand(CLI::App& app, int& exit_code);
}  // namespace leat::cli
