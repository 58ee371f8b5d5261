// SPDX-License-Identifier: Apache-2.0
#include "jobs/control_group.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "jobs/control_group_text.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kPeriodMicroseconds = 100'000;  // over which the share of the processors holds; the kernel's own
constexpr double kCpusMin = 0.01;                  // a millisecond a period, the least that the kernel takes
constexpr std::chrono::milliseconds kPoll{10};
constexpr std::chrono::seconds kKillPatience{10};
constexpr std::chrono::seconds kRemovePatience{2};  // a process that ends keeps its group for a moment

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

Status WriteTo(const std::string& path, const std::string& text) {
  const FileDescriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid() || write(file.get(), text.data(), text.size()) < 0) return FailErrno(errno, path);
  return {};
}

bool HasWord(const std::string& text, const std::string& wanted) {
  for (const auto& line : Split(text, '\n')) {
    for (const auto& word : Split(line, ' ')) {
      if (word == wanted) return true;
    }
  }
  return false;
}

// Whether a group of version 2 holds its processes to less than its parent does.
bool IsLimited(const std::string& directory) {
  for (const char* file : {"memory.max", "memory.high", "cpu.max"}) {
    const auto text = ReadFile(directory + "/" + file, 4096);
    if (text && !text->starts_with("max")) return true;
  }
  return false;
}

// How many of the wanted controllers a child of the group gets; enables those that it can.
size_t Controllers(const std::string& directory, const std::vector<std::string>& wanted) {
  const std::string file = directory + "/cgroup.subtree_control";
  const std::string available = ReadFile(directory + "/cgroup.controllers", 4096).value_or("");
  for (const auto& controller : wanted) {
    // One at a time, so that one that is refused refuses no other.
    if (HasWord(available, controller) && !HasWord(ReadFile(file, 4096).value_or(""), controller)) {
      (void)WriteTo(file, "+" + controller);
    }
  }
  const std::string enabled = ReadFile(file, 4096).value_or("");
  return static_cast<size_t>(std::count_if(
      wanted.begin(), wanted.end(), [&](const std::string& controller) { return HasWord(enabled, controller); }));
}

std::string ParentOf(const std::string& directory) { return directory.substr(0, directory.rfind('/')); }

// Where a group could be made, first choice first.
std::vector<std::string> ParentsFor(const ControlHierarchy& hierarchy, const ControlGroupLimits& limits) {
  if (!hierarchy.version2) return {hierarchy.own_group};
  std::vector<std::string> needed;
  if (limits.memory_bytes) needed.emplace_back("memory");
  if (limits.cpus) needed.emplace_back("cpu");
  std::vector<std::string> parents = {hierarchy.own_group};
  if (hierarchy.own_group != hierarchy.mount_point && !IsLimited(hierarchy.own_group)) {
    parents.push_back(ParentOf(hierarchy.own_group));
  }
  // What is needed counts more than what would only be counted.
  std::vector<std::pair<size_t, std::string>> ranked;
  for (const auto& parent : parents) {
    const size_t useful = Controllers(parent, {"memory", "cpu", "io"});
    ranked.emplace_back(Controllers(parent, needed) * 10 + useful, parent);
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  for (size_t i = 0; i < parents.size(); ++i) parents[i] = std::move(ranked[i].second);
  return parents;
}

Result<std::vector<ControlHierarchy>> Hierarchies(const std::string& root) {
  const auto mountinfo = ReadFile(root + "/proc/self/mountinfo");
  const auto self = ReadFile(root + "/proc/self/cgroup");
  if (!mountinfo || !self) return Fail(ErrorCode::kNotSupported, "/proc cannot be read");
  auto found = ControlHierarchies(*mountinfo, *self);
  if (found.empty()) return Fail(ErrorCode::kNotSupported, "no control groups are mounted that show this process");
  for (auto& hierarchy : found) {
    hierarchy.mount_point.insert(0, root);
    hierarchy.own_group.insert(0, root);
  }
  // Version 2 first: what both count, it counts better.
  std::stable_partition(found.begin(), found.end(), [](const ControlHierarchy& one) { return one.version2; });
  return found;
}

bool IsControlGroup(const std::string& directory) {
  std::error_code error;
  if (fs::canonical(directory, error) != directory || error) return false;
  struct statfs about {};
  if (statfs(directory.c_str(), &about) != 0) return false;
  return about.f_type == CGROUP_SUPER_MAGIC || about.f_type == CGROUP2_SUPER_MAGIC;
}

// `directory` and the groups below it, those below first.
std::vector<std::string> WithGroupsBelow(const std::string& directory) {
  std::vector<std::string> all;
  std::error_code error;
  for (fs::recursive_directory_iterator i(directory, error), end; !error && i != end; i.increment(error)) {
    std::error_code ignored;
    if (fs::is_directory(i->symlink_status(ignored))) all.push_back(i->path().string());
  }
  std::reverse(all.begin(), all.end());
  all.push_back(directory);
  return all;
}

void AddProcesses(const std::string& directory, std::vector<pid_t>& processes) {
  for (const auto& line : Split(ReadFile(directory + "/cgroup.procs").value_or(""), '\n')) {
    const auto number = ParseUnsigned(line);
    if (number) processes.push_back(static_cast<pid_t>(*number));
  }
}

}  // namespace

