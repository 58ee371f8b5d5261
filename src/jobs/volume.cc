// SPDX-License-Identifier: Apache-2.0
#include "jobs/volume.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <vector>

#include "base/text.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCheckpoints = "checkpoints";  // where a host's are kept

Status MoveCheckpoints(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) return Fail(ErrorCode::kIo, "moving the checkpoints from " + from + " to " + to + ": " + error.message());
  return {};
}

// The first component of `path` below `root` that is a link; empty: none is. A script may put one anywhere.
std::string LinkOnTheWay(const std::string& root, const std::string& path) {
  std::string way;
  for (const auto& component : Split(path, '/')) {
    way += "/" + component;
    std::error_code error;
    if (fs::is_symlink(fs::symlink_status(root + way, error))) return way;
  }
  return "";
}

bool IsDirectoryWithEntries(const std::string& root, const std::string& path) {
  std::error_code error;
  const std::string directory = root + "/" + path;
  return LinkOnTheWay(root, path).empty() && fs::is_directory(directory, error) && !fs::is_empty(directory, error) &&
         !error;
}

// Everything below `directory` but `kept`, paths relative to it.
Status RemoveBut(const std::string& directory, const std::vector<std::string>& kept) {
  std::error_code error;
  for (fs::directory_iterator i(directory, error), end; !error && i != end; i.increment(error)) {
    const std::string name = i->path().filename().string();
    bool keep = false;
    std::vector<std::string> below;
    for (const auto& path : kept) {
      keep = keep || path == name;
      if (path.rfind(name + "/", 0) == 0) below.push_back(path.substr(name.size() + 1));
    }
    if (keep) continue;
    std::error_code ignored;
    if (!below.empty() && fs::is_directory(i->symlink_status(ignored))) {
      LEAT_RETURN_IF_ERROR(RemoveBut(i->path().string(), below));
      continue;
    }
    std::error_code removing;
    fs::remove_all(i->path(), removing);
    if (removing) return Fail(ErrorCode::kIo, i->path().string() + " could not be removed: " + removing.message());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return Fail(ErrorCode::kIo, directory + " could not be read: " + error.message());
  }
  return {};
}

// What a host's sandbox or container is made with.
void RemoveViewFiles(const std::string& host_directory) {
  for (const char* name : {"/hosts", "/seccomp.json"}) unlink((host_directory + name).c_str());
}

}  // namespace

std::string JobDirectory(const std::string& state_directory, const std::string& training_job) {
  return state_directory + "/jobs/" + training_job;
}

std::string HostDirectory(const std::string& state_directory, const std::string& training_job, uint32_t host) {
  const std::string directory = JobDirectory(state_directory, training_job);
  return host == 0 ? directory : directory + "/algo-" + std::to_string(host + 1);
}

std::string AttemptDirectory(const std::string& state_directory, const std::string& training_job, uint32_t attempt,
                             uint32_t host) {
  const std::string directory = JobDirectory(state_directory, training_job) + "/attempt-" + std::to_string(attempt);
  return host == 0 ? directory : directory + "/algo-" + std::to_string(host + 1);
}

std::string JobVolume(const std::string& state_directory, const std::string& training_job, uint32_t host) {
  return HostDirectory(state_directory, training_job, host) + "/ml";
}

std::string TuningDirectory(const std::string& state_directory, const std::string& tuning_job) {
  return state_directory + "/tuning-jobs/" + tuning_job;
}

Result<FileDescriptor> TakeJobLock(const std::string& path) {
  LEAT_RETURN_IF_ERROR(CreateDirectories(path.substr(0, path.rfind('/')), 0700));
  // Writable, because NFS makes an exclusive flock a write lock of the server's.
  FileDescriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return FailErrno(errno, path);
  int code = 0;
  while ((code = flock(file.get(), LOCK_EX | LOCK_NB)) != 0 && errno == EINTR) {
  }
  if (code == 0) return file;
  if (errno == EWOULDBLOCK) return Fail(ErrorCode::kBusy, path + " is locked by the process that runs the job");
  if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS) {
    return Fail(ErrorCode::kNotSupported, path + " cannot be locked: this file system has no locks");
  }
  return FailErrno(errno, path);
}

void MergeDirectory(const std::string& from, const std::string& to,
                    const std::function<void(const std::string& path)>& on_clash) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(from, error)) {
    const std::string target = to + "/" + entry.path().filename().string();
    const auto there = fs::symlink_status(target, error);
    if (!fs::exists(there)) {
      fs::rename(entry.path(), target, error);
    } else if (fs::is_directory(there) && fs::is_directory(entry.symlink_status(error))) {
      MergeDirectory(entry.path().string(), target, on_clash);
    } else {
      on_clash(target);
    }
  }
}

