// SPDX-License-Identifier: Apache-2.0
#include "jobs/code.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <set>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "jobs/archive.h"
#include "jobs/transfer.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kNoWriterPause{10};
constexpr int kNoWriterTries = 500;

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
                  unsigned connections, const StopCheck& stopped) {
  const RepositoryLocation location = LocationOf(source);
  LEAT_ASSIGN_OR_RETURN(const Repository repository, repositories.Open(location.repository, connections));
  if (!IsArchiveName(location.key)) {
    LEAT_RETURN_IF_ERROR(DownloadPrefix(*repository.store, source, code_directory, connections, stopped));
    return {};
  }
  const std::string archive = code_directory + "-source.tar.gz";
  Status status = DownloadObject(*repository.store, location.key, archive, stopped);
  if (status) status = ExtractArchive(archive, code_directory);
  unlink(archive.c_str());
  if (!status) return Fail(status.error().code, source + ": " + status.error().message);
  return {};
}

// Whether `path` lies in `directory` or is it; both canonical.
bool IsBelow(const std::string& path, const std::string& directory) {
  return path == directory || path.compare(0, directory.size() + 1, directory + "/") == 0;
}

// A directory of source code, copied entry by entry. Confined to one thread.
class TreeCopy {
 public:
  // `left_out`: directories that are not copied. `is_contained`: who reads the copy sees nothing of the machine else.
  TreeCopy(std::string root, const std::vector<std::string>& left_out, bool is_contained, const StopCheck& stopped,
           std::vector<std::string>& warnings)
      : root_(std::move(root)), is_contained_(is_contained), stopped_(stopped), warnings_(warnings) {
    std::error_code error;
    for (const auto& path : left_out) left_out_.insert(fs::canonical(path, error).string());
  }

  Status Copy(const std::string& from, const std::string& to) {
    std::error_code error;
    for (fs::directory_iterator i(from, error), end; !error && i != end; i.increment(error)) {
      if (stopped_ && stopped_()) return Fail(ErrorCode::kCancelled, "stopped");
      const std::string path = i->path().string(), target = to + "/" + i->path().filename().string();
      std::error_code ignored;
      const bool is_link = fs::is_symlink(i->symlink_status(ignored));
      const auto what = fs::status(path, ignored);
      if (fs::is_regular_file(what)) {
        std::error_code copying;
        fs::copy_file(path, target, copying);
        if (copying) return Fail(ErrorCode::kIo, "copying the code from " + path + ": " + copying.message());
      } else if (fs::is_directory(what) && is_link) {
        LEAT_RETURN_IF_ERROR(CopyDirectoryLink(path, target));
      } else if (fs::is_directory(what)) {
        if (left_out_.count(path)) continue;
        LEAT_RETURN_IF_ERROR(CreateDirectories(target));
        LEAT_RETURN_IF_ERROR(Copy(path, target));
      } else {
        warnings_.push_back(path + (is_link ? " is a link that leads to no file" : " is no file and no directory") +
                            ": it is not among the job's code");
      }
    }
    if (error) return Fail(ErrorCode::kIo, "copying the code from " + from + ": " + error.message());
    return {};
  }

 private:
  // As a link, because what it leads to may be as large as a data set, and may lead back here.
  Status CopyDirectoryLink(const std::string& path, const std::string& target) {
    std::error_code error;
    const std::string leads_to = fs::canonical(path, error).string();
    if (!error) {
      if (IsBelow(leads_to, root_)) {
        const auto link = fs::path(leads_to).lexically_relative(fs::path(path).parent_path());
        fs::create_directory_symlink(link, target, error);
      } else {
        fs::create_directory_symlink(leads_to, target, error);
        if (is_contained_) {
          warnings_.push_back(path + " leads out of the code, to " + leads_to +
                              ", which is not in the container: give it as a channel of InputDataConfig");
        }
      }
    }
    if (error) return Fail(ErrorCode::kIo, "copying the link " + path + ": " + error.message());
    return {};
  }

  const std::string root_;  // canonical
  const bool is_contained_;
  std::set<std::string> left_out_;  // canonical
  const StopCheck& stopped_;
  std::vector<std::string>& warnings_;
};

Status CopyFromDisk(const std::string& source, const std::string& code_directory, const std::string& state_directory,
                    bool is_contained, const StopCheck& stopped, std::vector<std::string>& warnings) {
  std::error_code error;
  const std::string path = fs::canonical(source.rfind("file://", 0) == 0 ? source.substr(7) : source, error).string();
  const auto what = error ? fs::file_status() : fs::status(path, error);
  if (fs::is_regular_file(what)) return ExtractArchive(path, code_directory);
  if (!fs::is_directory(what)) {
    return Fail(ErrorCode::kNotFound,
                "sagemaker_submit_directory " + source +
                    " is no directory and no archive; it must be a directory, a .tar.gz, or an s3:// URL "
                    "of either");
  }
  // Where the copy goes may lie inside what is copied: it must not copy itself.
  return TreeCopy(path, {state_directory, code_directory}, is_contained, stopped, warnings).Copy(path, code_directory);
}

