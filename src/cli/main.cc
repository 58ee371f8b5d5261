// SPDX-License-Identifier: Apache-2.0
// leat: a POSIX file system over S3 with a persistent cache, training jobs, and a tuner. Each verb is a file of this
// folder.
#include <CLI/CLI.hpp>
#include <clocale>
#include <cstdio>
#include <memory>

#include "base/log.h"
#include "cli/help_format.h"
#include "cli/jobs.h"
#include "cli/suggest.h"
#include "cli/train.h"
#include "cli/tune.h"
#include "cli/tunings.h"
#include "cli/verbs.h"
#include "cli/version.h"

int main(int argc, char** argv) {
  using namespace leat::cli;
  // Names in archives are UTF-8; only the character type, so that numbers keep their dots.
  if (std::setlocale(LC_CTYPE, "C.UTF-8") == nullptr) std::setlocale(LC_CTYPE, "");
  CLI::App app{"S3 data for training jobs: mounted at once, fetched once, read at local speed", "leat"};
  app.set_version_flag("--version", std::string("leat ") + kVersion);
  app.formatter(std::make_shared<HelpFormat>());
  app.require_subcommand(1);
  app.footer(
      "Exit status: 0 done, 1 failed, 2 wrong usage. Errors are on standard error.\n"
      "Example:\n"
      "  leat mount s3://my-bucket/imagenet/ /mnt/data && leat status");

  int exit_code = 0;
  AddMountCommand(app, exit_code);
  AddUnmountCommand(app, exit_code);
  AddStatusCommand(app, exit_code);
  AddRestoreCommand(app, exit_code);
  AddReleaseCommand(app, exit_code);
  AddStateCommand(app, exit_code);
  AddImportCommand(app, exit_code);
  AddTrainCommand(app, exit_code);
  AddTuneCommand(app, exit_code);
  AddTuningsCommand(app, exit_code);
  AddSuggestCommand(app, exit_code);
  AddJobsCommand(app, exit_code);
  AddDaemonCommand(app, exit_code);
  AddSupervisorCommand(app, exit_code);

  // Otherwise the parser would only say that a subcommand is required.
  if (argc > 1 && argv[1][0] != '-' &&
      app.get_subcommands([&](const CLI::App* verb) { return verb->check_name(argv[1]); }).empty()) {
    std::fprintf(stderr, "leat: there is no verb '%s' (leat --help lists them)\n",
                 leat::EscapeForDisplay(argv[1]).c_str());
    return 2;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == 0;  // --help, --version
    if (asked) return app.exit(error);
    std::fprintf(stderr, "leat: %s (leat --help tells more)\n", error.what());
    return 2;
  }
  return exit_code;
}
