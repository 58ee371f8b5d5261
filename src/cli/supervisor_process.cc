// SPDX-License-Identifier: Apache-2.0
#include "cli/supervisor_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "cli/detached_process.h"
#include "cli/job_services.h"
#include "control/client.h"
#include "control/protocol.h"
#include "control/server.h"
#include "jobs/contract.h"
#include "jobs/supervisor.h"
#include "jobs/volume.h"

extern char** environ;

namespace leat::cli {
namespace {

constexpr std::chrono::milliseconds kTurn{1000};       // stop requests of other processes are seen then at the latest
constexpr std::chrono::milliseconds kIdleGrace{3000};  // how long it stays without a job
constexpr std::chrono::milliseconds kFirstCallerWait{5000};
constexpr std::chrono::milliseconds kAnswerWait{45'000};
constexpr std::chrono::milliseconds kStartingWait{10'000};  // for a lock that is held by one that starts or ends

struct SupervisorPaths {
  std::string lock, socket, log;
};
SupervisorPaths PathsOf(const std::string& state_directory) {
  return {state_directory + "/supervisor.lock", state_directory + "/supervisor.sock",
          state_directory + "/supervisor.log"};
}

std::vector<std::string> OwnEnvironment() {
  std::vector<std::string> variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) variables.emplace_back(*entry);
  return variables;
}

std::vector<std::string> TextsOf(const Json& list) {
  std::vector<std::string> texts;
  for (const auto& entry : list) {
    if (entry.is_string()) texts.push_back(entry.get<std::string>());
  }
  return texts;
}

// The environments in which jobs were submitted. On the disk, for a supervisor that is started anew, is what the script
// gets anyhow; credentials are in memory only, and a new supervisor takes those of the latest command that has any.
class Environments {
 public:
  explicit Environments(std::string state_directory) : state_directory_(std::move(state_directory)) {}

  Status Keep(const std::string& job, const std::vector<std::string>& variables) {
    const std::string directory = jobs::JobDirectory(state_directory_, job);
    LEAT_RETURN_IF_ERROR(CreateDirectories(directory, 0700));
    const Json kept = jobs::WithoutCredentials(variables);
    LEAT_RETURN_IF_ERROR(WriteFileAtomically(directory + "/environment",
                                             kept.dump(-1, ' ', false, Json::error_handler_t::replace), 0600, false));
    const std::lock_guard lock(mutex_);
    of_job_[job] = variables;
    return {};
  }
  // A command in a shell without credentials takes nothing away from jobs that need some.
  void SetCallers(std::vector<std::string> variables) {
    const bool has_credentials = jobs::WithoutCredentials(variables).size() != variables.size();
    const std::lock_guard lock(mutex_);
    if (has_credentials || callers_.empty()) callers_ = std::move(variables);
  }
  bool HasCallers() {
    const std::lock_guard lock(mutex_);
    return !callers_.empty();
  }
  std::vector<std::string> Of(const std::string& job) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = of_job_.find(job); found != of_job_.end()) return found->second;
    }
    const auto text = ReadFile(jobs::JobDirectory(state_directory_, job) + "/environment", 16u << 20);
    std::vector<std::string> variables;
    if (text) variables = TextsOf(Json::parse(*text, nullptr, false));
    const std::lock_guard lock(mutex_);
    if (!text) return callers_;
    const auto public_ones = jobs::WithoutCredentials(callers_);
    for (const auto& variable : callers_) {
      if (std::ranges::find(public_ones, variable) == public_ones.end()) variables.push_back(variable);
    }
    return variables;
  }
  void Forget(const std::string& job) {
    unlink((jobs::JobDirectory(state_directory_, job) + "/environment").c_str());
    const std::lock_guard lock(mutex_);
    of_job_.erase(job);
  }

 private:
  const std::string state_directory_;
  std::mutex mutex_;  // protects what follows
  std::map<std::string, std::vector<std::string>> of_job_;
  std::vector<std::string> callers_;
};

// Whether the job of those events came with this very request: the supervisor died before its answer was read.
bool IsSameSubmission(const std::vector<jobs::Event>& events, const Json& request) {
  const std::string id = request.value("options", Json::object()).value("submission", "");
  return !id.empty() && !events.empty() &&
         events[0].body.value("options", Json::object()).value("submission", "") == id;
}

