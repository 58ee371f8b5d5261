// SPDX-License-Identifier: Apache-2.0
// leat tunings list|describe|follow|stop|resume|delete: tuning jobs.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/job_list.h"
#include "tuner/study.h"

namespace leat::cli {

// What a list shows of a tuning job.
ListedJob ListTuning(const std::string& name, const tuner::Study& study);

void AddTuningsCommand(CLI::App& app, int& exit_code);

}  // namespace leat::cli
