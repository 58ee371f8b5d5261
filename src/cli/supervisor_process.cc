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
#include <set>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/data_watch.h"
#include "cli/detached_process.h"
#include "cli/job_credentials.h"
#include "cli/job_services.h"
#include "cli/memory_budget.h"
#include "cli/open_repository.h"
#include "control/client.h"
#include "control/line_channel.h"
#include "control/protocol.h"
#include "control/server.h"
#include "jobs/container.h"
#include "jobs/contract.h"
#include "jobs/launch.h"
#include "jobs/supervisor.h"
#include "jobs/volume.h"
#include "tuner/tunings.h"

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

// With the region that Leat has resolved, also where a profile names it, which a script is not given.
std::vector<std::string> WithRegion(std::vector<std::string> variables) {
  const bool has_region = std::ranges::any_of(variables, [](const std::string& entry) {
    return entry.starts_with("AWS_REGION=") || entry.starts_with("AWS_DEFAULT_REGION=");
  });
  if (has_region) return variables;
  if (const std::string region = RegionOf(RepositoryEnvironment(variables)); !region.empty())
    variables.push_back("AWS_REGION=" + region);
  return variables;
}

// What a job is run by of its submitter's variables, without credentials. Of the others any may be a secret.
std::vector<std::string> KeptVariables(const std::vector<std::string>& variables) {
  const auto name_of = [](const std::string& entry) { return entry.substr(0, entry.find('=')); };
  const Json of_repositories = RepositoryEnvironment(variables);
  std::set<std::string> of_scripts;
  for (const auto& entry : jobs::TrainerEnvironment(variables, {}, {})) of_scripts.insert(name_of(entry));
  std::vector<std::string> kept;
  for (auto& entry : jobs::WithoutCredentials(variables)) {
    const std::string name = name_of(entry);
    if (of_repositories.contains(name) || of_scripts.contains(name) || jobs::IsReadByPodman(name))
      kept.push_back(std::move(entry));
  }
  return kept;
}

// The environments in which jobs were submitted. On the disk, for a supervisor that is started anew, are the variables
// that a job is run by; credentials are in memory only, and a new supervisor takes those of the latest command that has
// any.
class Environments {
 public:
  using DirectoryOf = std::string (*)(const std::string& state_directory, const std::string& job);
  Environments(std::string state_directory, DirectoryOf directory_of)
      : state_directory_(std::move(state_directory)), directory_of_(directory_of) {}

