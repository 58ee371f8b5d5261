// SPDX-License-Identifier: Apache-2.0
#include "cli/job_removal.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "base/file.h"
#include "base/text.h"
#include "jobs/volume.h"
#include "model/training_job.h"

namespace leat::cli {
namespace {

using jobs::JobKind;

constexpr size_t kJobNameMax = 63;
constexpr int kDepthMax = 1000;  // each level holds a descriptor

// A directory in `parent_fd`, not reached by a link nor across a mount.
FileDescriptor OpenDirectory(int parent_fd, const char* name) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  return FileDescriptor(static_cast<int>(syscall(SYS_openat2, parent_fd, name, &how, sizeof how)));
}

Status RemoveEntry(int parent_fd, const std::string& name, const std::string& path, int depth) {
  if (unlinkat(parent_fd, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return FailErrno(errno, path);
  const FileDescriptor directory = OpenDirectory(parent_fd, name.c_str());
  if (!directory.valid() && errno == EXDEV) {
    return Fail(ErrorCode::kBusy, path + " is a mount point; unmount it (umount " + path + ") and try again");
  }
  if (!directory.valid()) return FailErrno(errno, path);
  if (depth == kDepthMax) return Fail(ErrorCode::kNotSupported, path + " lies too deep; remove it by hand");
  fchmod(directory.get(), 0700);  // a script may have made it read-only
  const int listed_fd = fcntl(directory.get(), F_DUPFD_CLOEXEC, 0);
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(listed_fd < 0 ? nullptr : fdopendir(listed_fd), closedir);
  if (!listing) return FailErrno(errno, path);
  // Names first: removing while reading may pass over some.
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(listing.get())) {
    const std::string found = entry->d_name;
    if (found != "." && found != "..") names.push_back(found);
  }
  if (errno != 0) return FailErrno(errno, path);
  for (const auto& found : names) {
    LEAT_RETURN_IF_ERROR(RemoveEntry(directory.get(), found, path + "/" + found, depth + 1));
  }
  if (unlinkat(parent_fd, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) return FailErrno(errno, path);
  return {};
}

// As it was created.
Result<std::string> StoredName(jobs::JobStore& store, JobKind kind, const std::string& name) {
  LEAT_ASSIGN_OR_RETURN(const auto names, store.Names(kind));
  const std::string wanted = ToLower(name);
  const auto found = std::ranges::find_if(names, [&](const auto& other) { return ToLower(other) == wanted; });
  if (found == names.end()) {
    return Fail(ErrorCode::kNotFound,
                "Requested resource not found: no job is named " + name + " (leat jobs list shows them)");
  }
  // It becomes a path.
  if (!IsJobName(*found, kJobNameMax)) {
    return Fail(ErrorCode::kCorrupt, "jobs.db has a job with the name " + *found + ", which no job can have");
  }
  return *found;
}

// Why the job must stay; `kind` says what it is.
Status CheckMayGo(jobs::JobStore& store, JobKind kind, const std::string& name) {
  LEAT_ASSIGN_OR_RETURN(const auto events, store.Events(kind, name));
  const jobs::JobState state = jobs::Fold(events);
  const std::string what = kind == JobKind::kTraining ? "training" : "tuning";
  if (!state.IsTerminal()) {
    return Fail(ErrorCode::kBusy, "The request was rejected because the " + what + " job " + name + " is in status " +
                                      state.status + ": leat jobs stop " + name + ", and delete it once it has ended");
  }
  if (state.tuning_job.empty()) return {};
  const auto parent = store.Events(JobKind::kTuning, state.tuning_job);
  if (!parent && parent.error().code == ErrorCode::kNotFound) return {};
  if (!parent) return Fail(parent.error());
  if (jobs::Fold(*parent).IsTerminal()) return {};
  return Fail(ErrorCode::kBusy, "the tuning job " + state.tuning_job + " still runs and needs what its job " + name +
                                    " has measured: leat jobs stop " + state.tuning_job + " first");
}

}  // namespace

std::vector<std::string> KeptOfJob(const std::string& state_directory, const std::string& training_job) {
  const std::string volume = jobs::JobVolume(state_directory, training_job);
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<std::string> kept, paths;
  for (uint32_t host = 0;; ++host) {
    const std::string directory = jobs::HostDirectory(state_directory, training_job, host);
    if (host > 0 && !fs::exists(directory, error)) break;
    paths.push_back(directory + "/checkpoints");
  }
  for (const char* part : {"/model", "/output/data"}) paths.push_back(volume + part);
  for (const std::string& path : paths) {
    if (!fs::is_directory(fs::symlink_status(path, error))) continue;
    const bool is_empty = fs::is_empty(path, error);
    if (!is_empty || error) kept.push_back(path);  // what cannot be read may hold anything
  }
  return kept;
}

Status RemoveTree(const std::string& directory) {
  const size_t slash = directory.rfind('/');
  if (slash == std::string::npos || slash + 1 == directory.size()) {
    return Fail(ErrorCode::kInvalidArgument, "'" + directory + "' is no directory that could be removed");
  }
  const std::string parent = slash == 0 ? "/" : directory.substr(0, slash), name = directory.substr(slash + 1);
  if (name == "." || name == "..") {
    return Fail(ErrorCode::kInvalidArgument, "'" + directory + "' is no directory that could be removed");
  }
  const FileDescriptor opened(open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.valid() && errno == ENOENT) return {};
  if (!opened.valid()) return FailErrno(errno, parent);
  return RemoveEntry(opened.get(), name, directory, 0);
}

Status DeleteJob(jobs::JobStore& store, const std::string& state_directory, JobKind kind, const std::string& name,
                 bool force) {
  LEAT_ASSIGN_OR_RETURN(const std::string stored, StoredName(store, kind, name));
  LEAT_RETURN_IF_ERROR(CheckMayGo(store, kind, stored));
  if (kind == JobKind::kTuning) {
    LEAT_RETURN_IF_ERROR(RemoveTree(state_directory + "/tuning-jobs/" + stored));
    return store.Remove(kind, stored);
  }
  if (const auto kept = KeptOfJob(state_directory, stored); !kept.empty() && !force) {
    std::string paths;
    for (const auto& path : kept) paths += (paths.empty() ? "" : ", ") + path;
    return Fail(ErrorCode::kExists, stored + " is not deleted: what is in " + paths +
                                        " is nowhere else; copy it away, or delete it too with --force");
  }
  LEAT_RETURN_IF_ERROR(RemoveTree(jobs::JobDirectory(state_directory, stored)));
  return store.Remove(kind, stored);
}

}  // namespace leat::cli
