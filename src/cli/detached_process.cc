// SPDX-License-Identifier: Apache-2.0
#include "cli/detached_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/file.h"
#include "control/protocol.h"

namespace leat::cli {
namespace {

constexpr std::chrono::seconds kStartWait{20};
constexpr int kReadyDescriptor = 3;

constexpr std::string_view kInheritedNames[] = {"PATH",         "HOME",         "XDG_RUNTIME_DIR", "LANG",
                                                "LC_ALL",       "TZ",           "TMPDIR",          "LD_LIBRARY_PATH",
                                                "ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"};

std::vector<std::string> InheritedEnvironment() {
  std::vector<std::string> environment;
  for (const std::string_view name : kInheritedNames) {
    if (const char* value = std::getenv(std::string(name).c_str()))
      environment.push_back(std::string(name) + "=" + value);
  }
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

// In the grandchild, between fork and exec: system calls only.
[[noreturn]] void BecomeDetached(int ready, int log, char* const* arguments, char* const* environment) {
  const int null = open("/dev/null", O_RDWR);
  // `ready` may itself be 0, 1 or 2 when the caller had those closed: move it out of the way first.
  const int ready_high = fcntl(ready, F_DUPFD, 10);
  const int log_high = fcntl(log, F_DUPFD, 10);
  dup2(null, 0);
  dup2(null, 1);
  dup2(log_high >= 0 ? log_high : null, 2);
  dup2(ready_high, kReadyDescriptor);
  // Nothing else of the caller's is kept open: a pipe held by a daemon would never end.
  if (close_range(kReadyDescriptor + 1, ~0U, 0) != 0) {
    for (int fd = kReadyDescriptor + 1; fd < 1024; ++fd) close(fd);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (chdir("/") != 0) _exit(127);
  execve("/proc/self/exe", arguments, environment);
  _exit(127);
}

// What the process wrote until it closed the pipe, or what came before the deadline.
std::string ReadReport(int fd, bool& timed_out) {
  const auto deadline = std::chrono::steady_clock::now() + kStartWait;
  std::string report;
  char buffer[4096];
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd entry{fd, POLLIN, 0};
    const int ready = poll(&entry, 1, static_cast<int>(std::max<int64_t>(0, left.count())));
    if (ready < 0 && errno == EINTR) continue;
    timed_out = ready <= 0;
    if (timed_out) return report;
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count <= 0) return report;
    report.append(buffer, static_cast<size_t>(count));
  }
}

}  // namespace

Status StartDetached(std::vector<std::string> arguments, const std::string& log_path, const std::string& what) {
  FileDescriptor log(open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!log.valid()) return FailErrno(errno, "opening " + log_path);
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return FailErrno(errno, "making a pipe");
  FileDescriptor report(pipe_ends[0]);
  FileDescriptor ready(pipe_ends[1]);
  arguments.insert(arguments.begin(), "leat");
  arguments.insert(arguments.end(), {"--ready-fd", std::to_string(kReadyDescriptor)});
  std::vector<std::string> environment = InheritedEnvironment();
  const std::vector<char*> argument_pointers = Pointers(arguments);
  const std::vector<char*> environment_pointers = Pointers(environment);
  const pid_t child = fork();
  if (child < 0) return FailErrno(errno, "starting " + what);
  if (child == 0) {
    if (setsid() < 0) _exit(127);
    const pid_t grandchild = fork();
    if (grandchild != 0) _exit(grandchild < 0 ? 127 : 0);
    BecomeDetached(ready.get(), log.get(), argument_pointers.data(), environment_pointers.data());
  }
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  ready.Reset();

  bool timed_out = false;
  const std::string text = ReadReport(report.get(), timed_out);
  const nlohmann::json answer = nlohmann::json::parse(text, nullptr, false);
  if (answer.is_object()) {
    auto result = control::ResultOf(answer);
    if (!result) return Fail(result.error());
    return {};
  }
  return Fail(timed_out ? ErrorCode::kTimedOut : ErrorCode::kInternal,
              what + (timed_out ? " does not get ready" : " ended while it started") + "; see " + log_path);
}

void ReportStart(int ready_fd, const Status& status) {
  if (ready_fd < 0) return;
  const Result<nlohmann::json> report =
      status ? Result<nlohmann::json>(nlohmann::json::object()) : Result<nlohmann::json>(Fail(status.error()));
  const std::string line =
      control::AnswerOf(report).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  (void)!write(ready_fd, line.data(), line.size());
  close(ready_fd);
}

void BlockStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

}  // namespace leat::cli
