// SPDX-License-Identifier: Apache-2.0
// leat release: drop cached contents; the repository keeps them.
#include <cstdio>

#include "base/text.h"
#include "cli/daemon_client.h"
#include "cli/verbs.h"

namespace leat::cli {
namespace {

Result<uint64_t> ReleaseOne(const std::string& path, const std::string& state_directory) {
  LEAT_ASSIGN_OR_RETURN(const ServedPath served, FindServed(path, state_directory));
  auto result =
      CallMounted(served.state_directory, served.mountpoint, {{"verb", "release"}, {"path", served.relative}});
  if (!result) return Fail(WithPath(path, served.mountpoint, result.error()));
  return result->value("bytes_released", uint64_t{0});
}

}  // namespace

void AddReleaseCommand(CLI::App& app, int& exit_code) {
  struct Arguments {
    std::vector<std::string> paths;
    std::string state_directory;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("release", "Drop the cached contents of files; they are fetched again when read");
  verb->footer("Example:\n  leat release /mnt/data/old-shards");
  verb->add_option("PATH", arguments->paths, "Files, or directories with all below them")->required();
  verb->add_option("--state-dir", arguments->state_directory,
                   "The daemon's state directory (found by itself as a rule)");
  verb->callback([arguments, &exit_code] {
    uint64_t bytes = 0;
    for (const std::string& path : arguments->paths) {
      const auto released = ReleaseOne(path, arguments->state_directory);
      if (released) {
        bytes += *released;
      } else {
        const int code = Complain("release", released.error());
        if (exit_code == 0) exit_code = code;
      }
    }
    std::printf("released %s\n", FormatBytes(bytes).c_str());
  });
}

}  // namespace leat::cli
