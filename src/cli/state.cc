// SPDX-License-Identifier: Apache-2.0
// leat state: what lfs hsm_state tells.
#include <cstdio>

#include "cli/daemon_client.h"
#include "cli/state_text.h"
#include "cli/verbs.h"

namespace leat::cli {
namespace {

Result<Json> StateOf(const std::string& path, const std::string& state_directory) {
  LEAT_ASSIGN_OR_RETURN(const ServedPath served, FindServed(path, state_directory));
  auto result = CallMounted(served.state_directory, served.mountpoint, {{"verb", "state"}, {"path", served.relative}});
  if (result) return result;
  Error error = result.error();
  if (error.code == ErrorCode::kNotFound) error.message = "No such file or directory";
  return Fail(WithPath("get HSM state for '" + path + "' failed", served.mountpoint, std::move(error)));
}

}  // namespace

void AddStateCommand(CLI::App& app, int& exit_code) {
  struct Arguments {
    std::vector<std::string> paths;
    std::string state_directory;
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("state", "Tell what is released and what is restored");
  verb->footer("Example:\n  leat state /mnt/data/train/a.jpg");
  verb->add_option("PATH", arguments->paths, "Files or directories")->required();
  verb->add_option("--state-dir", arguments->state_directory,
                   "The daemon's state directory (found by itself as a rule)");
  verb->add_flag("--json", arguments->json, "One JSON object a path, one a line");
  verb->callback([arguments, &exit_code] {
    for (const std::string& path : arguments->paths) {
      auto state = StateOf(path, arguments->state_directory);
      if (!state) {
        const int code = Complain("state", state.error());
        if (exit_code == 0) exit_code = code;
      } else if (arguments->json) {
        (*state)["path"] = path;
        std::printf("%s\n", state->dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
      } else {
        std::printf("%s\n", RenderState(path, *state).c_str());
      }
    }
  });
}

}  // namespace leat::cli
