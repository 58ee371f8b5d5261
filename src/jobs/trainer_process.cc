// SPDX-License-Identifier: Apache-2.0
#include "jobs/trainer_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <sstream>
#include <thread>

#include "base/text.h"
#include "jobs/log_reader.h"
#include "jobs/stoppable.h"

namespace leat::jobs {
namespace {

constexpr size_t kToldMax = 1024;  // orphans that the shim remembers to have sent SIGTERM
constexpr size_t kProgramOutputMax = 64u << 10;
constexpr int kAsideFd = 64;  // descriptors wait from here on while those below are filled
constexpr std::chrono::seconds kIdentityWait{5};
constexpr const char* kTrainerFile = "/trainer";
constexpr const char* kExitFile = "/exit";
constexpr size_t kExitBytes =
    64;  // written in full before the script starts, so that its end needs no room on the disk

// What a program's shim tells us, and a trainer's writes down.
struct Report {
  int exec_errno = 0;
  int wait_status = 0;
};

// The shim's own descriptors, beside 0 to 2 and kInheritedFd.
enum ShimFd : int {
  kReportFd = 3,
  kReportReadFd = 5,
  kOutputReadFd = 6,
  kDirectoryFd = 7,
  kLockFd = 8,
  kShimFdEnd = 9
};

// What the shim is started with; those that a program's has no use for are below zero.
struct ShimFiles {
  int output_write = -1, report_write = -1;
  int report_read = -1, output_read = -1, directory = -1, lock = -1;
  const char* identity = "";
  pid_t parent = 0;
  bool IsTrainer() const { return directory >= 0; }
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

// Text for small files and names.
struct FixedText {
  char bytes[128];
  char* end = bytes;
  FixedText& Add(const char* text) {
    while (*text != '\0' && end < bytes + sizeof bytes - 1) *end++ = *text++;
    *end = '\0';
    return *this;
  }
  FixedText& Add(uint64_t number) {
    if (bytes + sizeof bytes - end < 24) return *this;
    end = WriteNumber(end, static_cast<long>(number));
    *end = '\0';
    return *this;
  }
  size_t size() const { return static_cast<size_t>(end - bytes); }
};

// The script's output in segments of one size, the first and the last few of which are kept.
class LogWriter {
 public:
  explicit LogWriter(int directory) : directory_(directory) {}
  uint64_t dropped() const { return dropped_; }

  // `waiting`: readable when the shim has other things to do than to wait for a reader.
  void Append(const char* bytes, size_t count, int waiting) {
    while (count > 0) {
      if (file_ < 0 || written_ % kLogSegmentBytes == 0) OpenSegment(waiting);
      const size_t room = kLogSegmentBytes - written_ % kLogSegmentBytes;
      const ssize_t put = file_ < 0 ? -1 : write(file_, bytes, count < room ? count : room);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) {  // a full disk must not end the job, nor hold it up
        dropped_ += count;
        return;
      }
      written_ += static_cast<uint64_t>(put);
      bytes += put;
      count -= static_cast<size_t>(put);
    }
  }

