// SPDX-License-Identifier: Apache-2.0
// The verbs of the command line. Each adds its subcommand; when the user names it, it runs and leaves its status in
// `exit_code`: 0 done, 1 failed (each error one line on standard error), 2 wrong usage.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"

namespace leat::cli {

void AddMountCommand(CLI::App& app, int& exit_code);
void AddUnmountCommand(CLI::App& app, int& exit_code);
void AddStatusCommand(CLI::App& app, int& exit_code);
void AddRestoreCommand(CLI::App& app, int& exit_code);
void AddReleaseCommand(CLI::App& app, int& exit_code);
void AddStateCommand(CLI::App& app, int& exit_code);
void AddImportCommand(CLI::App& app, int& exit_code);
void AddDaemonCommand(CLI::App& app, int& exit_code);  // hidden: what `leat mount` starts

// "leat VERB: message" on standard error, control characters escaped. Returns the exit status for it.
int Complain(const std::string& verb, const Error& error);
// An option's path, made absolute: the daemon has another current directory. Empty stays empty.
std::string AbsoluteOption(const std::string& path);

// Which daemon serves `path`, and where on it.
struct ServedPath {
  std::string state_directory;
  std::string mountpoint;
  std::string relative;
};
// `state_directory`: the --state-dir option, empty when not given.
Result<ServedPath> FindServed(const std::string& path, const std::string& state_directory);

}  // namespace leat::cli
