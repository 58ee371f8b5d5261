// SPDX-License-Identifier: Apache-2.0
// leat jobs list | describe | metrics | logs | stop | delete: training and tuning jobs of a state directory.
#pragma once

#include <CLI/CLI.hpp>

namespace leat::cli {
void AddJobsCommand(CLI::App& app, int& exit_code);
void AddSupervisorCommand(CLI::App& app, int& exit_code);  // hidden: what runs the jobs
}  // namespace leat::cli
