// SPDX-License-Identifier: Apache-2.0
// `leat train` without a file: its flags as a CreateTrainingJob request. Any thread.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/job_services.h"

namespace leat::cli {

struct TrainFlags {
  std::string script, source_dir, image, output, name, input_mode, instance_type, checkpoint_uri;
  std::vector<std::string> hyperparameters, inputs, metrics, environment;  // NAME=VALUE, of the last also NAME
  std::optional<int64_t> instance_count, max_runtime_s;
  bool print_request = false;
  // Whether anything is given that stands in a request.
  bool HasRequest() const;
};

// --script and all that goes with it, and --print-request.
void AddTrainRequestOptions(CLI::App& verb, TrainFlags& flags);

// What a request from flags takes from around it.
struct TrainSurroundings {
  std::string state_directory, working_directory;  // absolute
  int64_t now_ns = 0;                              // since the epoch, for the default name
  // The value of a variable of the caller's, for --environment NAME; null: there is none.
  std::function<const char*(const char* name)> variable = [](const char*) { return nullptr; };
};

// The request, its paths absolute. Pure: whether what the paths name is there is not looked at, and what the flags
// share with a request from a file is checked as that is (CheckTrainingJob). kInvalidArgument names the flag and how
// it is written.
Result<nlohmann::json> TrainRequest(const TrainFlags& flags, const TrainSurroundings& surroundings);

// kNotFound: a script, a source directory or an input of this machine that is not there. Blocking.
Status CheckLocalPaths(const TrainFlags& flags, const TrainSurroundings& surroundings);

// The request that `leat train` was given, from its file or its flags. kInvalidArgument: neither or both are given.
// Blocking.
Result<nlohmann::json> ReadTrainRequest(const JobArguments& arguments, const TrainFlags& flags);

}  // namespace leat::cli