// What a process may write is not executed (ETXTBSY), and between its fork and its exec a child of another thread has
// the file that was being written here. A lease is given only where nobody has the file for writing.
void AwaitNoWriter(int file) {
  fcntl(file, F_SETSIG, SIGURG);  // whatever would break the lease, its signal is one that is ignored
  for (int i = 0; i < kNoWriterTries; ++i) {
    if (fcntl(file, F_SETLEASE, F_RDLCK) == 0) {
      fcntl(file, F_SETLEASE, F_UNLCK);
      return;
    }
    if (errno != EAGAIN) return;  // this file system has none
    std::this_thread::sleep_for(kNoWriterPause);
  }
}

// chmod that cannot be led out of the code: by way of a link the file would be the user's own.
void MakeExecutable(const std::string& path, const std::string& code_directory) {
  std::error_code error;
  const std::string root = fs::canonical(code_directory, error).string();
  const std::string file = error ? "" : fs::canonical(path, error).string();
  if (error || !IsBelow(file, root)) return;
  FileDescriptor opened(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!opened.valid()) return;
  fchmod(opened.get(), 0777);
  AwaitNoWriter(opened.get());
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
                                   const std::string& code_directory, const CodeOptions& options,
                                   const StopCheck& stopped) {
  TrainerProgram program;
  const bool is_contained = !job.training_image.empty();
  const std::string source = HyperparameterOr(job, "sagemaker_submit_directory", "");
  if (source.rfind("s3://", 0) == 0) {
    LEAT_RETURN_IF_ERROR(CopyFromS3(source, repositories, code_directory, options.connections, stopped));
  } else if (!source.empty() && source != "/opt/ml/code") {
    const bool is_relative = source[0] != '/' && source.rfind("file://", 0) != 0 && !options.submitted_from.empty();
    LEAT_RETURN_IF_ERROR(CopyFromDisk(is_relative ? options.submitted_from + "/" + source : source, code_directory,
                                      options.state_directory, is_contained, stopped, program.warnings));
  }
  const auto named = job.environment.find("SAGEMAKER_PROGRAM");
  program.name = named != job.environment.end() ? named->second : HyperparameterOr(job, "sagemaker_program", "");
  if (is_contained && (program.name.empty() || source.empty())) return program;
  if (program.name.empty()) {
    program.arguments = job.entrypoint;
    program.arguments.insert(program.arguments.end(), job.arguments.begin(), job.arguments.end());
    return program;
  }
  const std::string path = code_directory + "/" + program.name;
  std::error_code error;  // a name too long, links in a circle: no file either
  if (program.name[0] == '/' || ("/" + program.name + "/").find("/../") != std::string::npos ||
      !fs::is_regular_file(path, error)) {
    return Fail(ErrorCode::kNotFound, "sagemaker_program " + program.name +
                                          " is no file in sagemaker_submit_directory " +
                                          (source.empty() ? "(which is not set)" : source));
  }
  if (is_contained) return program;  // what else is there is the image's business: requirements.txt, setup.py
  const bool has_requirements = fs::exists(code_directory + "/requirements.txt", error);
  if (has_requirements && options.requirements == Requirements::kRefuse) {
    return Fail(ErrorCode::kNotSupported,
                "requirements.txt is refused (--requirements refuse): install what it names for this machine's " +
                    options.python + ", or pass --requirements install");
  }
  if (has_requirements && options.requirements == Requirements::kIgnore) {
    program.warnings.push_back("requirements.txt is not installed: what it names must be in this machine's " +
                               options.python + " (--requirements install installs it for the job)");
  }
  if (fs::exists(code_directory + "/setup.py", error)) {
    program.warnings.push_back("setup.py is not installed: " + program.name +
                               " runs as a script in its directory, not as an installed module");
  }
  const auto arguments = ScriptArguments(ScriptHyperparameters(job.hyperparameters));
  if (EndsWith(program.name, ".py")) {
    program.arguments = {options.python, program.name};
    if (has_requirements && options.requirements == Requirements::kInstall) {
      program.arguments = {"/bin/sh", "-c",
                           "\"$0\" -m pip --version >/dev/null 2>&1 || { echo \"$0 has no pip, which --requirements "
                           "install needs: install python3-pip, or give another --python\" >&2; exit 1; }; "
                           "\"$0\" -m pip install --disable-pip-version-check --target .requirements -r "
                           "requirements.txt || exit; PYTHONPATH=\"$PYTHONPATH:$PWD/.requirements\" exec \"$0\" \"$@\"",
                           options.python, program.name};
    }
    program.arguments.insert(program.arguments.end(), arguments.begin(), arguments.end());
    return program;
  }
  MakeExecutable(path, code_directory);
  // exec: a shell between us and the script would end at SIGTERM at once, and the script's time to say its last with
  // it.
  std::string line = "exec ./" + ShellQuoted(program.name);
  for (const auto& argument : arguments) line += " " + ShellQuoted(argument);
  program.arguments = {"/bin/sh", "-c", line};
  return program;
}

}  // namespace leat::jobs