  Status Keep(const std::string& job, const std::vector<std::string>& variables) {
    const std::string directory = directory_of_(state_directory_, job);
    LEAT_RETURN_IF_ERROR(CreateDirectories(directory, 0700));
    const Json kept = KeptVariables(variables);
    LEAT_RETURN_IF_ERROR(WriteFileAtomically(directory + "/environment",
                                             kept.dump(-1, ' ', false, Json::error_handler_t::replace), 0600, false));
    const std::lock_guard lock(mutex_);
    of_job_[job] = variables;
    return {};
  }
  // A command in a shell without credentials takes nothing away from jobs that need some. True: it has brought others.
  bool SetCallers(std::vector<std::string> variables) {
    const bool has_credentials = JobCredentials::AreIn(variables);
    const std::lock_guard lock(mutex_);
    if ((!has_credentials && !callers_.empty()) || variables == callers_) return false;
    callers_ = std::move(variables);
    return true;
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
    return OfCallers(job);
  }
  // As the latest command would submit it.
  std::vector<std::string> OfCallers(const std::string& job) {
    const auto text = ReadFile(directory_of_(state_directory_, job) + "/environment", 16u << 20);
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
  // It may be resumed one day, with what is on the disk and the credentials of whoever does.
  void ForgetCredentials(const std::string& job) {
    const std::lock_guard lock(mutex_);
    of_job_.erase(job);
  }
  void Forget(const std::string& job) {
    unlink((directory_of_(state_directory_, job) + "/environment").c_str());
    const std::lock_guard lock(mutex_);
    of_job_.erase(job);
  }

 private:
  const std::string state_directory_;
  const DirectoryOf directory_of_;
  std::mutex mutex_;  // protects what follows
  std::map<std::string, std::vector<std::string>> of_job_;
  std::vector<std::string> callers_;
};

// Whether the job of those events came with this very request: the supervisor died before its answer was read.
bool IsSameSubmission(const std::vector<jobs::Event>& events, const std::string& id) {
  return !id.empty() && !events.empty() &&
         events[0].body.value("options", Json::object()).value("submission", "") == id;
}

class SupervisorProcess final : public control::Handler,
                                jobs::JobServicesFactory,
                                jobs::JobSubmitter,
                                tuner::TuningServicesFactory {
 public:
  SupervisorProcess(std::string state_directory, std::unique_ptr<jobs::JobStore> store, jobs::Hardware hardware)
      : state_directory_(std::move(state_directory)),
        store_(std::move(store)),
        environments_(state_directory_, jobs::JobDirectory),
        tuning_environments_(state_directory_, jobs::TuningDirectory),
        supervisor_(state_directory_, *store_, *this, std::move(hardware)),
        tunings_(*store_, *this, *this) {}

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
      const auto has_tunings = tunings_.Turn();
      if (!has_tunings) LogError(has_tunings.error().message);
      const auto has_jobs = supervisor_.Turn();
      if (!has_jobs) LogError(has_jobs.error().message);
      const auto now = std::chrono::steady_clock::now();
      if (has_jobs.value_or(true) || has_tunings.value_or(true) || (server_ && server_->RequestsInFlight() > 0))
        last_busy = now;
      if (now - last_busy > kIdleGrace) {
        server_.reset();  // joins the requests: one may have brought a job
        const auto left = store_->Unfinished(jobs::JobKind::kTraining);
        const auto tunings_left = store_->Unfinished(jobs::JobKind::kTuning);
        if (left && left->empty() && tunings_left && tunings_left->empty()) return;
        if (const Status served = Serve(); !served) LogError(served.error().message);
        last_busy = now;
      }
      supervisor_.Wait(std::min(kTurn, kIdleGrace / 3));
    }
  }

  Result<Json> Handle(const Json& request, control::Connection&) override {
    LEAT_ASSIGN_OR_RETURN(const std::string verb, control::StringMember(request, "verb"));
    const std::vector<std::string> variables = TextsOf(request.value("environment", Json::array()));
    if (!variables.empty()) {
      tuning_environments_.SetCallers(variables);
      if (environments_.SetCallers(variables)) RenewCredentials();
    }
    if (verb == "submit") {
      LEAT_RETURN_IF_ERROR(SubmitTraining(request, WithRegion(variables)));
    } else if (verb == "submit_tuning") {
      LEAT_RETURN_IF_ERROR(SubmitTuning(request, WithRegion(variables)));
    } else if (verb != "wake") {
      return Fail(ErrorCode::kInvalidArgument, "the supervisor knows no verb " + verb);
    }
    supervisor_.Wake();
    return Json{{"pid", getpid()}};
  }
  void OnConnectionClosed(uint64_t) override {}

 private:
  // Submissions come one after another: the environment must be there before the job is, and only the winner's.
  // `submit` makes the job.
  template <class SubmitJob>
  Status SubmitWith(Environments& environments, Environments::DirectoryOf directory_of, jobs::JobKind kind,
                    const std::string& name, const std::vector<std::string>& variables, const std::string& submission,
                    SubmitJob submit) {
    const std::lock_guard lock(submit_mutex_);
    const auto taken = store_->Events(kind, name);
    const bool is_new = !taken && taken.error().code == ErrorCode::kNotFound;
    if (is_new) LEAT_RETURN_IF_ERROR(environments.Keep(name, variables));
    Status submitted = submit();
    if (!submitted && is_new) {
      environments.Forget(name);
      rmdir(directory_of(state_directory_, name).c_str());
    }
    if (!submitted && taken && IsSameSubmission(*taken, submission)) return {};
    return submitted;
  }

  Status SubmitTraining(const Json& request, const std::vector<std::string>& variables) {
    const TrainingJobCheck check = CheckTrainingJob(request.value("request", Json::object()));
    LEAT_RETURN_IF_ERROR(StatusOf(check.problems, "the request"));
    const auto options = jobs::RunOptionsFrom(request.value("options", Json::object()));
    LEAT_RETURN_IF_ERROR(jobs::CheckLaunch(check.job, options.sandbox, variables));
    return SubmitWith(environments_, jobs::JobDirectory, jobs::JobKind::kTraining, check.job.name, variables,
                      options.submission, [&] { return jobs::SubmitTrainingJob(check.job, options, *store_); });
  }
  Status SubmitTuning(const Json& request, const std::vector<std::string>& variables) {
    const TuningJobCheck check = CheckTuningJob(request.value("request", Json::object()));
    LEAT_RETURN_IF_ERROR(StatusOf(check.problems, "the request"));
    const auto options = jobs::RunOptionsFrom(request.value("options", Json::object()));
    LEAT_RETURN_IF_ERROR(tuner::CheckTuningLaunch(check.job, options, variables));
    return SubmitWith(tuning_environments_, jobs::TuningDirectory, jobs::JobKind::kTuning, check.job.name, variables,
                      options.submission, [&] { return tuner::SubmitTuningJob(check.job, options, *store_); });
  }

  // Of a tuning job, in its submitter's name; on its thread.
  Status Submit(const TrainingJob& job, const jobs::RunOptions& options) override {
    const std::vector<std::string> variables = tuning_environments_.Of(options.tuning_job);
    LEAT_RETURN_IF_ERROR(jobs::CheckLaunch(job, options.sandbox, variables));
    LEAT_RETURN_IF_ERROR(SubmitWith(environments_, jobs::JobDirectory, jobs::JobKind::kTraining, job.name, variables,
                                    options.submission,
                                    [&] { return jobs::SubmitTrainingJob(job, options, *store_); }));
    return Wake();
  }
  Status Wake() override {
    supervisor_.Wake();
    return {};
  }
  std::unique_ptr<tuner::DataWatcher> WatcherFor(const std::string&) override {
    return std::make_unique<DaemonDataWatcher>(state_directory_);
  }
  void OnTuningEnded(const std::string& tuning_job) override { tuning_environments_.ForgetCredentials(tuning_job); }

  // Where the submitter's environment had named credentials, others of files or of the machine would be found for him.
  Result<Json> RepositoriesOf(const std::string& job) {
    const std::vector<std::string> variables = environments_.Of(job);
    LEAT_ASSIGN_OR_RETURN(const auto state, store_->Load(job));
    if (!jobs::RunOptionsFrom(state.options).credentials_identity.empty() && !JobCredentials::AreIn(variables)) {
      return Fail(ErrorCode::kNoCredentials,
                  "the submitter's AWS credentials were in the memory of a supervisor that is gone; run leat jobs "
                  "describe " +
                      job + " with them in its environment");
    }
    return RepositoryEnvironment(variables);
  }

  jobs::JobServices For(const std::string& job) override {
    std::vector<std::string> variables = environments_.Of(job);
    const auto repositories = [this, job] { return RepositoriesOf(job); };
    std::shared_ptr<JobCredentials> credentials;
    const auto state = store_->Load(job);
    if (const auto options = state ? jobs::RunOptionsFrom(state->options) : jobs::RunOptions{};
        options.pass_credentials) {
      credentials = std::make_shared<JobCredentials>(state_directory_, job, variables, options.credentials_identity);
      {
        const std::lock_guard lock(credentials_mutex_);
        credentials_[job] = credentials;
      }
      credentials->Renew(environments_.OfCallers(job));
    }
    return {std::make_unique<DaemonFileSystems>(state_directory_, repositories),
            std::make_unique<JobRepositories>(repositories), std::move(variables), std::move(credentials)};
  }
  void OnEnded(const std::string& job) override {
    environments_.Forget(job);
    JobCredentials::Remove(state_directory_, job);
    const std::lock_guard lock(credentials_mutex_);
    credentials_.erase(job);
  }
  // What a later command brought is there for the jobs whose own credentials end, or are not known.
  void RenewCredentials() {
    std::vector<std::pair<std::string, std::shared_ptr<JobCredentials>>> running;
    {
      const std::lock_guard lock(credentials_mutex_);
      for (const auto& [job, credentials] : credentials_) running.emplace_back(job, credentials.lock());
    }
    for (const auto& [job, credentials] : running) {
      if (credentials) credentials->Renew(environments_.OfCallers(job));
    }
  }

  const std::string state_directory_;
  const std::unique_ptr<jobs::JobStore> store_;
  Environments environments_, tuning_environments_;
  std::mutex submit_mutex_;                                           // one submission at a time
  std::mutex credentials_mutex_;                                      // protects what follows
  std::map<std::string, std::weak_ptr<JobCredentials>> credentials_;  // of jobs with --pass-credentials
  jobs::Supervisor supervisor_;
  tuner::Tunings tunings_;
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
      if (!answer && answer.error().code == ErrorCode::kTimedOut) {
        return Fail(ErrorCode::kTimedOut, "the supervisor of " + state_directory + " has not answered for " +
                                              std::to_string(kAnswerWait.count() / 1000) +
                                              " s; leat jobs list shows whether it took the job, and " + paths.log +
                                              " may say why");
      }
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
    hardware.memory_bytes = UsableMemory();
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
  return Send("submit", job.name, job.request, options);
}

