// SPDX-License-Identifier: Apache-2.0
#include "jobs/container.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "base/file.h"
#include "base/text.h"
#include "jobs/confinement.h"
#include "jobs/trainer_process.h"

namespace leat::jobs {
namespace {

constexpr const char* kProfile = "/usr/share/containers/seccomp.json";  // of the package containers-common
constexpr size_t kProfileBytesMax = 4u << 20;
constexpr unsigned kTcgets = 0x5401;  // asm-generic/ioctls.h
constexpr uint64_t kFilesMax = 1u << 20;
// podman lowers its own limit to this, and where it may not raise it again neither may its containers.
constexpr uint64_t kProcessesMax = 32768;
constexpr std::chrono::milliseconds kAskDeadline{60000};
constexpr std::chrono::milliseconds kCheckDeadline{10'000};  // whoever submits waits for it
constexpr std::chrono::hours kPullDeadline{24};
// podman's own, of `podman run`: it failed, the program cannot be executed, the program is not there.
constexpr int kPodmanFailed = 125, kNotExecutable = 126, kNoProgram = 127;
constexpr const char* kAdvice =
    "; install podman and crun (apt-get install podman crun), or leave TrainingImage out: the script then runs with "
    "this machine's python3";

bool CanBePassed(const std::string& name) {
  return !name.empty() &&
         std::ranges::all_of(name, [](unsigned char c) { return std::isgraph(c) && c != '=' && c != '*'; });
}

void AddGpus(const Machine& machine, std::vector<std::string>& arguments) {
  if (machine.gpus == 0) return;
  std::string names = machine.visible_gpus.value_or("all");
  for (size_t at = 0; at <= names.size();) {
    const size_t end = std::min(names.find(',', at), names.size());
    const std::string_view name = Trim(std::string_view(names).substr(at, end - at));
    if (!name.empty()) arguments.insert(arguments.end(), {"--device", "nvidia.com/gpu=" + std::string(name)});
    at = end + 1;
  }
}

Status AddBind(const std::string& from, const std::string& to, bool is_read_only, std::vector<std::string>& arguments) {
  if (from.find_first_of(",\"\n") != std::string::npos) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "the directory " + from + " cannot be given to a container, for its name holds a comma or a quote; rename it");
  }
  arguments.insert(arguments.end(),
                   {"--mount", "type=bind,source=" + from + ",destination=" + to + (is_read_only ? ",ro=true" : "")});
  return {};
}

Result<ProgramOutput> RunPodman(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                                std::chrono::milliseconds deadline = kAskDeadline, const StopCheck& stopped = {}) {
  TrainerCommand command;
  command.arguments = {"podman"};
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  command.environment = PodmanEnvironment(environment);
  command.directory = "/";
  return RunProgram(command, deadline, stopped);
}

std::string LastLine(const std::string& text) {
  const std::string_view trimmed = Trim(text);
  return std::string(trimmed.substr(trimmed.rfind('\n') + 1));
}

}  // namespace

bool IsReadByPodman(const std::string& name) {
  static const std::set<std::string> names = {
      "PATH",          "HOME",     "USER",       "LOGNAME",           "SHELL",    "TMPDIR",         "TZ",
      "LANG",          "TERM",     "LISTEN_PID", "LISTEN_FDS",        "HOSTNAME", "LISTEN_FDNAMES", "PWD",
      "NOTIFY_SOCKET", "BASH_ENV", "ENV",        "REGISTRY_AUTH_FILE"};
  if (names.count(name)) return true;
  for (const char* start :
       {"LD_", "LC_", "GO", "XDG_", "DBUS_", "CONTAINER", "_CONTAINER", "STORAGE_", "PODMAN", "_PODMAN", "OCI",
        "INVOCATION", "LIBPOD", "BUILDAH", "DOCKER_", "SSL_CERT_", "MALLOC_", "GLIBC_", "CONMON"}) {
    if (name.rfind(start, 0) == 0) return true;
  }
  return ToLower(name).ends_with("_proxy");
}

std::string ContainerName(const std::string& state_directory, const std::string& job, const std::string& host) {
  return ConfinementName(state_directory, job) + "-" + host;
}

ContainerLimits ContainerLimitsHere() {
  const auto at_most = [](rlim_t limit, uint64_t most) {
    return std::min<uint64_t>(limit, most);
  };  // RLIM_INFINITY too
  ContainerLimits limits;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limits.files_soft = at_most(limit.rlim_cur, kFilesMax);
    limits.files_hard = at_most(limit.rlim_max, kFilesMax);
  }
  if (getrlimit(RLIMIT_NPROC, &limit) == 0) limits.processes = at_most(limit.rlim_cur, kProcessesMax);
  const auto memory = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  limits.shared_memory_bytes = memory / 2;
  return limits;
}

