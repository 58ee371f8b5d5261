// SPDX-License-Identifier: Apache-2.0
// leat import: see now what has changed in the repository.
#include <cstdio>

#include "base/log.h"
#include "cli/daemon_client.h"
#include "cli/status_text.h"
#include "cli/verbs.h"

namespace leat::cli {
namespace {

Status ImportOne(const std::string& path, const std::string& state_directory, bool posix) {
  LEAT_ASSIGN_OR_RETURN(const ServedPath served, FindServed(path, state_directory));
  auto result = CallMounted(served.state_directory, served.mountpoint,
                            {{"verb", "import"}, {"path", served.relative}, {"posix", posix}});
  if (!result) return Fail(WithPath(path, served.mountpoint, result.error()));
  std::printf("%s: imported; the file system has %s in %s\n", EscapeForDisplay(path).c_str(),
              Counted(result->value("files", uint64_t{0}), "file").c_str(),
              Counted(result->value("directories", uint64_t{0}), "directory", "directories").c_str());
  return {};
}

}  // namespace

void AddImportCommand(CLI::App& app, int& exit_code) {
  struct Arguments {
    std::vector<std::string> paths;
    std::string state_directory;
    bool posix = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("import", "Read the repository's listing again below a path");
  verb->footer("Examples:\n  leat import /mnt/data\n  leat import /mnt/data/train --posix");
  verb->add_option("PATH", arguments->paths, "Directories")->required();
  verb->add_flag("--posix", arguments->posix, "Ask for each file's mode, owner and times too (a HEAD each)");
  verb->add_option("--state-dir", arguments->state_directory,
                   "The daemon's state directory (found by itself as a rule)");
  verb->callback([arguments, &exit_code] {
    for (const std::string& path : arguments->paths) {
      const auto status = ImportOne(path, arguments->state_directory, arguments->posix);
      if (status) continue;
      const int code = Complain("import", status.error());
      if (exit_code == 0) exit_code = code;
    }
  });
}

}  // namespace leat::cli