 private:
  static FixedText Name(uint64_t segment) {
    FixedText name;
    name.Add("log.").Add(segment);
    return name;
  }
  void OpenSegment(int waiting) {
    const uint64_t segment = written_ / kLogSegmentBytes;
    if (file_ >= 0) close(file_);
    if (segment > kLogSegmentsKept) RemoveSegment(segment - kLogSegmentsKept, waiting);
    file_ = openat(directory_, Name(segment).bytes, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  }
  // A reader that is there gets some time to read what goes: the script is slowed down, but never held up for good.
  void RemoveSegment(uint64_t segment, int waiting) {
    for (int turns = 0; turns < 200; ++turns) {
      const int progress = openat(directory_, kLogProgressName, O_RDONLY | O_CLOEXEC);
      if (progress < 0) break;
      uint64_t read_to = 0;
      const bool is_known = pread(progress, &read_to, sizeof read_to, 0) == sizeof read_to;
      const bool is_read = flock(progress, LOCK_EX | LOCK_NB) != 0;  // somebody holds it
      close(progress);
      if (!is_read || !is_known || read_to >= (segment + 1) * kLogSegmentBytes) break;
      pollfd signal{waiting, POLLIN, 0};
      if (poll(&signal, 1, 50) != 0) break;
    }
    unlinkat(directory_, Name(segment).bytes, 0);
  }

  const int directory_;
  int file_ = -1;
  uint64_t written_ = 0, dropped_ = 0;
};

// False: the disk did not take it.
bool WriteExitFile(int file, const Report& report, uint64_t dropped) {
  FixedText text;
  text.Add(static_cast<uint64_t>(report.exec_errno)).Add(" ").Add(static_cast<uint64_t>(report.wait_status)).Add(" ");
  text.Add(dropped).Add(" ");
  while (text.size() < kExitBytes - 1) text.Add(" ");
  text.Add("\n");
  return pwrite(file, text.bytes, kExitBytes, 0) == static_cast<ssize_t>(kExitBytes) && fsync(file) == 0;
}

[[noreturn]] void RunScript(const TrainerCommand& command, char** arguments, char** environment, pid_t shim) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != shim) _exit(127);
  if (!command.in_sandbox) setsid();
  umask(022);  // not the supervisor's: what the script writes is for others too
  for (const std::string& group : command.groups) {
    const int file = open(group.c_str(), O_WRONLY | O_CLOEXEC);
    (void)!write(file, "0", 1);  // one that has gone limits nothing; the job is worth more than its accounting
    close(file);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  Report report;
  if (command.directory.empty() || chdir(command.directory.c_str()) == 0) execvpe(arguments[0], arguments, environment);
  report.exec_errno = errno;
  (void)!write(kReportFd, &report, sizeof report);
  _exit(127);
}

// Puts the descriptors where ShimFd says; everything else of the process that we come from is closed: the pipes of jobs
// beside this one, the database, its sockets.
void ArrangeDescriptors(const TrainerCommand& command, const ShimFiles& files) {
  const int null = open("/dev/null", O_RDWR);
  const int wanted[kShimFdEnd] = {null,
                                  files.output_write,
                                  files.output_write,
                                  files.report_write,
                                  command.inherited_fd,
                                  files.report_read,
                                  files.output_read,
                                  files.directory,
                                  files.lock};
  int moved[kShimFdEnd];
  for (int i = 0; i < kShimFdEnd; ++i) moved[i] = wanted[i] < 0 ? -1 : fcntl(wanted[i], F_DUPFD, kAsideFd);
  for (int i = 0; i < kShimFdEnd; ++i) {
    if (moved[i] < 0) {
      close(i);
      continue;
    }
    dup2(moved[i], i);
    const bool is_scripts = i < kReportFd || i == kInheritedFd;
    if (!is_scripts) fcntl(i, F_SETFD, FD_CLOEXEC);
  }
  CloseFrom(kShimFdEnd);
}

// The shim shall not go by the name of the process it comes from: who ends that one by name means only that.
void TakeOwnName() {
  constexpr char kName[] = "leat-shim";
  prctl(PR_SET_NAME, kName);
  const int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  size_t length = 0;
  char ignored[256];
  for (ssize_t got; file >= 0 && (got = read(file, ignored, sizeof ignored)) > 0;) length += static_cast<size_t>(got);
  close(file);
  if (length < sizeof kName) return;
  // The arguments lie one behind the other from the program's name on.
  std::memset(program_invocation_name, 0, length);
  std::memcpy(program_invocation_name, kName, sizeof kName);
}

[[noreturn]] void RunShim(const TrainerCommand& command, char** arguments, char** environment, const ShimFiles& files) {
  setsid();  // out of the terminal's group: Ctrl-C is for us to hear
  if (!files.IsTrainer()) prctl(PR_SET_PDEATHSIG, SIGQUIT);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (int number = 1; number < 65; ++number) signal(number, SIG_DFL);
  if (!files.IsTrainer() && getppid() != files.parent) _exit(127);
  ArrangeDescriptors(command, files);
  const pid_t shim = getpid();
  int exit_file = -1;
  if (files.IsTrainer()) {
    TakeOwnName();
    FixedText identity;
    identity.Add(files.identity).Add(" ").Add(static_cast<uint64_t>(shim)).Add("\n");
    (void)!pwrite(kLockFd, identity.bytes, identity.size(), 0);
    exit_file = openat(kDirectoryFd, "exit.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    (void)WriteExitFile(exit_file, {}, 0);  // its room on the disk
    fcntl(kOutputReadFd, F_SETFL, O_NONBLOCK);
    fcntl(kReportReadFd, F_SETFL, O_NONBLOCK);
  }
  sigset_t all;
  sigfillset(&all);
  const int signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
  const pid_t script = fork();
  if (script == 0) RunScript(command, arguments, environment, shim);
  const int hidden = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(hidden, 1);  // the output shall end with the script's processes, not with us
  dup2(hidden, 2);
  if (command.inherited_fd >= 0) close(kInheritedFd);

  Report report;
  Told told;
  LogWriter log(kDirectoryFd);
  static char buffer[64u << 10];
  bool killing = script < 0, terminating = false, script_ended = false, has_output = files.IsTrainer();
  for (bool has_children = true; has_children || has_output;) {
    int ended = 0;
    pid_t child = 0;
    while (has_children && (child = waitpid(-1, &ended, WNOHANG)) > 0) {
      told.Remove(child);
      if (child != script || script_ended) continue;
      report.wait_status = ended;
      script_ended = true;
      // What the script left behind goes with it; one that was told to end may have left the work to a child, as
      // `bash run.sh` does, which dies of the signal at once.
      if (!terminating) killing = true;
    }
    if (child < 0 && errno == ECHILD) has_children = false;
    if (killing) ForEachChild(shim, [](pid_t left) { kill(left, SIGKILL); });
    if (terminating && script_ended && !killing) {
      ForEachChild(shim, [&](pid_t left) {
        if (told.Add(left)) kill(left, SIGTERM);
      });
    }
    pollfd waiting[2] = {{signals, POLLIN, 0}, {has_output ? static_cast<int>(kOutputReadFd) : -1, POLLIN, 0}};
    poll(waiting, 2, !has_children ? 0 : killing ? 5 : 1000);
    if (has_output) {
      const ssize_t got = read(kOutputReadFd, buffer, sizeof buffer);
      if (got > 0) log.Append(buffer, static_cast<size_t>(got), signals);
      // A process that is none of ours may still hold the other end: what we wait for is the job.
      if (got == 0 || (got < 0 && errno != EINTR && (errno != EAGAIN || !has_children))) has_output = false;
    }
    signalfd_siginfo signal;
    while (read(signals, &signal, sizeof signal) == sizeof signal) {
      if (signal.ssi_signo == SIGQUIT) killing = true;
      if (signal.ssi_signo != SIGTERM || terminating) continue;
      terminating = true;
      if (!script_ended) TerminateScript(script, command.in_sandbox);
    }
  }
  if (files.IsTrainer()) {
    Report told_before;
    if (read(kReportReadFd, &told_before, sizeof told_before) == sizeof told_before)
      report.exec_errno = told_before.exec_errno;
    if (script < 0) report.exec_errno = EAGAIN;
    if (WriteExitFile(exit_file, report, log.dropped())) {
      renameat(kDirectoryFd, "exit.new", kDirectoryFd, kExitFile + 1);
      fsync(kDirectoryFd);
    }
  } else {
    (void)!write(kReportFd, &report, sizeof report);
  }
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

// Names the machine and the space that a process number counts in.
std::string Whereabouts() {
  const auto boot = ReadFile("/proc/sys/kernel/random/boot_id", 64);
  char space[64] = "";
  const ssize_t length = readlink("/proc/self/ns/pid", space, sizeof space - 1);
  return std::string(Trim(boot.value_or("?"))) + " " + (length > 0 ? space : "?");
}

int CodeOf(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

FileDescriptor OpenPid(pid_t process) { return FileDescriptor(static_cast<int>(syscall(SYS_pidfd_open, process, 0))); }

struct Pipe {
  FileDescriptor read, write;
};
Result<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return FailErrno(errno, "making a pipe");
  return Pipe{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

// The command as exec takes it.
struct ExecCommand {
  std::vector<std::string> texts;
  std::vector<char*> arguments, environment;
};
Result<ExecCommand> PrepareExec(const TrainerCommand& command) {
  ExecCommand exec;
  exec.texts = command.arguments;
  exec.texts[0] = FindProgram(exec.texts[0], command.environment);
  if (exec.texts[0].empty()) return Fail(ErrorCode::kNotFound, command.arguments[0] + " is not in the PATH");
  exec.arguments = Pointers(exec.texts);
  exec.environment = Pointers(command.environment);
  return exec;
}

// The shim is born with all signals blocked: one that comes before it can hear any must not end it.
Result<pid_t> ForkShim(const TrainerCommand& command, ExecCommand& exec, const ShimFiles& files) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t shim = fork();
  if (shim == 0) RunShim(command, exec.arguments.data(), exec.environment.data(), files);
  const int fork_errno = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (shim < 0) return FailErrno(fork_errno, "fork");
  return shim;
}

bool IsLocked(int file) {
  if (flock(file, LOCK_EX | LOCK_NB) != 0) return errno == EWOULDBLOCK;
  flock(file, LOCK_UN);
  return false;
}

void RemoveTraces(const std::string& directory) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name == "exit" || name == "exit.new" || name.rfind("log.", 0) == 0)
      std::filesystem::remove(entry.path(), ignored);
  }
}

}  // namespace

Result<std::unique_ptr<TrainerProcess>> TrainerProcess::Start(const TrainerCommand& command,
                                                              const std::string& directory) {
  LEAT_ASSIGN_OR_RETURN(ExecCommand exec, PrepareExec(command));
  const std::string lock_path = directory + kTrainerFile;
  FileDescriptor lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) return FailErrno(errno, lock_path);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return FailErrno(errno, "locking " + lock_path);
    return Fail(ErrorCode::kBusy, "a trainer runs already in " + directory);
  }
  if (ftruncate(lock.get(), 0) != 0) return FailErrno(errno, lock_path);
  RemoveTraces(directory);
  FileDescriptor place(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!place.valid()) return FailErrno(errno, directory);
  LEAT_ASSIGN_OR_RETURN(const Pipe output, MakePipe());
  LEAT_ASSIGN_OR_RETURN(const Pipe report, MakePipe());
  const std::string identity = Whereabouts();
  ShimFiles files;
  files.output_write = output.write.get();
  files.output_read = output.read.get();
  files.report_write = report.write.get();
  files.report_read = report.read.get();
  files.directory = place.get();
  files.lock = lock.get();
  files.identity = identity.c_str();
  LEAT_ASSIGN_OR_RETURN(const pid_t shim, ForkShim(command, exec, files));
  // Its number is safe: nobody has waited for it yet.
  FileDescriptor process = OpenPid(shim);
  if (!process.valid()) {
    const auto error = FailErrno(errno, "pidfd_open");
    kill(shim, SIGQUIT);
    return error;
  }
  return std::unique_ptr<TrainerProcess>(new TrainerProcess(directory, std::move(process), shim));
}

