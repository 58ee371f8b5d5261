// SPDX-License-Identifier: Apache-2.0
#include "jobs/trainer_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace leat::jobs {
namespace {

constexpr int kStatusFd = 3;
constexpr size_t kToldMax = 1024;  // orphans that the shim remembers to have sent SIGTERM
constexpr size_t kProgramOutputMax = 64u << 10;
constexpr int kAsideFd = 64;  // descriptors wait from here on while 0 to 4 are filled

// What the shim tells us: first whether the program started, then how it ended.
struct Report {
  int exec_errno = 0;
  int wait_status = 0;
};

// --- The shim runs between fork and _exit of a process that had threads: only async-signal-safe calls, no allocation.

void CloseFrom(unsigned first) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, first, ~0u, 0u) == 0) return;
#endif
  for (int fd = static_cast<int>(first); fd < 65536; ++fd) close(fd);
}

char* WriteNumber(char* at, long number) {
  char digits[24];
  int count = 0;
  do digits[count++] = static_cast<char>('0' + number % 10);
  while ((number /= 10) > 0);
  while (count > 0) *at++ = digits[--count];
  return at;
}

// Calls `use` with every child of `process` (its main thread's; bwrap and the shim have no other).
template <class Function>
int ForEachChild(pid_t process, Function use) {
  char path[64] = "/proc/";
  char* at = WriteNumber(path + 6, process);
  std::memcpy(at, "/task/", 6);
  at = WriteNumber(at + 6, process);
  std::memcpy(at, "/children", 10);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  char buffer[4096];
  int children = 0;
  long number = 0;
  for (ssize_t got; (got = read(file, buffer, sizeof buffer)) > 0;) {
    for (ssize_t i = 0; i < got; ++i) {
      if (buffer[i] >= '0' && buffer[i] <= '9') {
        number = number * 10 + (buffer[i] - '0');
      } else if (number > 0) {
        use(static_cast<pid_t>(number));
        ++children;
        number = 0;
      }
    }
  }
  close(file);
  return children;
}

void TerminateScript(pid_t script, bool in_sandbox) {
  if (!in_sandbox) {
    kill(script, SIGTERM);
    return;
  }
  // bwrap does not pass signals on, and its own death would be the script's: signal the process that it made.
  const int found = ForEachChild(script, [](pid_t child) { kill(child, SIGTERM); });
  if (found == 0) kill(script, SIGTERM);  // not set up yet
}

// Those that have been sent SIGTERM: each orphan gets it once, as it comes to us.
class Told {
 public:
  bool Add(pid_t process) {
    for (size_t i = 0; i < count_; ++i) {
      if (processes_[i] == process) return false;
    }
    if (count_ < kToldMax) processes_[count_++] = process;
    return true;
  }
  void Remove(pid_t process) {
    for (size_t i = 0; i < count_; ++i) {
      if (processes_[i] == process) processes_[i] = processes_[--count_];
    }
  }

 private:
  pid_t processes_[kToldMax] = {};
  size_t count_ = 0;
};

[[noreturn]] void RunScript(const TrainerCommand& command, char** arguments, char** environment, pid_t shim) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != shim) _exit(127);
  if (!command.in_sandbox) setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  Report report;
  if (command.directory.empty() || chdir(command.directory.c_str()) == 0) execvpe(arguments[0], arguments, environment);
  report.exec_errno = errno;
  (void)!write(kStatusFd, &report, sizeof report);
  _exit(127);
}

[[noreturn]] void RunShim(const TrainerCommand& command, char** arguments, char** environment, int output, int status,
                          pid_t parent) {
  setsid();  // out of the terminal's group: Ctrl-C is for us to hear
  prctl(PR_SET_PDEATHSIG, SIGQUIT);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  for (int number = 1; number < 65; ++number) signal(number, SIG_DFL);
  if (getppid() != parent) _exit(127);
  const int null = open("/dev/null", O_RDWR);
  const int moved[4] = {fcntl(null, F_DUPFD, kAsideFd), fcntl(output, F_DUPFD, kAsideFd),
                        fcntl(status, F_DUPFD, kAsideFd),
                        command.inherited_fd < 0 ? -1 : fcntl(command.inherited_fd, F_DUPFD, kAsideFd)};
  dup2(moved[0], 0);
  dup2(moved[1], 1);
  dup2(moved[1], 2);
  dup2(moved[2], kStatusFd);
  if (moved[3] >= 0) dup2(moved[3], kInheritedFd);
  // Nothing else of ours: not the pipes of jobs beside this one, nor the database.
  CloseFrom(moved[3] >= 0 ? kInheritedFd + 1 : kStatusFd + 1);
  fcntl(kStatusFd, F_SETFD, FD_CLOEXEC);

  const pid_t shim = getpid();
  const pid_t script = fork();
  if (script == 0) RunScript(command, arguments, environment, shim);
  const int hidden = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(hidden, 1);  // the output shall end with the script's processes, not with us
  dup2(hidden, 2);
  close(kInheritedFd);

  Report report;
  Told told;
  bool killing = script < 0, terminating = false, script_ended = false;
  for (;;) {
    int ended = 0;
    pid_t child = 0;
    while ((child = waitpid(-1, &ended, WNOHANG)) > 0) {
      told.Remove(child);
      if (child != script || script_ended) continue;
      report.wait_status = ended;
      script_ended = true;
      // What the script left behind goes with it; one that was told to end may have left the work to a child, as
      // `bash run.sh` does, which dies of the signal at once.
      if (!terminating) killing = true;
    }
    if (child < 0 && errno == ECHILD) break;
    if (killing) ForEachChild(shim, [](pid_t left) { kill(left, SIGKILL); });
    if (terminating && script_ended && !killing) {
      ForEachChild(shim, [&](pid_t left) {
        if (told.Add(left)) kill(left, SIGTERM);
      });
    }
    const timespec wait = {killing ? 0 : 1, killing ? 5000000 : 0};
    const int number = sigtimedwait(&all, nullptr, &wait);
    if (number == SIGTERM) {
      terminating = true;
      if (!script_ended) TerminateScript(script, command.in_sandbox);
    }
    if (number == SIGQUIT) killing = true;
  }
  (void)!write(kStatusFd, &report, sizeof report);
  _exit(0);
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const auto& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Where execvpe would find it: it searches the caller's PATH, the contract means the script's.
std::string FindProgram(const std::string& name, const std::vector<std::string>& environment) {
  if (name.find('/') != std::string::npos) return name;
  std::string path = "/usr/local/bin:/usr/bin:/bin";
  for (const auto& entry : environment) {
    if (entry.rfind("PATH=", 0) == 0) path = entry.substr(5);
  }
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find(':', at), path.size());
    const std::string candidate = path.substr(at, end - at) + "/" + name;
    if (end > at && access(candidate.c_str(), X_OK) == 0) return candidate;
    at = end + 1;
  }
  return "";
}

}  // namespace

