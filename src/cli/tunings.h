// SPDX-License-Identifier: Apache-2.0
// leat tunings list|describe|follow|stop|resume|delete: tuning jobs.
#pragma once

#include <CLI/CLI.hpp>

namespace leat::cli {

void AddTuningsCommand(CLI::App& app, int& exit_code);

}  // namespace leat::cli