Status SupervisorClient::Submit(const TuningJob& job, const jobs::RunOptions& options) {
  return Send("submit_tuning", job.name, job.request, options);
}

Status SupervisorClient::Send(const std::string& verb, const std::string& name, const Json& job_request,
                              const jobs::RunOptions& options) {
  LEAT_RETURN_IF_ERROR(CreateDirectories(state_directory_, 0700));
  jobs::RunOptions own = options;
  own.credentials_identity = JobCredentials::IdentityIn(OwnEnvironment());
  own.submission = std::to_string(getpid()) + "-" + std::to_string(jobs::WallTimeNs());
  const Json request = {
      {"verb", verb}, {"request", job_request}, {"options", jobs::ToJson(own)}, {"environment", OwnEnvironment()}};
  const size_t bytes = request.dump(-1, ' ', false, Json::error_handler_t::replace).size();
  if (bytes >= control::kLineBytesMax) {
    return Fail(ErrorCode::kInvalidArgument,
                name + ": the request and the environment have " + FormatBytes(bytes) + " together, and less than " +
                    FormatBytes(control::kLineBytesMax) +
                    " can be submitted; leave out members that the request does not need, and large variables");
  }
  LEAT_RETURN_IF_ERROR(Call(state_directory_, request));
  return {};
}

Status SupervisorClient::Wake() {
  LEAT_RETURN_IF_ERROR(Call(state_directory_, {{"verb", "wake"}, {"environment", OwnEnvironment()}}));
  return {};
}

Status TakeUpJobs(jobs::JobStore& store, const std::string& state_directory) {
  LEAT_ASSIGN_OR_RETURN(const auto training, store.Unfinished(jobs::JobKind::kTraining));
  LEAT_ASSIGN_OR_RETURN(const auto tuning, store.Unfinished(jobs::JobKind::kTuning));
  if (training.empty() && tuning.empty()) return {};
  return SupervisorClient(state_directory).Wake();
}

}  // namespace leat::cli