Result<std::unique_ptr<TrainerProcess>> TrainerProcess::Adopt(const std::string& directory) {
  const std::string path = directory + kTrainerFile;
  const FileDescriptor file(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid() && errno == ENOENT) return Fail(ErrorCode::kNotFound, "no trainer was started in " + directory);
  if (!file.valid()) return FailErrno(errno, path);
  const auto deadline = std::chrono::steady_clock::now() + kIdentityWait;
  for (;;) {
    const bool was_locked = IsLocked(file.get());
    LEAT_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 1024));
    const size_t last_space = text.rfind(' ');
    if (last_space == std::string::npos || !text.ends_with('\n')) {  // its shim has not come to it, or never will
      if (!was_locked) return Fail(ErrorCode::kNotFound, "no trainer was started in " + directory);
      if (std::chrono::steady_clock::now() >= deadline)
        return Fail(ErrorCode::kBusy, path + " is locked by a process that does not say who it is");
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      continue;
    }
    if (!was_locked) return std::unique_ptr<TrainerProcess>(new TrainerProcess(directory, FileDescriptor(), 0));
    if (text.substr(0, last_space) != Whereabouts())
      return Fail(ErrorCode::kBusy, "the trainer in " + directory + " runs on another machine or in a container");
    const auto number = ParseUnsigned(Trim(text.substr(last_space + 1)));
    FileDescriptor process = OpenPid(static_cast<pid_t>(number.value_or(0)));
    // Still locked: the number was the shim's when the pidfd was made.
    if (IsLocked(file.get()) && process.valid())
      return std::unique_ptr<TrainerProcess>(
          new TrainerProcess(directory, std::move(process), static_cast<int>(*number)));
    if (IsLocked(file.get())) return FailErrno(errno, "pidfd_open of the shim in " + directory);
  }
}

