// SPDX-License-Identifier: Apache-2.0
#include "fuse/mountpoint.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "fuse/mount.h"

extern char** environ;

namespace leat::fuse {
namespace {

constexpr int kProbeMilliseconds = 1000;

// mountinfo writes space, tab, newline and backslash as \ and three octal digits.
std::string Unescape(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      result.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
      i += 3;
    } else {
      result.push_back(text[i]);
    }
  }
  return result;
}

// errno of statfs(path), asked by a child process that can be left behind; ETIMEDOUT when there is no answer.
int ProbeInChild(const std::string& path) {
  const pid_t child = fork();
  if (child < 0) return errno;
  if (child == 0) {
    struct statfs answer;
    _exit(statfs(path.c_str(), &answer) == 0 ? 0 : errno & 0xff);
  }
  int status = 0;
  for (int waited = 0; waited < kProbeMilliseconds; waited += 5) {
    if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
    poll(nullptr, 0, 5);
  }
  kill(child, SIGKILL);
  // It may be beyond SIGKILL's reach for now; it is reaped without waiting here.
  std::thread([child] { waitpid(child, nullptr, 0); }).detach();
  return ETIMEDOUT;
}

int RunFusermount(const std::string& path, bool lazy) {
  std::string program = "fusermount3", unmount = "-u", quiet = "-q", detach = "-z", end = "--", target = path;
  std::vector<char*> arguments = {program.data(), unmount.data(), quiet.data()};
  if (lazy) arguments.push_back(detach.data());
  for (std::string* argument : {&end, &target}) arguments.push_back(argument->data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  if (const int error = posix_spawnp(&child, "fusermount3", nullptr, nullptr, arguments.data(), environ); error != 0) {
    return error;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  return lazy ? EPERM : EBUSY;
}

}  // namespace

std::string CanonicalMountpoint(const std::string& path) {
  std::string text = path;
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  const size_t slash = text.rfind('/');
  if (slash == std::string::npos || text == "/") return text;
  const std::string parent = slash == 0 ? "/" : text.substr(0, slash);
  char resolved[PATH_MAX];
  if (realpath(parent.c_str(), resolved) == nullptr) return text;
  std::string result = resolved;
  if (result != "/") result.push_back('/');
  return result + text.substr(slash + 1);
}

std::optional<MountedFileSystem> MountedAt(const std::string& path) {
  const std::string wanted = CanonicalMountpoint(path);
  const Result<std::string> table = ReadFile("/proc/self/mountinfo");
  std::optional<MountedFileSystem> found;
  if (!table) return found;
  for (const std::string& line : Split(*table, '\n')) {
    const std::vector<std::string> fields = Split(line, ' ');
    if (fields.size() < 10 || Unescape(fields[4]) != wanted) continue;
    for (size_t i = 6; i + 1 < fields.size(); ++i) {  // optional fields end with "-"
      if (fields[i] != "-") continue;
      found = MountedFileSystem{fields[2], fields[i + 1]};  // the last line is the topmost mount
      break;
    }
  }
  return found;
}

Status Detach(const std::string& path, bool lazy) {
  const std::string target = CanonicalMountpoint(path);
  if (umount2(target.c_str(), UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0) return {};
  int error = errno;
  if (error == EPERM) error = RunFusermount(target, lazy);
  if (error == 0) return {};
  if (error == EBUSY) {
    return Fail(ErrorCode::kBusy,
                target + " is in use; end what uses it (`fuser -vm " + target + "` lists it), or unmount with --force");
  }
  return FailErrno(error, "cannot unmount " + target);
}

MountpointState InspectMountpoint(const std::string& path) {
  if (const auto mounted = MountedAt(path)) {
    if (mounted->type.starts_with("fuse")) {
      const int error = ProbeInChild(CanonicalMountpoint(path));
      if (error == ENOTCONN || error == ECONNABORTED) return MountpointState::kDead;
    }
    return mounted->type == "fuse.leat" ? MountpointState::kLeatMounted : MountpointState::kBusyMounted;
  }
  struct stat attributes;
  if (stat(path.c_str(), &attributes) != 0) {
    if (errno == ENOTCONN) return MountpointState::kDead;
    return errno == EACCES ? MountpointState::kNotPermitted : MountpointState::kMissing;
  }
  if (!S_ISDIR(attributes.st_mode)) return MountpointState::kNotADirectory;
  // fusermount3 mounts for others than root only where they may write.
  if (access(path.c_str(), W_OK | X_OK) != 0) return MountpointState::kNotPermitted;
  return MountpointState::kReady;
}

Status CleanDeadMount(const std::string& path) { return Detach(path, true); }

}  // namespace leat::fuse