void MergeHosts(const std::string& state_directory, const std::string& training_job,
                const std::function<void(const std::string& path)>& on_clash) {
  const std::string first = JobVolume(state_directory, training_job);
  for (uint32_t host = 1; fs::exists(HostDirectory(state_directory, training_job, host)); ++host) {
    for (const char* part : {"/model", "/output/data"})
      MergeDirectory(JobVolume(state_directory, training_job, host) + part, first + part, on_clash);
  }
}

Status TakeBackCheckpoints(const std::string& state_directory, const std::string& training_job,
                           const std::string& checkpoint_path) {
  for (uint32_t host = 0; host == 0 || fs::exists(HostDirectory(state_directory, training_job, host)); ++host) {
    const std::string directory = HostDirectory(state_directory, training_job, host);
    if (checkpoint_path.empty() || !IsDirectoryWithEntries(directory, kCheckpoints)) continue;
    const std::string to = JobVolume(state_directory, training_job, host) + "/" + checkpoint_path;
    std::error_code error;
    fs::remove(to, error);  // made empty for this attempt
    LEAT_RETURN_IF_ERROR(MoveCheckpoints(directory + "/" + kCheckpoints, to));
  }
  return {};
}

Result<std::string> KeepCheckpoints(const std::string& state_directory, const std::string& training_job,
                                    const std::string& checkpoint_path) {
  std::string kept;
  for (uint32_t host = 0; host == 0 || fs::exists(HostDirectory(state_directory, training_job, host)); ++host) {
    const std::string volume = JobVolume(state_directory, training_job, host);
    if (checkpoint_path.empty() || !IsDirectoryWithEntries(volume, checkpoint_path)) continue;
    const std::string to = HostDirectory(state_directory, training_job, host) + "/" + kCheckpoints;
    LEAT_RETURN_IF_ERROR(MoveCheckpoints(volume + "/" + checkpoint_path, to));
    kept += (kept.empty() ? "" : ", ") + to;
  }
  return kept;
}

VolumeParts PartsWithEntries(const std::string& state_directory, const std::string& training_job) {
  const std::string volume = JobVolume(state_directory, training_job);
  return {IsDirectoryWithEntries(volume, "model"), IsDirectoryWithEntries(volume, "output/data")};
}

Status CheckParts(const std::string& state_directory, const std::string& training_job) {
  for (uint32_t host = 0; host == 0 || fs::exists(HostDirectory(state_directory, training_job, host)); ++host) {
    for (const char* part : {"model", "output/data"}) {
      const std::string link = LinkOnTheWay(JobVolume(state_directory, training_job, host), part);
      if (link.empty()) continue;
      return Fail(ErrorCode::kInvalidArgument,
                  "/opt/ml" + link + " is a link, which the script has put there: what it leads to is not uploaded; " +
                      "write to /opt/ml/" + part + " itself");
    }
  }
  return {};
}

std::string KeptText(const std::string& state_directory, const std::string& training_job, VolumeParts kept) {
  const std::string volume = JobVolume(state_directory, training_job);
  std::string text;
  if (kept.model) text = "the model is kept in " + volume + "/model";
  if (kept.output_data) text += (text.empty() ? "" : ", ") + ("the output data is kept in " + volume + "/output/data");
  return text;
}

Status RemoveVolume(const std::string& state_directory, const std::string& training_job, VolumeParts keep) {
  const std::string volume = JobVolume(state_directory, training_job);
  RemoveViewFiles(JobDirectory(state_directory, training_job));
  // The other hosts': what they made is the first's by now.
  for (uint32_t host = 1; fs::exists(HostDirectory(state_directory, training_job, host)); ++host) {
    std::error_code error;
    fs::remove_all(JobVolume(state_directory, training_job, host), error);
    if (error) return Fail(ErrorCode::kIo, "the volume of a host could not be removed: " + error.message());
    RemoveViewFiles(HostDirectory(state_directory, training_job, host));
  }
  std::vector<std::string> kept;
  if (keep.model) kept.emplace_back("model");
  if (keep.output_data) kept.emplace_back("output/data");
  if (!kept.empty()) return RemoveBut(volume, kept);
  std::error_code error;
  fs::remove_all(volume, error);
  if (error) return Fail(ErrorCode::kIo, volume + " could not be removed: " + error.message());
  return {};
}

}  // namespace leat::jobs
