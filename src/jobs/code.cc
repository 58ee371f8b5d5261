// SPDX-License-Identifier: Apache-2.0
#include "jobs/code.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/text.h"
#include "jobs/archive.h"
#include "jobs/transfer.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

bool IsArchiveName(const std::string& name) {
  return EndsWith(name, ".tar.gz") || EndsWith(name, ".tgz") || EndsWith(name, ".tar");
}

std::string HyperparameterOr(const TrainingJob& job, const std::string& name, const std::string& if_absent) {
  const auto found = job.hyperparameters.find(name);
  return found == job.hyperparameters.end() ? if_absent : PlainValue(found->second);
}

Status CopyFromS3(const std::string& source, RepositoryFactory& repositories, const std::string& code_directory,
                  unsigned connections, const StopLevel& stop) {
  const RepositoryLocation location = LocationOf(source);
  LEAT_ASSIGN_OR_RETURN(const Repository repository, repositories.Open(location.repository, connections));
  if (!IsArchiveName(location.key)) {
    LEAT_RETURN_IF_ERROR(DownloadPrefix(*repository.store, source, code_directory, connections, stop));
    return {};
  }
  const std::string archive = code_directory + "-source.tar.gz";
  Status status = DownloadObject(*repository.store, location.key, archive);
  if (status) status = ExtractArchive(archive, code_directory);
  unlink(archive.c_str());
  if (!status) return Fail(status.error().code, source + ": " + status.error().message);
  return {};
}

Status CopyFromDisk(const std::string& source, const std::string& code_directory) {
  std::error_code error;
  const std::string path = fs::absolute(source.rfind("file://", 0) == 0 ? source.substr(7) : source, error).string();
  const auto what = fs::status(path, error);
  if (fs::is_regular_file(what)) return ExtractArchive(path, code_directory);
  if (!fs::is_directory(what)) {
    return Fail(ErrorCode::kNotFound,
                "sagemaker_submit_directory " + source +
                    " is no directory and no archive; it must be a directory, a .tar.gz, or an s3:// URL "
                    "of either");
  }
  fs::copy(path, code_directory, fs::copy_options::recursive | fs::copy_options::copy_symlinks, error);
  if (error) return Fail(ErrorCode::kIo, "copying the code from " + path + ": " + error.message());
  return {};
}

std::string ShellQuoted(const std::string& text) {
  if (!text.empty() &&
      text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_") ==
          std::string::npos) {
    return text;
  }
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "'\"'\"'" : std::string(1, c);
  return out + "'";
}

}  // namespace

Result<TrainerProgram> PrepareCode(const TrainingJob& job, RepositoryFactory& repositories,
                                   const std::string& code_directory, const std::string& python, unsigned connections,
                                   const StopLevel& stop) {
  TrainerProgram program;
  const std::string source = HyperparameterOr(job, "sagemaker_submit_directory", "");
  if (source.rfind("s3://", 0) == 0) {
    LEAT_RETURN_IF_ERROR(CopyFromS3(source, repositories, code_directory, connections, stop));
  } else if (!source.empty() && source != "/opt/ml/code") {
    LEAT_RETURN_IF_ERROR(CopyFromDisk(source, code_directory));
  }
  const auto named = job.environment.find("SAGEMAKER_PROGRAM");
  program.name = named != job.environment.end() ? named->second : HyperparameterOr(job, "sagemaker_program", "");
  if (program.name.empty()) {
    program.arguments = job.entrypoint;
    program.arguments.insert(program.arguments.end(), job.arguments.begin(), job.arguments.end());
    return program;
  }
  const std::string path = code_directory + "/" + program.name;
  if (program.name[0] == '/' || ("/" + program.name + "/").find("/../") != std::string::npos ||
      !fs::is_regular_file(path)) {
    return Fail(ErrorCode::kNotFound, "sagemaker_program " + program.name +
                                          " is no file in sagemaker_submit_directory " +
                                          (source.empty() ? "(which is not set)" : source));
  }
  if (fs::exists(code_directory + "/requirements.txt")) {
    program.warnings.push_back("requirements.txt is not installed: what it names must be in this machine's " + python);
  }
  const auto arguments = ScriptArguments(ScriptHyperparameters(job.hyperparameters));
  if (EndsWith(program.name, ".py")) {
    program.arguments = {python, program.name};
    program.arguments.insert(program.arguments.end(), arguments.begin(), arguments.end());
    return program;
  }
  chmod(path.c_str(), 0777);
  // exec: a shell between us and the script would end at SIGTERM at once, and the script's time to say its last with it.
  std::string line = "exec ./" + ShellQuoted(program.name);
  for (const auto& argument : arguments) line += " " + ShellQuoted(argument);
  program.arguments = {"/bin/sh", "-c", line};
  return program;
}

}  // namespace leat::jobs
