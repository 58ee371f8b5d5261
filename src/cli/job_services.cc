// SPDX-License-Identifier: Apache-2.0
#include "cli/job_services.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/open_repository.h"
#include "cli/verbs.h"

namespace leat::cli {
namespace {

bool IsDirectory(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool IsRepository(const std::string& id) { return id.rfind("s3://", 0) == 0 || id.rfind("file://", 0) == 0; }

constexpr int kLeaseAttemptsMax = 3;

jobs::StopLevel stop_level{0};

void CountStopSignal(int) {
  if (stop_level.load() < 2) ++stop_level;
}

// The one file system that a status request names.
Result<Json> StatusOfFileSystem(const std::string& state_directory, const std::string& file_system) {
  LEAT_ASSIGN_OR_RETURN(
      const Json status,
      CallDaemon(state_directory, {{"verb", "status"}, {"file_system", file_system}}, StartPolicy::kMustRun));
  const auto list = status.find("file_systems");
  if (list == status.end() || !list->is_array() || list->empty()) {
    return Fail(ErrorCode::kNotFound, "no file system is mounted as " + file_system + " (leat status lists them)");
  }
  return (*list)[0];
}

}  // namespace

Result<DaemonFileSystems::Known> DaemonFileSystems::MountAndLease(const std::string& repository) const {
  ManagedMountRequest request;
  request.repository = repository;
  auto environment = environment_();
  if (!environment && repository.rfind("s3://", 0) == 0) {
    const auto id = MountedAs(repository);
    if (!id) return Fail(environment.error());
    LEAT_ASSIGN_OR_RETURN(const Json status, StatusOfFileSystem(state_directory_, *id));
    LEAT_ASSIGN_OR_RETURN(auto lease, Lease::Take(state_directory_, *id));
    return Known{*id, status.value("name", ""), status.value("mountpoint", ""), std::move(lease)};
  }
  request.environment = environment ? std::move(*environment) : Json::object();
  for (int attempt = 1;; ++attempt) {
    LEAT_ASSIGN_OR_RETURN(const ManagedMount mount, EnsureManagedMount(state_directory_, request));
    auto lease = Lease::Take(state_directory_, mount.file_system);
    if (lease) return Known{mount.file_system, mount.name, mount.mountpoint, std::move(*lease)};
    // An idle mount may have been taken down between the two: then it is mounted anew.
    const ErrorCode code = lease.error().code;
    if (attempt == kLeaseAttemptsMax || (code != ErrorCode::kBusy && code != ErrorCode::kNotFound)) {
      return Fail(lease.error());
    }
  }
}

Result<DaemonFileSystems::Known> DaemonFileSystems::Use(const std::string& file_system_id) {
  {
    std::lock_guard lock(mutex_);
    const auto found = known_.find(file_system_id);
    if (found != known_.end() && !found->second.lease->IsLost()) return found->second;
    if (found != known_.end()) known_.erase(found);
  }
  Known known;
  if (IsRepository(file_system_id)) {
    LEAT_ASSIGN_OR_RETURN(known, MountAndLease(file_system_id));
  } else {
    auto status = StatusOfFileSystem(state_directory_, file_system_id);
    if (!status) {
      return Fail(status.error().code,
                  "file system " + file_system_id + ": " + status.error().message +
                      "; mount it first, or give the repository (s3://bucket/prefix) as FileSystemId");
    }
    known = {status->value("id", ""), status->value("name", ""), status->value("mountpoint", ""), nullptr};
    LEAT_ASSIGN_OR_RETURN(known.lease, Lease::Take(state_directory_, known.id));
  }
  std::vector<int> owners;
  {
    std::lock_guard lock(mutex_);
    known = known_.emplace(file_system_id, std::move(known)).first->second;
    owners = owners_;
  }
  // A daemon that is older than this command does not count, and serves all the same.
  if (!owners.empty()) (void)known.lease->SetOwners(owners);
  return known;
}

Status DaemonFileSystems::SetOwners(const std::vector<int>& pids) {
  std::vector<std::shared_ptr<Lease>> leases;
  {
    std::lock_guard lock(mutex_);
    owners_ = pids;
    std::sort(owners_.begin(), owners_.end());
    owners_.erase(std::unique(owners_.begin(), owners_.end()), owners_.end());
    for (const auto& [id, known] : known_) leases.push_back(known.lease);
  }
  Status first;
  for (const auto& lease : leases) {
    if (Status status = lease->SetOwners(pids); !status && first) first = std::move(status);
  }
  return first;
}

Result<jobs::ReadCounters> DaemonFileSystems::ReadsOf(const std::string& file_system_id) {
  std::string id;
  std::vector<int> owners;
  {
    std::lock_guard lock(mutex_);
    const auto found = known_.find(file_system_id);
    if (found == known_.end()) return Fail(ErrorCode::kNotFound, file_system_id + " is not in use here");
    id = found->second.id;
    owners = owners_;
  }
  if (owners.empty()) owners = {getpid()};
  LEAT_ASSIGN_OR_RETURN(const Json status, StatusOfFileSystem(state_directory_, id));
  if (!status.contains("jobs")) return Fail(ErrorCode::kNotSupported, "the daemon is older and does not count reads");
  for (const Json& job : status["jobs"]) {
    if (job.value("owner_pids", std::vector<int>{}) != owners) continue;
    jobs::ReadCounters counters;
    counters.reads = job.value("reads", uint64_t{0});
    counters.bytes = job.value("bytes", uint64_t{0});
    counters.bytes_cached = job.value("bytes_cached", uint64_t{0});
    counters.bytes_cold = job.value("bytes_cold", uint64_t{0});
    counters.wait_seconds = job.value("wait_seconds", 0.0);
    counters.stalled_seconds = job.value("stalled_seconds", 0.0);
    counters.first_read_ns = job.value("first_read_ns", int64_t{0});
    return counters;
  }
  return Fail(ErrorCode::kNotFound, "the daemon counts no reads of this job on " + id);
}

std::string DaemonFileSystems::LostFileSystem() {
  std::lock_guard lock(mutex_);
  const auto lost = std::ranges::find_if(known_, [](const auto& known) { return known.second.lease->IsLost(); });
  return lost == known_.end() ? "" : lost->first;
}

Result<std::string> DaemonFileSystems::DirectoryOf(const std::string& file_system_id,
                                                   const std::string& directory_path) {
  LEAT_ASSIGN_OR_RETURN(const Known known, Use(file_system_id));
  std::string path = directory_path;
  while (!path.empty() && path.back() == '/') path.pop_back();
  if (path.empty() || IsDirectory(known.mountpoint + path)) return known.mountpoint + path;
  // FSx's form: /<MountName>/<path in the file system>.
  const size_t slash = std::min(path.find('/', 1), path.size());
  const std::string first = path.substr(1, slash - 1);
  if (first == known.name || first == known.id || first == "fsx") return known.mountpoint + path.substr(slash);
  return known.mountpoint + path;
}

Result<std::string> DaemonFileSystems::MountedAs(const std::string& repository) const {
  LEAT_ASSIGN_OR_RETURN(const RepositoryUrl url, RepositoryUrl::Parse(repository));
  LEAT_ASSIGN_OR_RETURN(const Json status, CallDaemon(state_directory_, {{"verb", "status"}}, StartPolicy::kMustRun));
  const Json mounted = status.value("file_systems", Json::array());
  for (const auto& entry : mounted) {
    if (entry.value("repository", "") == url.ToString()) return entry.value("id", "");
  }
  return Fail(ErrorCode::kNotFound, repository + " is not mounted");
}

Result<jobs::FileSystemCounters> DaemonFileSystems::Counters(const std::string& file_system_id) {
  std::string id = file_system_id;
  if (IsRepository(file_system_id)) {
    // Before its first use here: whether it is mounted, and as what, is the daemon's to know.
    LEAT_ASSIGN_OR_RETURN(id, MountedAs(file_system_id));
  }
  LEAT_ASSIGN_OR_RETURN(const Json status, StatusOfFileSystem(state_directory_, id));
  jobs::FileSystemCounters counters;
  const Json requests = status.value("requests", Json::object());
  for (size_t i = 0; i < counters.requests.size(); ++i) {
    counters.requests[i] = requests.value("s3." + std::string(env::kRequestKindNames[i]), uint64_t{0});
  }
  counters.bytes_received = status.value("s3", Json::object()).value("bytes_received", uint64_t{0});
  return counters;
}

Result<jobs::Repository> JobRepositories::Open(const std::string& url, unsigned) {
  LEAT_ASSIGN_OR_RETURN(const RepositoryUrl repository, RepositoryUrl::Parse(url));
  Json request = Json::object();
  if (repository.kind == RepositoryUrl::Kind::kS3) {
    LEAT_ASSIGN_OR_RETURN(request["environment"], environment_());
  }
  LEAT_ASSIGN_OR_RETURN(OpenedRepository opened, OpenRepository(request, repository, clock_));
  return jobs::Repository{std::move(opened.store), opened.counters};
}

jobs::RunOptions JobArguments::Options() const {
  jobs::RunOptions options;
  options.sandbox = !no_sandbox;
  options.file_mode_connections = file_mode_connections;
  options.python = python;
  options.pass_credentials = pass_credentials;
  std::error_code error;
  options.submitted_from = std::filesystem::current_path(error).string();
  options.requirements = requirements == "install"  ? jobs::Requirements::kInstall
                         : requirements == "refuse" ? jobs::Requirements::kRefuse
                                                    : jobs::Requirements::kIgnore;
  return options;
}

void AddJobOptions(CLI::App& verb, JobArguments& arguments) {
  if (const char* python = std::getenv("LEAT_PYTHON")) arguments.python = python;
  verb.add_option("--state-dir", arguments.state_directory, "where jobs and file systems are kept");
  verb.add_flag("--detach", arguments.detach, "submit it and come back at once; the supervisor runs it");
  verb.add_flag("--accelerate", arguments.accelerate,
                "mount File mode channels instead of copying them; the script cannot write there");
  verb.add_flag("--no-sandbox", arguments.no_sandbox,
                "without namespaces: no /opt/ml, the SM_* variables point into each job's directory");
  verb.add_flag("--pass-credentials", arguments.pass_credentials,
                "give the script temporary credentials of yours, for boto3 and other AWS clients");
  verb.add_option("--file-mode-connections", arguments.file_mode_connections, "downloads at once in File mode (64)")
      ->check(CLI::Range(1, 1024));
  verb.add_option("--python", arguments.python, "the interpreter for .py scripts (python3, or $LEAT_PYTHON)");
  verb.add_option("--requirements", arguments.requirements,
                  "a requirements.txt beside the script: ignore (with a warning), install (for the job alone, by pip) "
                  "or refuse")
      ->check(CLI::IsMember({"ignore", "install", "refuse"}));
}

std::string JobArguments::StateDirectory() const {
  return state_directory.empty() ? DefaultStateDirectory() : AbsoluteOption(state_directory);
}

Result<nlohmann::json> ReadRequest(const std::string& path) {
  const auto text = ReadFile(path, kRequestBytesMax);
  std::error_code size_error;
  if (!text && std::filesystem::file_size(path, size_error) > kRequestBytesMax && !size_error) {
    return Fail(ErrorCode::kInvalidArgument,
                path + " is larger than " + FormatBytes(kRequestBytesMax) +
                    ", the most that a request may have; is it one? What a script needs to know goes into "
                    "hyperparameters of up to 2,500 characters, files that it needs beside it in "
                    "sagemaker_submit_directory, data into a channel");
  }
  if (!text) return Fail(text.error());
  try {
    return nlohmann::json::parse(*text);
  } catch (const nlohmann::json::exception& error) {
    return Fail(ErrorCode::kInvalidArgument, path + " is no JSON: " + error.what());
  }
}

void ShowProblems(const std::string& verb, const std::string& path, const std::vector<RequestProblem>& problems) {
  std::fprintf(stderr, "leat %s: %s has %zu problem%s:\n", verb.c_str(), EscapeForDisplay(path).c_str(),
               problems.size(), problems.size() == 1 ? "" : "s");
  for (const auto& problem : problems) std::fprintf(stderr, "  %s\n", EscapeForDisplay(problem.ToString()).c_str());
}

void ComplainLines(const std::string& verb, const std::string& text) {
  std::string out;
  for (const auto& line : Split(text, '\n')) {
    out += (out.empty() ? "leat " + verb + ": " : "  ") + EscapeForDisplay(line) + "\n";
  }
  std::fputs(out.c_str(), stderr);
}

void LeaveUnread(const std::string& verb, const std::string& job, const std::string& status, int exit_code) {
  const std::string text = "leat " + verb + ": " + job + ": " + status +
                           "; nobody read the output to its end (leat jobs describe " + job + " tells the rest)\n";
  // Not through stderr, whose lock the display may hold; a pipe that is ready takes a short text at once.
  pollfd error{STDERR_FILENO, POLLOUT, 0};
  if (poll(&error, 1, 0) == 1 && (error.revents & POLLOUT)) (void)!write(STDERR_FILENO, text.data(), text.size());
  _exit(exit_code);
}

int RunCaught(const std::string& verb, const std::function<int()>& run) {
  try {
    return run();
  } catch (const std::exception& error) {
    return Complain(verb, Error{ErrorCode::kInternal,
                                std::string("ended by an exception, which is a fault of Leat's: ") + error.what()});
  }
}

const jobs::StopLevel& CatchStopSignals() {
  struct sigaction action {};
  action.sa_handler = CountStopSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before {};
    // What is ignored stays so: under nohup the end of the terminal is no request to stop.
    if (sigaction(number, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) sigaction(number, &action, nullptr);
  }
  signal(SIGPIPE, SIG_IGN);  // a reader of our output that leaves must not end the job
  return stop_level;
}

}  // namespace leat::cli
