// SPDX-License-Identifier: Apache-2.0
#include "fuse/mount.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "fuse/kernel_notifier.h"
#include "fuse/mountpoint.h"
#include "fuse/session.h"

namespace leat::fuse {
namespace {

// Over the 128 KiB that the kernel caps FUSE read-ahead at: a large file streams as several READs of 1 MiB at a time.
constexpr const char* kReadAheadKiB = "4096";

Status CheckDevice() {
  const int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fd >= 0) {
    close(fd);
    return {};
  }
  if (errno == ENOENT || errno == ENODEV || errno == ENXIO) {
    return Fail(ErrorCode::kNotFound,
                "/dev/fuse is missing: load the module with `modprobe fuse`, or give the container --device /dev/fuse");
  }
  if (errno == EACCES || errno == EPERM) {
    return Fail(
        ErrorCode::kDenied,
        "/dev/fuse may not be opened: give the container --device /dev/fuse and --cap-add SYS_ADMIN, or let this "
        "user read and write /dev/fuse");
  }
  return FailErrno(errno, "cannot open /dev/fuse");
}

bool InPath(const std::string& program) {
  const char* path = getenv("PATH");
  for (const std::string& directory : Split(path != nullptr ? path : "/usr/bin:/bin", ':')) {
    if (!directory.empty() && access((directory + "/" + program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

bool UserAllowOther() {
  const Result<std::string> settings = ReadFile("/etc/fuse.conf");
  if (!settings) return false;
  for (const std::string& line : Split(*settings, '\n')) {
    if (Trim(line) == "user_allow_other") return true;
  }
  return false;
}

// What can be told in better words than the kernel's or libfuse's.
Status CheckSystem(const MountOptions& options) {
  LEAT_RETURN_IF_ERROR(CheckDevice());
  if (geteuid() == 0) return {};
  if (!InPath("fusermount3")) {
    return Fail(
        ErrorCode::kNotFound,
        "fusermount3 is missing, and only root can mount without it: install the package fuse3, or run as root");
  }
  if (options.allow_other && !UserAllowOther()) {
    return Fail(
        ErrorCode::kDenied,
        "--allow-other needs a line `user_allow_other` in /etc/fuse.conf: ask the administrator for it, or mount "
        "without --allow-other");
  }
  return {};
}

// Commas and backslashes would end or change a mount option.
std::string EscapeOption(const std::string& value) {
  std::string result;
  for (const char c : value) {
    if (c == ',' || c == '\\') result.push_back('\\');
    result.push_back(c);
  }
  return result;
}

void RaiseReadAhead(const std::string& mountpoint) {
  const auto mounted = MountedAt(mountpoint);
  if (!mounted) return;
  const std::string path = "/sys/class/bdi/" + mounted->device + "/read_ahead_kb";
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid() || write(file.get(), kReadAheadKiB, strlen(kReadAheadKiB)) < 0) {
    LogInfo("read-ahead stays at the kernel's 128 KiB: " + path + " may not be written; large files stream slower");
  }
}

class MountImplementation final : public Mount {
 public:
  MountImplementation(MountOptions options, fs::FileSystem& file_system)
      : options_(std::move(options)), file_system_(file_system) {
    server_.file_system = &file_system;
  }
  ~MountImplementation() override { (void)Unmount(true); }

  Status Begin() {
    std::string mount_options =
        "ro,nosuid,nodev,default_permissions,subtype=leat,fsname=" + EscapeOption(options_.source);
    if (options_.allow_other) mount_options += ",allow_other";
    LEAT_ASSIGN_OR_RETURN(session_, Session::Mount(options_.mountpoint, mount_options, server_));
    notifier_ = std::make_unique<KernelNotifier>(session_->get());
    notifier_->Start();
    server_.notifier = notifier_.get();
    file_system_.SetKernel(notifier_.get());
    LEAT_RETURN_IF_ERROR(session_->Start(std::max(1u, options_.session_threads), [this] { OnEnded(); }));
    RaiseReadAhead(options_.mountpoint);
    return {};
  }

  Status Unmount(bool force) override {
    if (!session_) return {};
    unmounting_ = true;  // the end that follows is ours, not for the callback
    if (!ended_) {
      Status detached = Detach(options_.mountpoint, false);
      if (!detached && force) detached = Detach(options_.mountpoint, true);
      if (!detached && !ended_) {
        if (!force) {
          unmounting_ = false;
          return detached;
        }
        LogWarning(detached.error().message);  // closing the device below ends the connection all the same
      }
    }
    // The session's threads go on until the notifier has stopped: a notice may wait for a request that is still to be
    // read.
    file_system_.SetKernel(nullptr);
    server_.pending.Close(EIO);
    notifier_->Stop();
    session_->Stop();
    session_.reset();
    return {};
  }

  void SetEndedCallback(std::function<void()> ended) override {
    {
      std::lock_guard lock(mutex_);
      if (!ended_) {
        ended_callback_ = std::move(ended);
        return;
      }
    }
    ended();
  }

 private:
  void OnEnded() {
    std::function<void()> ended;
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
      ended.swap(ended_callback_);
    }
    if (ended && !unmounting_) ended();
  }

  const MountOptions options_;
  fs::FileSystem& file_system_;
  Server server_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<KernelNotifier> notifier_;
  std::atomic<bool> unmounting_{false};
  std::mutex mutex_;  // protects ended_callback_, and ended_ against it
  std::atomic<bool> ended_{false};
  std::function<void()> ended_callback_;
};

}  // namespace

Result<std::unique_ptr<Mount>> Mount::Start(MountOptions options, fs::FileSystem& file_system) {
  LEAT_RETURN_IF_ERROR(CheckSystem(options));
  auto mount = std::make_unique<MountImplementation>(std::move(options), file_system);
  LEAT_RETURN_IF_ERROR(mount->Begin());
  return std::unique_ptr<Mount>(std::move(mount));
}

}  // namespace leat::fuse