std::map<std::string, std::string> ContainerEnvironment(const std::vector<std::string>& caller,
                                                        const std::map<std::string, std::string>& contract) {
  static const std::set<std::string> regions = {"AWS_REGION", "AWS_DEFAULT_REGION", "SAGEMAKER_REGION"};
  std::vector<std::string> region;
  for (const auto& entry : caller) {
    if (regions.count(entry.substr(0, entry.find('=')))) region.push_back(entry);
  }
  std::map<std::string, std::string> environment;
  for (const auto& entry : TrainerEnvironment(region, {}, {})) {
    const size_t equals = entry.find('=');
    environment[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  environment.erase("PYTHONPATH");  // where modules are is the image's to say
  for (const auto& [name, value] : contract) {
    if (CanBePassed(name)) environment[name] = value;
  }
  return environment;
}

Result<std::vector<std::string>> ContainerArguments(const TrainingJob& job, const Machine& machine,
                                                    const ContainerView& view) {
  const ContainerLimits& limits = view.limits;
  const std::string processes = std::to_string(limits.processes);
  std::vector<std::string> arguments = {
      "podman", "--log-level", "error", "--runtime", "crun", "run", "--name", view.name, "--pull", "never",
      // The log is the shim's, and so are signals and the end.
      "--log-driver", "passthrough", "--no-healthcheck",
      // It stays in the job's control group, which podman was put in.
      "--cgroups", "disabled", "--network", job.network_isolation ? "none" : "host", "--http-proxy=false",
      // Labels would keep it from the job's directories.
      "--security-opt", "label=disable", "--ulimit",
      "nofile=" + std::to_string(limits.files_soft) + ":" + std::to_string(limits.files_hard), "--ulimit",
      "nproc=" + processes + ":" + processes, "--shm-size", std::to_string(limits.shared_memory_bytes) + "b"};
  if (!view.seccomp_profile.empty()) {
    arguments.insert(arguments.end(), {"--security-opt", "seccomp=" + view.seccomp_profile});
  }
  for (const auto& host : machine.hosts) arguments.insert(arguments.end(), {"--add-host", host + ":127.0.0.1"});
  LEAT_RETURN_IF_ERROR(AddBind(view.volume, "/opt/ml", false, arguments));
  for (const auto& [from, to] : view.read_only) LEAT_RETURN_IF_ERROR(AddBind(from, to, true, arguments));
  for (const auto& [from, to] : view.writable) LEAT_RETURN_IF_ERROR(AddBind(from, to, false, arguments));
  AddGpus(machine, arguments);
  for (const auto& [name, value] : view.environment) {
    arguments.insert(arguments.end(), {"--env", IsReadByPodman(name) ? name + "=" + value : name});
  }
  std::vector<std::string> command;
  if (!job.entrypoint.empty()) {
    // As JSON, because podman would look into a text that begins with a bracket.
    arguments.insert(arguments.end(), {"--entrypoint", Json::array({job.entrypoint[0]}).dump()});
    command.assign(job.entrypoint.begin() + 1, job.entrypoint.end());
  }
  command.insert(command.end(), job.arguments.begin(), job.arguments.end());
  if (job.entrypoint.empty() && job.arguments.empty()) command = {"train"};
  arguments.insert(arguments.end(), {"--", job.training_image});
  arguments.insert(arguments.end(), command.begin(), command.end());
  return arguments;
}

std::vector<std::string> PodmanEnvironment(const std::vector<std::string>& caller,
                                           const std::map<std::string, std::string>& container) {
  std::vector<std::string> environment;
  for (const auto& entry : WithoutCredentials(caller)) {
    const std::string name = entry.substr(0, entry.find('='));
    if (!container.count(name) || IsReadByPodman(name)) environment.push_back(entry);
  }
  for (const auto& [name, value] : container) {
    if (!IsReadByPodman(name)) environment.push_back(name + "=" + value);
  }
  // Its other messages are the job's to show; this one is of every call where control groups are of version 1.
  environment.push_back("PODMAN_IGNORE_CGROUPSV1_WARNING=1");
  return environment;
}

Result<Json> WithoutTerminals(Json profile) {
  const auto none = [] { return Fail(ErrorCode::kInvalidArgument, "this is no seccomp profile that lets ioctl pass"); };
  if (!profile.is_object() || !profile.contains("syscalls") || !profile["syscalls"].is_array()) return none();
  Json rules = Json::array();
  bool is_changed = false;
  for (Json rule : profile["syscalls"]) {
    if (!rule.is_object() || !rule.contains("names") || !rule["names"].is_array()) return none();
    Json& names = rule["names"];
    const auto ioctl = std::find(names.begin(), names.end(), "ioctl");
    const Json* conditions = rule.contains("args") ? &rule["args"] : nullptr;
    const bool is_plain = rule.value("action", Json()) == "SCMP_ACT_ALLOW" && (!conditions || conditions->empty());
    if (ioctl != names.end() && is_plain) {
      Json passing = rule;
      passing["names"] = {"ioctl"};
      passing["args"] = Json::array({{{"index", 1}, {"value", kTcgets}, {"op", "SCMP_CMP_NE"}}});
      Json refused = passing;
      refused["args"][0]["op"] = "SCMP_CMP_EQ";
      refused["action"] = "SCMP_ACT_ERRNO";
      refused["errnoRet"] = ENOTTY;
      refused["errno"] = "ENOTTY";
      names.erase(ioctl);
      rules.push_back(std::move(passing));
      rules.push_back(std::move(refused));
      is_changed = true;
    }
    if (!rule["names"].empty()) rules.push_back(std::move(rule));
  }
  if (!is_changed) return none();
  profile["syscalls"] = std::move(rules);
  return profile;
}

Result<bool> WriteSeccompProfile(const std::string& path) {
  const auto text = ReadFile(kProfile, kProfileBytesMax);
  if (!text) return false;
  const auto changed = WithoutTerminals(Json::parse(*text, nullptr, false));
  if (!changed) return false;
  LEAT_RETURN_IF_ERROR(WriteFileAtomically(path, changed->dump(), 0600, false));
  return true;
}

Status CheckContainers(const std::vector<std::string>& environment) {
  const auto failure = [](const std::string& program, const Error& error) {
    const bool is_missing = error.code == ErrorCode::kNotFound;
    return Fail(error.code,
                "TrainingImage needs podman with crun" +
                    (is_missing ? ", and " + program + " is not installed" + kAdvice : ": " + error.message));
  };
  TrainerCommand crun;
  crun.arguments = {"crun", "--version"};
  crun.environment = PodmanEnvironment(environment);
  if (const auto ran = RunProgram(crun, kCheckDeadline); !ran) return failure("crun", ran.error());
  const auto info =
      RunPodman({"--runtime", "crun", "info", "--format", "{{.Store.GraphDriverName}}"}, environment, kCheckDeadline);
  if (!info) return failure("podman", info.error());
  if (info->exit_code == 0) return {};
  return failure("podman", {ErrorCode::kUnavailable, LastLine(info->text) + " (`podman info` shows it)"});
}

Status PullImage(const std::string& image, const std::vector<std::string>& environment, const StopCheck& stopped) {
  LEAT_ASSIGN_OR_RETURN(const auto there, RunPodman({"image", "exists", "--", image}, environment));
  if (there.exit_code == 0) return {};
  LEAT_ASSIGN_OR_RETURN(const auto pulled,
                        RunPodman({"pull", "--quiet", "--", image}, environment, kPullDeadline, stopped));
  if (pulled.exit_code == 0) return {};
  return Fail(ErrorCode::kNotFound, "the training image " + image + " could not be pulled: " + LastLine(pulled.text) +
                                        "; `podman pull " + image +
                                        "` as the same user must work (a registry that asks "
                                        "for it: `podman login` first)");
}

Status RemoveContainer(const std::string& name, const std::vector<std::string>& environment) {
  const std::vector<std::string> remove = {"--runtime", "crun",     "rm",        "--force", "--time",
                                           "0",         "--ignore", "--volumes", name};
  LEAT_ASSIGN_OR_RETURN(auto removed, RunPodman(remove, environment));
  // Where its conmon was killed too, podman 5 only finds out that it does not run, and fails.
  if (removed.exit_code != 0) {
    LEAT_ASSIGN_OR_RETURN(removed, RunPodman(remove, environment));
  }
  if (removed.exit_code == 0) return {};
  return Fail(ErrorCode::kIo, "the container " + name + " could not be removed: " + LastLine(removed.text) +
                                  "; `podman rm --force " + name + "` removes it");
}

std::optional<std::string> WhyNotStarted(const TrainingJob& job, const std::string& name, int exit_code,
                                         const LogTail& log, const std::vector<std::string>& environment) {
  if (exit_code != kPodmanFailed && exit_code != kNotExecutable && exit_code != kNoProgram) return std::nullopt;
  const auto started = RunPodman({"container", "inspect", "--format", "{{.State.StartedAt.Unix}}", name}, environment);
  // The zero time of Go lies before 1970; warnings may stand before it.
  if (!started || (started->exit_code == 0 && !LastLine(started->text).starts_with('-'))) return std::nullopt;
  std::string advice;
  const std::string said = LastLine(log.Text(kFailureReasonMax / 2));
  if (exit_code == kNoProgram && job.entrypoint.empty() && job.arguments.empty()) {
    advice =
        "; the image has no program `train`: set AlgorithmSpecification.ContainerEntrypoint, or use an image with "
        "the SageMaker training toolkit";
  } else if (said.find("hybrid mode") != std::string::npos) {
    advice =
        "; crun starts no container where control groups of version 1 and 2 are mounted side by side: boot with "
        "systemd.unified_cgroup_hierarchy=1, or leave TrainingImage out";
  } else if (said.find("nvidia.com/gpu") != std::string::npos) {
    advice = "; containers find GPUs by CDI: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml";
  }
  return CutToCharacters("ClientError: CannotStartContainerError: a container of " + job.training_image +
                             " could not be started: " + said + advice,
                         kFailureReasonMax);
}

}  // namespace leat::jobs