Result<std::unique_ptr<TrainerProcess>> TrainerProcess::Start(const TrainerCommand& command) {
  std::vector<std::string> texts = command.arguments;
  texts[0] = FindProgram(texts[0], command.environment);
  if (texts[0].empty()) return Fail(ErrorCode::kNotFound, command.arguments[0] + " is not in the PATH");
  int output[2], status[2];
  if (pipe2(output, O_CLOEXEC) != 0) return FailErrno(errno, "pipe");
  FileDescriptor output_read(output[0]), output_write(output[1]);
  if (pipe2(status, O_CLOEXEC) != 0) return FailErrno(errno, "pipe");
  FileDescriptor status_read(status[0]), status_write(status[1]);
  auto arguments = Pointers(texts);
  auto environment = Pointers(command.environment);
  const pid_t parent = getpid();
  const pid_t shim = fork();
  if (shim < 0) return FailErrno(errno, "fork");
  if (shim == 0) RunShim(command, arguments.data(), environment.data(), output_write.get(), status_write.get(), parent);
  return std::unique_ptr<TrainerProcess>(new TrainerProcess(shim, std::move(output_read), std::move(status_read)));
}

TrainerProcess::TrainerProcess(int shim, FileDescriptor output, FileDescriptor status)
    : shim_(shim), output_(std::move(output)), status_(std::move(status)) {}

TrainerProcess::~TrainerProcess() {
  if (shim_ <= 0) return;
  Kill();
  Wait();
}

void TrainerProcess::Terminate() {
  if (shim_ > 0) kill(shim_, SIGTERM);
}

void TrainerProcess::Abandon() {
  Kill();
  shim_ = -1;
}

void TrainerProcess::Kill() {
  if (shim_ > 0) kill(shim_, SIGQUIT);
}

int TrainerProcess::Wait() {
  if (shim_ <= 0) return 127;
  Report last;
  last.exec_errno = -1;  // until the shim has said anything
  for (Report report;;) {
    const ssize_t got = read(status_.get(), &report, sizeof report);
    if (got < 0 && errno == EINTR) continue;
    if (got != sizeof report) break;
    if (report.exec_errno != 0) exec_errno_ = report.exec_errno;
    last = report;
  }
  while (waitpid(shim_, nullptr, 0) < 0 && errno == EINTR) {
  }
  shim_ = -1;
  if (last.exec_errno == -1) return 128 + SIGKILL;  // the shim itself was killed
  return WIFSIGNALED(last.wait_status) ? 128 + WTERMSIG(last.wait_status) : WEXITSTATUS(last.wait_status);
}

Result<ProgramOutput> RunProgram(const TrainerCommand& command, std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  LEAT_ASSIGN_OR_RETURN(const auto process, TrainerProcess::Start(command));
  ProgramOutput output;
  char buffer[4096];
  bool output_ended = false;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      process->Abandon();
      return Fail(ErrorCode::kTimedOut,
                  command.arguments[0] + " did not end in " + std::to_string(deadline.count()) + " ms and was killed");
    }
    pollfd waiting{output_ended ? process->status_fd() : process->output_fd(),
                   static_cast<short>(output_ended ? 0 : POLLIN), 0};
    const int ready = poll(&waiting, 1, static_cast<int>(left.count()));
    if (ready <= 0) continue;
    if (output_ended) break;  // the shim has hung up
    const ssize_t got = read(process->output_fd(), buffer, sizeof buffer);
    if (got == 0 || (got < 0 && errno != EINTR)) output_ended = true;
    if (got > 0 && output.text.size() < kProgramOutputMax) output.text.append(buffer, static_cast<size_t>(got));
  }
  output.exit_code = process->Wait();
  return output;
}

}  // namespace leat::jobs
