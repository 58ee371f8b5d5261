// SPDX-License-Identifier: Apache-2.0
// leat suggest: the tuner's search for any program, without training jobs of ours. A study is a JSON file:
//
//   {"Strategy": "Bayesian", "RandomSeed": 7, "Objective": {"Type": "Minimize"}, "ParameterRanges": {...},
//    "Trials": [{"HyperParameters": {"lr": "0.01"}, "Status": "Completed", "Value": 0.31}, ...]}
//
// with ParameterRanges as CreateHyperParameterTuningJob takes them; Trials is ours to write. The file is replaced as a
// whole, under a lock of its own (FILE.lock), so that many programs may ask and tell at once.
#pragma once

#include <CLI/CLI.hpp>

namespace leat::cli {

void AddSuggestCommand(CLI::App& app, int& exit_code);

}  // namespace leat::cli
