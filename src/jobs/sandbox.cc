// SPDX-License-Identifier: Apache-2.0
#include "jobs/sandbox.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <set>

#include "base/text.h"
#include "jobs/trainer_process.h"

namespace leat::jobs {
namespace {

#if defined(__x86_64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr unsigned kArchitecture = 0;
#endif

constexpr std::chrono::milliseconds kCheckDeadline{30000};
constexpr const char* kHosts = "/etc/hosts";
constexpr unsigned kTcgets = 0x5401;  // asm-generic/ioctls.h; the same on both

}  // namespace

std::vector<std::string> SandboxArguments(const SandboxView& view, int seccomp_fd,
                                          const std::vector<std::string>& command) {
  namespace fs = std::filesystem;
  std::vector<std::string> arguments = {"bwrap", "--die-with-parent", "--new-session", "--dev-bind", "/",
                                        "/",     "--tmpfs",           "/opt"};
  // /opt/ml cannot be made on a root that may be read-only, so /opt is made anew with what the machine has there.
  std::error_code error;
  for (fs::directory_iterator i("/opt", error), end; !error && i != end; i.increment(error)) {
    const std::string path = i->path().string();
    if (path == "/opt/ml") continue;
    std::error_code link_error;
    if (i->is_symlink(link_error)) {
      arguments.insert(arguments.end(), {"--symlink", fs::read_symlink(i->path(), link_error).string(), path});
    } else {
      arguments.insert(arguments.end(), {"--dev-bind-try", path, path});
    }
  }
  for (const auto& directory : view.hidden) arguments.insert(arguments.end(), {"--tmpfs", directory});
  arguments.insert(arguments.end(), {"--bind", view.job_directory, "/opt/ml"});
  for (const auto& [from, to] : view.read_only) arguments.insert(arguments.end(), {"--ro-bind", from, to});
  for (const auto& [from, to] : view.writable) arguments.insert(arguments.end(), {"--bind", from, to});
  if (!view.hosts_file.empty()) arguments.insert(arguments.end(), {"--ro-bind", view.hosts_file, kHosts});
  arguments.insert(arguments.end(), {"--chdir", view.working_directory});
  if (seccomp_fd >= 0) arguments.insert(arguments.end(), {"--seccomp", std::to_string(seccomp_fd)});
  arguments.emplace_back("--");
  arguments.insert(arguments.end(), command.begin(), command.end());
  return arguments;
}

std::vector<std::string> AwsDirectories(const std::vector<std::string>& environment) {
  std::set<std::string> homes;
  for (const auto& entry : environment) {
    if (entry.rfind("HOME=", 0) == 0) homes.insert(entry.substr(5));
  }
  std::array<char, 16384> text{};
  passwd user{}, *found = nullptr;
  if (getpwuid_r(geteuid(), &user, text.data(), text.size(), &found) == 0 && found) homes.insert(found->pw_dir);
  std::set<std::string> directories;
  for (const auto& home : homes) {
    std::error_code error;
    const auto directory = std::filesystem::canonical(home + "/.aws", error);
    if (!error && std::filesystem::is_directory(directory, error)) directories.insert(directory.string());
  }
  return {directories.begin(), directories.end()};
}

Result<bool> WriteHostsFile(const std::string& path, const std::vector<std::string>& hosts) {
  struct stat info {};
  if (lstat(kHosts, &info) != 0 || !S_ISREG(info.st_mode)) return false;
  LEAT_ASSIGN_OR_RETURN(std::string text, ReadFile(kHosts, 16u << 20));
  if (!text.empty() && text.back() != '\n') text += '\n';
  // Launchers and rendezvous code look up the name that SM_HOSTS and resourceconfig.json give them.
  for (const auto& host : hosts) text += "127.0.0.1 " + host + "\n";
  LEAT_RETURN_IF_ERROR(WriteFileAtomically(path, text, 0644, false));
  return true;
}

Result<FileDescriptor> OpenTerminalFilter() {
  if (kArchitecture == 0) return FileDescriptor();
  // if (arch == ours && nr == ioctl && (uint32_t)args[1] == TCGETS) return ENOTTY; else allow. Little-endian halves.
  const sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kTcgets, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (ENOTTY & SECCOMP_RET_DATA)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  FileDescriptor file(memfd_create("leat-terminal-filter", MFD_CLOEXEC));
  if (!file.valid()) return FailErrno(errno, "memfd_create");
  LEAT_RETURN_IF_ERROR(WriteAll(file.get(), std::as_bytes(std::span(program)), 0));
  return file;
}

Status CheckSandbox() {
  const std::string advice =
      "; allow it, or give --no-sandbox: the script then finds its paths in SM_* variables only, not at /opt/ml";
  TrainerCommand command;
  command.arguments = SandboxArguments({"/tmp", {}, {}, "/"}, -1, {"/bin/true"});
  if (const char* path = getenv("PATH")) command.environment.push_back(std::string("PATH=") + path);
  command.in_sandbox = true;
  const auto ran = RunProgram(command, kCheckDeadline);
  if (!ran) {
    if (ran.error().code != ErrorCode::kNotFound) return Fail(ran.error().code, ran.error().message + advice);
    return Fail(ErrorCode::kNotFound,
                "bwrap is not installed, and a job's /opt/ml needs it; install the package bubblewrap, or give "
                "--no-sandbox: the "
                "script then finds its paths in SM_* variables only, not at /opt/ml");
  }
  if (ran->exit_code == 0) return {};
  return Fail(ErrorCode::kDenied, "this system does not let bwrap make a namespace for the job (" +
                                      std::string(Trim(ran->text)) + ")" + advice);
}

}  // namespace leat::jobs