class SupervisorProcess final : public control::Handler, jobs::JobServicesFactory {
 public:
  SupervisorProcess(std::string state_directory, std::unique_ptr<jobs::JobStore> store, jobs::Hardware hardware)
      : state_directory_(std::move(state_directory)),
        store_(std::move(store)),
        environments_(state_directory_),
        supervisor_(state_directory_, *store_, *this, std::move(hardware)) {}

  Status Serve() {
    LEAT_ASSIGN_OR_RETURN(server_, control::Server::Start({.socket_path = PathsOf(state_directory_).socket}, *this));
    return {};
  }

  void Run() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
    // With whoever started us come the credentials for jobs that were submitted to an earlier supervisor.
    const auto begun = std::chrono::steady_clock::now();
    while (!environments_.HasCallers() && std::chrono::steady_clock::now() - begun < kFirstCallerWait)
      supervisor_.Wait(std::chrono::milliseconds(100));
    auto last_busy = std::chrono::steady_clock::now();
    for (;;) {
      const timespec none{};
      if (const int signal = sigtimedwait(&signals, nullptr, &none); signal > 0) {
        LogInfo("ending on signal " + std::to_string(signal) + "; running jobs go on, the next command takes them up");
        _exit(0);
      }
      const auto has_jobs = supervisor_.Turn();
      if (!has_jobs) LogError(has_jobs.error().message);
      const auto now = std::chrono::steady_clock::now();
      if (has_jobs.value_or(true) || (server_ && server_->RequestsInFlight() > 0)) last_busy = now;
      if (now - last_busy > kIdleGrace) {
        server_.reset();  // joins the requests: one may have brought a job
        const auto left = store_->Unfinished(jobs::JobKind::kTraining);
        if (left && left->empty()) return;
        if (const Status served = Serve(); !served) LogError(served.error().message);
        last_busy = now;
      }
      supervisor_.Wait(std::min(kTurn, kIdleGrace / 3));
    }
  }

  Result<Json> Handle(const Json& request, control::Connection&) override {
    LEAT_ASSIGN_OR_RETURN(const std::string verb, control::StringMember(request, "verb"));
    const std::vector<std::string> variables = TextsOf(request.value("environment", Json::array()));
    if (!variables.empty()) environments_.SetCallers(variables);
    if (verb == "submit") {
      const TrainingJobCheck check = CheckTrainingJob(request.value("request", Json::object()));
      LEAT_RETURN_IF_ERROR(StatusOf(check.problems, "the request"));
      const jobs::RunOptions options = jobs::RunOptionsFrom(request.value("options", Json::object()));
      // Submissions one after another: the environment must be there before the job is, and only the winner's.
      const std::lock_guard lock(submit_mutex_);
      const std::string& name = check.job.name;
      const auto taken = store_->Events(jobs::JobKind::kTraining, name);
      const bool is_new = !taken && taken.error().code == ErrorCode::kNotFound;
      if (is_new) LEAT_RETURN_IF_ERROR(environments_.Keep(name, variables));
      const Status submitted = jobs::SubmitTrainingJob(check.job, options, *store_);
      if (!submitted && is_new) {
        environments_.Forget(name);
        rmdir(jobs::JobDirectory(state_directory_, name).c_str());
      }
      if (!submitted && taken && IsSameSubmission(*taken, request)) return Json{{"pid", getpid()}};
      LEAT_RETURN_IF_ERROR(submitted);
    } else if (verb != "wake") {
      return Fail(ErrorCode::kInvalidArgument, "the supervisor knows no verb " + verb);
    }
    supervisor_.Wake();
    return Json{{"pid", getpid()}};
  }
  void OnConnectionClosed(uint64_t) override {}

 private:
  jobs::JobServices For(const std::string& job) override {
    std::vector<std::string> variables = environments_.Of(job);
    const Json repository = RepositoryEnvironment(variables);
    return {std::make_unique<DaemonFileSystems>(state_directory_, repository),
            std::make_unique<JobRepositories>(repository), std::move(variables)};
  }
  void OnEnded(const std::string& job) override { environments_.Forget(job); }

  const std::string state_directory_;
  const std::unique_ptr<jobs::JobStore> store_;
  Environments environments_;
  std::mutex submit_mutex_;  // one submission at a time
  jobs::Supervisor supervisor_;
  std::unique_ptr<control::Server> server_;  // last: its requests use the others
};