Result<std::unique_ptr<ControlGroup>> ControlGroup::Create(const std::string& name, const ControlGroupLimits& limits,
                                                           const std::string& root) {
  LEAT_ASSIGN_OR_RETURN(const std::string directory, ControlGroupDirectoryName(name));
  if (limits.cpus && !(*limits.cpus >= kCpusMin && *limits.cpus <= 1e6)) {
    return Fail(ErrorCode::kInvalidArgument, "a limit of processors must be at least 0.01");
  }
  LEAT_ASSIGN_OR_RETURN(const auto hierarchies, Hierarchies(root));
  std::vector<std::string> made;
  std::string why;
  bool is_taken = false;
  for (const auto& hierarchy : hierarchies) {
    for (const auto& parent : ParentsFor(hierarchy, limits)) {
      const std::string path = parent + "/" + directory;
      if (mkdir(path.c_str(), 0755) == 0) {
        made.push_back(path);
        break;
      }
      is_taken = is_taken || errno == EEXIST;
      if (why.empty()) why = FailErrno(errno, path).value().message;
    }
  }
  auto group = std::unique_ptr<ControlGroup>(new ControlGroup(std::move(made)));
  Status status;
  if (is_taken) {
    status = Fail(ErrorCode::kExists, "a control group of the name '" + EscapeForDisplay(name) + "' is there already");
  } else if (group->directories_.empty()) {
    status = Fail(ErrorCode::kNotSupported, "no control group can be made here: " + why);
  } else {
    status = group->Limit(limits);
    if (!status && !why.empty()) status = Fail(status.error().code, status.error().message + " (" + why + ")");
  }
  if (status) return group;
  (void)group->Remove();
  return Fail(status.error());
}

Status ControlGroup::Limit(const ControlGroupLimits& limits) const {
  std::string why;
  if (limits.memory_bytes) {
    const std::string bytes = std::to_string(*limits.memory_bytes);
    if (!Write("memory.max", bytes, why) && !Write("memory.limit_in_bytes", bytes, why)) {
      return Fail(ErrorCode::kNotSupported, "memory cannot be limited here: " + why);
    }
    std::string ignored;  // kernels without swap accounting lack the first two
    Write("memory.swap.max", "0", ignored);
    Write("memory.memsw.limit_in_bytes", bytes, ignored);
    Write("memory.oom.group", "1", ignored);
  }
  if (limits.cpus) {
    why.clear();
    const std::string quota =
        std::to_string(static_cast<uint64_t>(std::llround(*limits.cpus * static_cast<double>(kPeriodMicroseconds))));
    const std::string period = std::to_string(kPeriodMicroseconds);
    std::string ignored;
    Write("cpu.cfs_period_us", period, ignored);
    if (!Write("cpu.max", quota + " " + period, why) && !Write("cpu.cfs_quota_us", quota, why)) {
      return Fail(ErrorCode::kNotSupported, "processors cannot be limited here: " + why);
    }
  }
  return {};
}

Result<std::unique_ptr<ControlGroup>> ControlGroup::Adopt(const std::string& name,
                                                          const std::vector<std::string>& directories) {
  LEAT_ASSIGN_OR_RETURN(const std::string directory, ControlGroupDirectoryName(name));
  std::vector<std::string> candidates = directories;
  if (candidates.empty()) {
    LEAT_ASSIGN_OR_RETURN(const auto hierarchies, Hierarchies(""));
    for (const auto& hierarchy : hierarchies) {
      candidates.push_back(hierarchy.own_group + "/" + directory);
      if (hierarchy.version2 && hierarchy.own_group != hierarchy.mount_point) {
        candidates.push_back(ParentOf(hierarchy.own_group) + "/" + directory);
      }
    }
  }
  std::vector<std::string> found;
  for (const auto& candidate : candidates) {
    if (candidate.substr(candidate.rfind('/') + 1) == directory && IsControlGroup(candidate))
      found.push_back(candidate);
  }
  if (found.empty()) {
    return Fail(ErrorCode::kNotFound, "there is no control group of the name '" + EscapeForDisplay(name) + "'");
  }
  return std::unique_ptr<ControlGroup>(new ControlGroup(std::move(found)));
}

std::vector<std::string> ControlGroup::procs_files() const {
  std::vector<std::string> files;
  for (const auto& directory : directories_) files.push_back(directory + "/cgroup.procs");
  return files;
}

Status ControlGroup::Enter(pid_t process) const {
  for (const auto& file : procs_files()) {
    if (const Status entered = WriteTo(file, std::to_string(process)); !entered) {
      return Fail(entered.error().code,
                  "process " + std::to_string(process) + " cannot enter its control group: " + entered.error().message);
    }
  }
  return {};
}