bool TrainerProcess::HasEnded() const {
  pollfd ended{shim_.get(), POLLIN, 0};
  return !shim_.valid() || poll(&ended, 1, 0) == 1;
}

void TrainerProcess::Terminate() const {
  if (shim_.valid()) syscall(SYS_pidfd_send_signal, shim_.get(), SIGTERM, nullptr, 0);
}

void TrainerProcess::Kill() const {
  if (shim_.valid()) syscall(SYS_pidfd_send_signal, shim_.get(), SIGQUIT, nullptr, 0);
}

Result<TrainerExit> TrainerProcess::Exit() {
  siginfo_t ignored{};
  if (shim_.valid()) waitid(P_PIDFD, static_cast<id_t>(shim_.get()), &ignored, WEXITED | WNOHANG);  // ECHILD: adopted
  const auto text = ReadFile(directory_ + kExitFile, 4096);
  if (!text) {
    if (text.error().code != ErrorCode::kNotFound) return Fail(text.error());
    return Fail(ErrorCode::kNotFound, "the script's parent process ended without a word");
  }
  TrainerExit exit;
  int wait_status = 0;
  std::istringstream in(*text);
  if (!(in >> exit.exec_errno >> wait_status >> exit.log_dropped))
    return Fail(ErrorCode::kCorrupt, directory_ + kExitFile + " is not readable");
  exit.code = CodeOf(wait_status);
  return exit;
}