Result<FileDescriptor> TakeSupervisorLock(const std::string& state_directory) {
  LEAT_RETURN_IF_ERROR(CreateDirectories(state_directory, 0700));
  struct stat status {};
  if (stat(state_directory.c_str(), &status) != 0) return FailErrno(errno, state_directory);
  // Whoever may write here may put a socket of his own in the supervisor's place, and is sent credentials.
  if (status.st_uid != geteuid() || (status.st_mode & 022) != 0) {
    return Fail(ErrorCode::kDenied, "the state directory " + state_directory +
                                        " belongs to another user or can be written by others; run chmod go-w on it, "
                                        "or pass a --state-dir of your own");
  }
  return jobs::TakeJobLock(PathsOf(state_directory).lock);
}

Result<Json> Call(const std::string& state_directory, const Json& request) {
  const SupervisorPaths paths = PathsOf(state_directory);
  const auto deadline = std::chrono::steady_clock::now() + kStartingWait;
  for (;;) {
    auto client = control::Client::Connect(paths.socket, kAnswerWait);
    if (client) {
      auto answer = (*client)->Call(request, kAnswerWait);
      if (answer || answer.error().code != ErrorCode::kCancelled) return answer;  // kCancelled: it was just ending
    } else if (client.error().code != ErrorCode::kNotFound && client.error().code != ErrorCode::kCancelled) {
      return Fail(client.error());
    } else {
      const Status started = StartDetached({"supervisor", "--state-dir", state_directory}, paths.log, "the supervisor");
      if (!started && started.error().code != ErrorCode::kBusy) return Fail(started.error());
    }
    if (std::chrono::steady_clock::now() > deadline) {
      return Fail(ErrorCode::kTimedOut, "the supervisor of " + state_directory +
                                            " cannot be reached, though it holds " + paths.lock +
                                            ": does it run on another machine? See " + paths.log);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace

int RunSupervisorProcess(const std::string& state_directory, int ready_fd) {
  if (ready_fd >= 0) fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
  BlockStopSignals();
  umask(022);  // artifacts are for others too; the state directory itself is closed to them
  // Credentials are in this process's memory: no core file, no reading of it by other processes of the user.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (const auto status = LogToFile(PathsOf(state_directory).log); !status) LogWarning(status.error().message);
  const auto start = [&]() -> Result<std::pair<FileDescriptor, std::unique_ptr<SupervisorProcess>>> {
    LEAT_ASSIGN_OR_RETURN(FileDescriptor lock, TakeSupervisorLock(state_directory));
    LEAT_ASSIGN_OR_RETURN(auto store, jobs::JobStore::Open(state_directory));
    std::vector<std::string> warnings;
    jobs::Hardware hardware = jobs::CountHardware(OwnEnvironment(), warnings);
    for (const auto& warning : warnings) LogWarning(warning);
    auto process = std::make_unique<SupervisorProcess>(state_directory, std::move(store), std::move(hardware));
    LEAT_RETURN_IF_ERROR(process->Serve());
    return std::pair(std::move(lock), std::move(process));
  };
  auto started = start();
  if (!started && started.error().code != ErrorCode::kBusy) LogError("cannot start: " + started.error().message);
  ReportStart(ready_fd, started ? Status() : Status(Fail(started.error())));
  if (!started) return 1;
  started->second->Run();
  return 0;
}

Status SupervisorClient::Submit(const TrainingJob& job, const jobs::RunOptions& options) {
  LEAT_RETURN_IF_ERROR(CreateDirectories(state_directory_, 0700));
  jobs::RunOptions own = options;
  own.submission = std::to_string(getpid()) + "-" + std::to_string(jobs::WallTimeNs());
  LEAT_RETURN_IF_ERROR(Call(state_directory_, {{"verb", "submit"},
                                               {"request", job.request},
                                               {"options", jobs::ToJson(own)},
                                               {"environment", OwnEnvironment()}}));
  return {};
}

Status SupervisorClient::Wake() {
  LEAT_RETURN_IF_ERROR(Call(state_directory_, {{"verb", "wake"}, {"environment", OwnEnvironment()}}));
  return {};
}

Status TakeUpJobs(jobs::JobStore& store, const std::string& state_directory) {
  LEAT_RETURN_IF_ERROR(store.EndAbandonedTuning(jobs::WallTimeNs()));
  LEAT_ASSIGN_OR_RETURN(const auto unfinished, store.Unfinished(jobs::JobKind::kTraining));
  if (unfinished.empty()) return {};
  return SupervisorClient(state_directory).Wake();
}

}  // namespace leat::cli