std::vector<pid_t> ControlGroup::Processes() const {
  std::vector<pid_t> processes;
  for (const auto& directory : directories_) {
    for (const auto& group : WithGroupsBelow(directory)) AddProcesses(group, processes);
  }
  std::sort(processes.begin(), processes.end());
  processes.erase(std::unique(processes.begin(), processes.end()), processes.end());
  return processes;
}

Status ControlGroup::Kill() const {
  const auto end = std::chrono::steady_clock::now() + kKillPatience;
  for (;;) {
    const auto processes = Processes();
    if (processes.empty()) return {};
    if (std::binary_search(processes.begin(), processes.end(), getpid())) {
      return Fail(ErrorCode::kInvalidArgument, "this process is in the control group that it shall kill");
    }
    if (std::chrono::steady_clock::now() >= end) {
      return Fail(ErrorCode::kTimedOut, std::to_string(processes.size()) + " processes of " + directories_[0] +
                                            " do not end though they were killed; the first is " +
                                            std::to_string(processes[0]));
    }
    // Atomic where there is it: nothing can fork its way out. Version 1 has only the loop.
    for (const auto& directory : directories_) {
      if (Exists(directory + "/cgroup.kill")) (void)WriteTo(directory + "/cgroup.kill", "1");
    }
    for (const pid_t process : processes) {
      const FileDescriptor handle(static_cast<int>(syscall(SYS_pidfd_open, process, 0)));
      if (!handle.valid()) continue;
      // Its number is in the group while we hold it, so it is no other process that got the number meanwhile.
      const auto now = Processes();
      if (std::binary_search(now.begin(), now.end(), process)) {
        (void)syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0);
      }
    }
    std::this_thread::sleep_for(kPoll);
  }
}

ControlGroupUsage ControlGroup::usage() const {
  ControlGroupUsage usage;
  const auto number = [&](const char* file) -> std::optional<uint64_t> {
    const auto text = Read(file);
    const auto value = text ? ParseUnsigned(Trim(*text)) : Result<uint64_t>(Fail(ErrorCode::kNotFound, file));
    return value ? std::optional<uint64_t>(*value) : std::nullopt;
  };
  if (const auto nanoseconds = number("cpuacct.usage")) {
    usage.cpu_seconds = static_cast<double>(*nanoseconds) / 1e9;
  } else if (const auto microseconds = NumberNamed(Read("cpu.stat").value_or(""), "usage_usec")) {
    usage.cpu_seconds = static_cast<double>(*microseconds) / 1e6;
  }
  usage.memory_bytes_max = number("memory.peak");
  if (!usage.memory_bytes_max) usage.memory_bytes_max = number("memory.max_usage_in_bytes");
  std::optional<TransferredBytes> bytes;
  if (const auto text = Read("io.stat")) bytes = IoStatBytes(*text);
  for (const char* file : {"blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"}) {
    const auto text = bytes ? std::nullopt : Read(file);
    if (text) bytes = IoServiceBytes(*text);
  }
  if (bytes) {
    usage.bytes_read = bytes->read;
    usage.bytes_written = bytes->written;
  }
  usage.cpu_stall_seconds = PressureSeconds(Read("cpu.pressure").value_or(""));
  usage.io_stall_seconds = PressureSeconds(Read("io.pressure").value_or(""));
  usage.memory_stall_seconds = PressureSeconds(Read("memory.pressure").value_or(""));
  return usage;
}

bool ControlGroup::WasKilledForMemory() const {
  for (const char* file : {"memory.events", "memory.oom_control"}) {
    if (NumberNamed(Read(file).value_or(""), "oom_kill").value_or(0) > 0) return true;
  }
  return false;
}

Status ControlGroup::Remove() const {
  const auto end = std::chrono::steady_clock::now() + kRemovePatience;
  for (const auto& directory : directories_) {
    for (const auto& group : WithGroupsBelow(directory)) {
      while (rmdir(group.c_str()) != 0 && errno != ENOENT) {
        const int error = errno;
        if (error != EBUSY) return FailErrno(error, "removing the control group " + group);
        std::vector<pid_t> processes;
        AddProcesses(group, processes);
        if (!processes.empty() || std::chrono::steady_clock::now() >= end) {
          return Fail(ErrorCode::kBusy, "the control group " + group + " still has processes");
        }
        std::this_thread::sleep_for(kPoll);
      }
    }
  }
  return {};
}

std::optional<std::string> ControlGroup::Read(const std::string& file) const {
  for (const auto& directory : directories_) {
    auto text = ReadFile(directory + "/" + file, 1u << 20);
    if (text) return std::move(*text);
  }
  return std::nullopt;
}

bool ControlGroup::Write(const std::string& file, const std::string& text, std::string& why) const {
  for (const auto& directory : directories_) {
    if (!Exists(directory + "/" + file)) continue;
    const Status written = WriteTo(directory + "/" + file, text);
    if (!written) why = written.error().message;
    return written.has_value();
  }
  if (why.empty()) why = "there is no " + file + " in a group that can be made below our own";
  return false;
}

}  // namespace leat::jobs