namespace {

// Of programs that were killed and not waited for.
class Abandoned {
 public:
  void Add(pid_t process) {
    const std::lock_guard lock(mutex_);
    processes_.push_back(process);
  }
  void Reap() {
    const std::lock_guard lock(mutex_);
    std::erase_if(processes_, [](pid_t process) { return waitpid(process, nullptr, WNOHANG) != 0; });
  }

 private:
  std::mutex mutex_;  // protects what follows
  std::vector<pid_t> processes_;
};
Abandoned& AbandonedPrograms() {
  static Abandoned abandoned;
  return abandoned;
}

}  // namespace

Result<ProgramOutput> RunProgram(const TrainerCommand& command, std::chrono::milliseconds deadline,
                                 const StopCheck& stopped) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  AbandonedPrograms().Reap();
  LEAT_ASSIGN_OR_RETURN(ExecCommand exec, PrepareExec(command));
  LEAT_ASSIGN_OR_RETURN(Pipe output_pipe, MakePipe());
  LEAT_ASSIGN_OR_RETURN(Pipe report_pipe, MakePipe());
  ShimFiles files;
  files.output_write = output_pipe.write.get();
  files.report_write = report_pipe.write.get();
  files.parent = getpid();
  LEAT_ASSIGN_OR_RETURN(const pid_t shim, ForkShim(command, exec, files));
  output_pipe.write.Reset();
  report_pipe.write.Reset();
  ProgramOutput output;
  char buffer[4096];
  bool output_ended = false;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    const bool is_stopped = stopped && stopped();
    if (left.count() <= 0 || is_stopped) {
      kill(shim, SIGQUIT);  // without waiting: a process of it may stand in the kernel
      AbandonedPrograms().Add(shim);
      if (is_stopped) return Fail(ErrorCode::kCancelled, "stopped");
      return Fail(ErrorCode::kTimedOut,
                  command.arguments[0] + " did not end in " + std::to_string(deadline.count()) + " ms and was killed");
    }
    pollfd waiting{output_ended ? report_pipe.read.get() : output_pipe.read.get(),
                   static_cast<short>(output_ended ? 0 : POLLIN), 0};
    const int ready = poll(&waiting, 1, static_cast<int>(std::min(left, stopped ? kStopPoll : left).count()));
    if (ready <= 0) continue;
    if (output_ended) break;  // the shim has hung up
    const ssize_t got = read(output_pipe.read.get(), buffer, sizeof buffer);
    if (got == 0 || (got < 0 && errno != EINTR)) output_ended = true;
    if (got > 0 && output.text.size() < kProgramOutputMax) output.text.append(buffer, static_cast<size_t>(got));
  }
  Report last;
  last.wait_status = SIGKILL;  // of a shim that was killed itself
  for (Report report; read(report_pipe.read.get(), &report, sizeof report) == sizeof report;) last = report;
  while (waitpid(shim, nullptr, 0) < 0 && errno == EINTR) {
  }
  output.exit_code = CodeOf(last.wait_status);
  return output;
}

}  // namespace leat::jobs
