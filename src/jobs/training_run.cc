// SPDX-License-Identifier: Apache-2.0
#include "jobs/training_run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "jobs/artifact_files.h"
#include "jobs/checkpoint_sync.h"
#include "jobs/code.h"
#include "jobs/confinement.h"
#include "jobs/container.h"
#include "jobs/credentials_wait.h"
#include "jobs/failure.h"
#include "jobs/host_files.h"
#include "jobs/host_log.h"
#include "jobs/job_data.h"
#include "jobs/launch.h"
#include "jobs/leftovers.h"
#include "jobs/machine.h"
#include "jobs/metrics.h"
#include "jobs/trainer_process.h"
#include "jobs/transfer.h"
#include "jobs/volume.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

constexpr int kPollMs = 50;  // how soon a line of the log or a stop is seen
constexpr std::chrono::milliseconds kStopRequestPoll{500};
constexpr std::chrono::seconds kSeekCredentials{10};  // for checkpoints, while the script runs
constexpr std::chrono::milliseconds kStorePoll{200};

struct Outcome {
  std::string status = "Completed", secondary = "Completed", message = "Training job completed", failure_reason;
};

// One of the machines that the job believes to run on.
struct Host : LaunchPlace {
  uint32_t number = 0;
  Machine machine;
  std::vector<std::unique_ptr<PipeFeed>> feeds;  // the script is gone before they are
  std::unique_ptr<CheckpointSync> checkpoints;
  bool awaits_credentials = false;  // before its checkpoints can be copied
  std::unique_ptr<TrainerProcess> trainer;
  std::unique_ptr<HostLog> log;
  std::optional<TrainerExit> exit;
};

class TrainingRun {
 public:
  TrainingRun(const TrainingJob& job, JobState state, const RunServices& services,
              std::unique_ptr<MetricReader> metrics)
      : job_(job),
        options_(RunOptionsFrom(state.options)),
        services_(services),
        state_directory_(services.state_directory),
        state_(std::move(state)),
        is_taken_up_(state_.started_ns.has_value()),
        wait_deadline_(WaitDeadline(job, state_)),
        metrics_(std::move(metrics)),
        directory_(JobDirectory(services.state_directory, job.name)),
        ml_(JobVolume(services.state_directory, job.name)),
        data_(services.state_directory, services.file_systems, services.repositories, options_) {}

  Result<JobState> Run() {
    services_.observer.OnStatus(job_.name, state_.secondary, "Starting the training job");
    if (!state_.data.empty()) TakeUp();
    Outcome outcome;
    Status status;
    for (;;) {
      outcome = {};
      trainer_is_lost_ = false;
      status = WorkCaught(outcome);
      is_preparing_ = false;
      if (!status && is_left_) return Fail(status.error());
      if (!trainer_is_lost_ || state_.retries >= job_.retry_attempts_max || StopLevelNow() > 0) break;
      LEAT_RETURN_IF_ERROR(BeginAttempt(true, " was lost: " + status.error().message));
    }
    EndTrainers();
    if (!status) (void)StopLevelNow();
    // A stop that cut the work short, or came before its end; an upload that failed by itself stays a failure.
    const bool cancelled = !status && status.error().code == ErrorCode::kCancelled;
    if (IsStopping() && !state_.timed_out && (cancelled || (status && outcome.status == "Completed"))) {
      outcome = {"Stopped", "Stopped", "Training job stopped", ""};
    } else if (cancelled && state_.timed_out) {
      outcome = TimedOut();
    } else if (!status) {
      const bool internal = status.error().code == ErrorCode::kInternal || trainer_is_lost_;
      const std::string kept = KeptText().empty() ? "" : "; " + KeptText();
      outcome = {"Failed", "Failed", "Training job failed",
                 CutToCharacters((internal ? "InternalServerError: " : "ClientError: ") + status.error().message,
                                 kFailureReasonMax - std::min(CharacterCount(kept), kFailureReasonMax)) +
                     kept};
    }
    if (outcome.failure_reason.empty() && !KeptText().empty()) Warn(KeptText());
    Clean(outcome);
    RecordAccounting();
    Record("ended", {{"status", outcome.status},
                     {"secondary", outcome.secondary},
                     {"message", outcome.message},
                     {"failure_reason", outcome.failure_reason}});
    services_.observer.OnStatus(job_.name, outcome.secondary, outcome.message);
    return services_.store.Load(job_.name);
  }

 private:
  Status WorkCaught(Outcome& outcome) {
    try {
      return Work(outcome);
    } catch (const std::exception& error) {
      kept_ = PartsWithEntries(state_directory_, job_.name);  // whatever of it is uploaded by now
      return Fail(ErrorCode::kInternal, std::string("the job ended by an exception of Leat's: ") + error.what());
    }
  }

  // After an error that left some running: the job ends, and with it everything of it.
  void EndTrainers() {
    for (Host& host : hosts_) {
      if (!host.trainer || host.exit || KillAndWait(*host.trainer)) continue;
      runs_on_ = true;
      Warn("a process of " + host.machine.current_host +
           " does not end, though it is killed; the job's volume is left as it is");
    }
    FlushCheckpoints();
  }

  // In the store and in our own view of the job.
  void Record(const std::string& kind, Json body = Json::object()) {
    const Event event{kind, WallTimeNs(), std::move(body)};
    const Status status = services_.store.Append(JobKind::kTraining, job_.name, event);
    if (!status) LogError("job " + job_.name + ": " + status.error().message);
    state_ = Apply(std::move(state_), event);
  }
  void EnterStatus(const std::string& secondary, const std::string& message) {
    Record("status", {{"secondary", secondary}, {"message", message}});
    services_.observer.OnStatus(job_.name, secondary, message);
  }
  void Warn(const std::string& text) {
    Record("warning", {{"text", text}});
    services_.observer.OnWarning(job_.name, text);
  }
  bool IsStopping() const { return state_.status == "Stopping"; }

  // Sees stop requests of our process and of others; enters Stopping at the first.
  int StopLevelNow() {
    const auto now = SteadyClock::now();
    if (now - last_stop_poll_ >= kStopRequestPoll) {
      last_stop_poll_ = now;
      const auto state = services_.store.Load(job_.name);
      if (state) state_.stop_level = std::max(state_.stop_level, state->stop_level);
    }
    const int level = std::max(services_.stop.load(), state_.stop_level);
    if (level > 0 && !IsStopping()) EnterStatus("Stopping", "Stopping the training job");
    return level;
  }

  static std::optional<SteadyClock::time_point> WaitDeadline(const TrainingJob& job, const JobState& state) {
    if (!job.max_wait_s) return std::nullopt;
    return SteadyClock::now() + std::chrono::seconds(*job.max_wait_s) -
           std::chrono::nanoseconds(WallTimeNs() - state.created_ns);
  }
  bool HasWaitedTooLong() const { return wait_deadline_ && SteadyClock::now() >= *wait_deadline_; }
  void TimeOut(const char* by) {
    Record("timed_out", {{"by", by}});
    EnterStatus("Stopping", "Stopping the training job");
  }
  Outcome TimedOut() const {
    return {"Stopped", state_.timed_out_by,
            state_.timed_out_by == "MaxRuntimeExceeded"
                ? "Training job runtime exceeded MaxRuntimeInSeconds provided"
                : "Training job waited and ran for longer than MaxWaitTimeInSeconds provided",
            ""};
  }
  // A stop is asked for, or MaxWaitTimeInSeconds are over before the script has started.
  bool ShallEnd() {
    if (StopLevelNow() > 0) return true;
    if (is_preparing_ && !state_.timed_out && HasWaitedTooLong()) TimeOut("MaxWaitTimeExceeded");
    return is_preparing_ && state_.timed_out;
  }

  // What an attempt left is put aside: the logs tell what became of it.
  Status BeginAttempt(bool is_retry, const std::string& what_became_of_it) {
    for (const Host& host : hosts_) {
      LEAT_RETURN_IF_ERROR(
          PutLogsAside(host.directory, AttemptDirectory(state_directory_, job_.name, state_.attempt, host.number)));
    }
    LEAT_RETURN_IF_ERROR(ForgetTrainers());
    LEAT_RETURN_IF_ERROR(services_.store.ForgetLogPositions(job_.name));
    Warn("attempt " + std::to_string(state_.attempt) + what_became_of_it);
    Record("attempt", {{"number", state_.attempt + 1}, {"is_retry", is_retry}});
    EnterStatus("Starting", "Preparing the instances for training");
    data_.Forget();
    data_failure_.reset();
    return {};
  }

  // Nothing is adopted from here on.
  Status ForgetTrainers() {
    LEAT_RETURN_IF_ERROR(RemoveContainers());
    for (Host& host : hosts_) {
      host.trainer.reset();
      host.feeds.clear();
      host.checkpoints.reset();
      host.exit.reset();
      std::error_code error;
      fs::remove(host.directory + "/trainer", error);
      if (error) return Fail(ErrorCode::kIo, host.directory + "/trainer could not be removed: " + error.message());
    }
    return {};
  }

  Status Work(Outcome& outcome) {
    LEAT_RETURN_IF_ERROR(SettleHosts());
    if (!state_.exit_code) {
      LEAT_ASSIGN_OR_RETURN(const bool adopted, AdoptTrainers());
      if (!adopted) {
        is_preparing_ = true;
        if (is_taken_up_) LEAT_RETURN_IF_ERROR(WaitForCredentials(BucketOf(job_)));
        if (state_.training_started_ns) {
          LEAT_RETURN_IF_ERROR(OrLeave(BeginAttempt(
              false, IsPiped() ? " was started anew: its pipes ended with the supervisor that fed them"
                               : " was started anew: what its supervisor had left of it is not complete")));
        }
        LEAT_RETURN_IF_ERROR(KeepCheckpoints(state_directory_, job_.name, job_.checkpoint_path));
        LEAT_RETURN_IF_ERROR(RemoveVolume(state_directory_, job_.name));
        LEAT_RETURN_IF_ERROR(Prepare());
        LEAT_RETURN_IF_ERROR(StartTrainers());
        is_preparing_ = false;
      }
      LEAT_RETURN_IF_ERROR(Watch());
    }
    if (state_.exec_errno != 0) {
      return FailErrno(state_.exec_errno, "the script could not be started: " + program_text_);
    }
    if (state_.timed_out) {
      outcome = TimedOut();
    } else if (!IsStopping() && *state_.exit_code != 0) {
      outcome = {"Failed", "Failed", "Training job failed", state_.script_failure};
    }
    return Upload(outcome);
  }

  Status SettleHosts() {
    if (!hosts_.empty()) return {};
    std::vector<std::string> warnings;
    LEAT_ASSIGN_OR_RETURN(std::vector<Machine> machines,
                          MachinesOf(job_, state_directory_, services_.environment, services_.machines, warnings));
    if (state_.transitions.size() <= 1 && state_.attempt == 1) {
      warnings.insert(warnings.begin(), job_.warnings.begin(), job_.warnings.end());
      for (const auto& warning : warnings) Warn(warning);
    }
    LEAT_RETURN_IF_ERROR(CreateDirectories(directory_, 0700));
    for (uint32_t i = 0; i < job_.instance_count; ++i) {
      Host& host = hosts_.emplace_back();
      host.number = i;
      host.machine = std::move(machines[i]);
      host.directory = HostDirectory(state_directory_, job_.name, i);
      host.volume = JobVolume(state_directory_, job_.name, i);
      host.container = ContainerName(state_directory_, job_.name, host.machine.current_host);
      LEAT_RETURN_IF_ERROR(CreateDirectories(host.directory, 0700));
    }
    return {};
  }

  // What an earlier supervisor had of the attempt: its accounting, its leases, its control group.
  void TakeUp() {
    for (const auto& warning : data_.TakeUp(state_.data)) Warn(warning);
    if (auto group = Confinement::Adopt(state_directory_, job_.name, state_.control_group)) group_ = std::move(*group);
  }

  // False: no trainer was started in this attempt, or not on all hosts; then none runs any more. One that is fed
  // through pipes has seen them end when the supervisor did, which it takes for the end of its data: it starts anew.
  Result<bool> AdoptTrainers() {
    bool all = !IsPiped();
    for (Host& host : hosts_) {
      auto trainer = TrainerProcess::Adopt(host.directory);
      if (trainer) {
        host.trainer = std::move(*trainer);
      } else if (trainer.error().code == ErrorCode::kNotFound) {
        all = false;
      } else {
        return Fail(OrLeave(Fail(trainer.error())).error());
      }
    }
    if (all) {
      if (!state_.training_started_ns) Record("training_started");
      for (Host& host : hosts_) {
        LEAT_RETURN_IF_ERROR(OrLeave(OpenLog(host)));
        LEAT_RETURN_IF_ERROR(StartCheckpoints(host));
      }
      AttributeReads();
      return true;
    }
    for (Host& host : hosts_) {
      if (!host.trainer || KillAndWait(*host.trainer)) continue;
      is_left_ = true;
      return Fail(ErrorCode::kIo, "a process of " + host.machine.current_host + " does not end, though it is killed");
    }
    LEAT_RETURN_IF_ERROR(OrLeave(ForgetTrainers()));
    return false;
  }
  bool IsPiped() const {
    return std::ranges::any_of(job_.channels,
                               [](const Channel& channel) { return channel.input_mode == InputMode::kPipe; });
  }
  // Where it fails, the job is left as it is for the next look at it: something of it may run.
  Status OrLeave(Status status) {
    is_left_ = is_left_ || !status;
    return status;
  }

  // Those of the submission were in the memory of a supervisor that is gone.
  Status WaitForCredentials(const std::string& bucket) {
    const Transition before = state_.transitions.back();
    bool has_waited = false;
    if (!credentials_deadline_) credentials_deadline_ = SteadyClock::now() + kCredentialsPatience;
    const auto on_wait = [&] {
      has_waited = true;
      EnterStatus(before.status, "Waiting for AWS credentials: run leat jobs describe " + job_.name +
                                     " with them in its environment, and it goes on");
    };
    LEAT_RETURN_IF_ERROR(AwaitCredentials(services_.repositories, bucket, stopped_, on_wait, *credentials_deadline_));
    credentials_deadline_.reset();
    if (has_waited) EnterStatus(before.status, before.message);
    return {};
  }

  Status Prepare() {
    if (ShallEnd()) return Fail(ErrorCode::kCancelled, "stopped");  // in the queue
    for (const Host& host : hosts_) LEAT_RETURN_IF_ERROR(MakeVolume(job_, host.machine, host.volume));
    LEAT_RETURN_IF_ERROR(TakeBackCheckpoints(state_directory_, job_.name, job_.checkpoint_path));
    for (const Host& host : hosts_) LEAT_RETURN_IF_ERROR(RestoreCheckpoints(host));
    LEAT_RETURN_IF_ERROR(CheckOutput());
    if (ShallEnd()) return Fail(ErrorCode::kCancelled, "stopped");
    EnterStatus("Downloading", "Downloading input data");
    for (Host& host : hosts_) {
      LEAT_ASSIGN_OR_RETURN(program_, PrepareCode(job_, services_.repositories, host.volume + "/code",
                                                  {options_.python, options_.file_mode_connections, state_directory_,
                                                   options_.requirements, options_.submitted_from},
                                                  stopped_));
      if (host.number == 0) {
        for (const auto& warning : program_.warnings) Warn(warning);
      }
      host.read_only.clear();
      host.writable.clear();
      for (const auto& channel : job_.channels) {
        auto feed = data_.Prepare(channel, {host.number, job_.instance_count}, host, stopped_);
        if (ShallEnd()) return Fail(ErrorCode::kCancelled, "stopped");
        if (!feed) return Fail(feed.error().code, "channel " + channel.name + ": " + feed.error().message);
        if (*feed) host.feeds.push_back(std::move(*feed));
      }
    }
    Record("data_ready", data_.ToJson());
    if (!IsContained()) return {};
    EnterStatus("Downloading", "Downloading the training image");
    return PullImage(job_.training_image, services_.environment, stopped_);
  }

  bool IsContained() const { return !job_.training_image.empty(); }
  // What podman has of the hosts, and what still runs there of those whose shim was killed.
  Status RemoveContainers() {
    if (!IsContained()) return {};
    for (const Host& host : hosts_) LEAT_RETURN_IF_ERROR(RemoveContainer(host.container, services_.environment));
    return {};
  }

  // Before hours of training, not after them.
  Status CheckOutput() {
    const Status status = ProbeOutput(services_.repositories, job_.output_path, stopped_);
    if (status || status.error().code == ErrorCode::kCancelled) return status;
    const std::string text = "OutputDataConfig.S3OutputPath " + job_.output_path + ": " + status.error().message;
    const bool is_s3 = job_.output_path.rfind("s3://", 0) == 0;
    if (status.error().code != ErrorCode::kDenied || !is_s3) return Fail(status.error().code, text);
    Warn(text + "; whether it can be written shows at the end");  // permission to write does not include one to list
    return {};
  }

  CheckpointPlace CheckpointsOf(const Host& host) const {
    return {job_.checkpoint_uri, host.volume + "/" + job_.checkpoint_path, host.directory + "/checkpoint-record"};
  }
  Status RestoreCheckpoints(const Host& host) {
    if (job_.checkpoint_uri.empty()) return {};
    const auto restored = CheckpointSync::Restore(services_.repositories, CheckpointsOf(host),
                                                  std::min(options_.file_mode_connections, 64u), stopped_);
    if (!restored) return Fail(restored.error().code, "CheckpointConfig: " + restored.error().message);
    for (const auto& warning : restored->warnings) Warn("CheckpointConfig: " + warning);
    return {};
  }
  Status StartCheckpoints(Host& host) {
    if (job_.checkpoint_uri.empty()) return {};
    // The script runs on: its copies are made once a command has brought some, or at its end.
    host.awaits_credentials = is_taken_up_ && LacksCredentials(services_.repositories, BucketOf(job_), stopped_);
    if (host.awaits_credentials) return {};
    auto started = CheckpointSync::Start(services_.repositories, CheckpointsOf(host));
    if (!started) return Fail(started.error().code, "CheckpointConfig: " + started.error().message);
    host.checkpoints = std::move(*started);
    return {};
  }
  // What the script has left goes to S3 before the job ends, however it ends.
  void FlushCheckpoints() {
    for (Host& host : hosts_) {
      if (std::exchange(host.awaits_credentials, false)) {
        Status begun = WaitForCredentials(BucketOf(job_));
        if (begun) begun = StartCheckpoints(host);
        checkpoints_are_copied_ = checkpoints_are_copied_ && host.checkpoints != nullptr;
        if (!begun) Warn("CheckpointConfig: " + begun.error().message);
      }
      if (!host.checkpoints) continue;
      const Status flushed = host.checkpoints->Flush([this] { return StopLevelNow() > 1; });
      if (!flushed) {
        checkpoints_are_copied_ = false;
        Warn("CheckpointConfig: " + flushed.error().message);
      }
      host.checkpoints.reset();
    }
  }

  // Whose reads the file systems' daemon counts for us.
  void AttributeReads() {
    std::vector<int> shims;
    for (const Host& host : hosts_) {
      if (host.trainer->shim_number() > 0) shims.push_back(host.trainer->shim_number());
    }
    if (const Status set = services_.file_systems.SetOwners(shims); !set) LogWarning(set.error().message);
  }

  Status Confine() {
    const Machine& machine = hosts_[0].machine;
    ControlGroupLimits limits;
    if (machine.is_limited) limits.cpus = machine.cpus * job_.instance_count;
    if (machine.memory_bytes > 0) limits.memory_bytes = machine.memory_bytes * job_.instance_count;
    auto confined = Confinement::Begin(state_directory_, job_.name, limits);
    if (confined) {
      group_ = std::move(*confined);
      Record("confined", {{"directories", group_->directories()}});
    } else if (limits.cpus || limits.memory_bytes) {
      Warn("the limits of " + job_.instance_type + " are not enforced: " + confined.error().message);
    }
    return {};
  }

  Status StartTrainers() {
    if (ShallEnd()) return Fail(ErrorCode::kCancelled, "stopped");
    EnterStatus("Training", "Training image download completed. Training in progress.");
    LEAT_RETURN_IF_ERROR(Confine());
    for (Host& host : hosts_) LEAT_RETURN_IF_ERROR(StartTrainer(host));
    checkpoints_are_copied_ = true;  // those that an earlier attempt could not copy go with this one's
    Record("training_started");
    AttributeReads();
    return {};
  }

  Status StartTrainer(Host& host) {
    LEAT_ASSIGN_OR_RETURN(Launch launch, PrepareLaunch(job_, host.machine, host, program_, options_.sandbox,
                                                       services_.environment, services_.script_variables));
    program_text_ = launch.text;
    if (group_) launch.command.groups = group_->procs_files();
    LEAT_ASSIGN_OR_RETURN(host.trainer, TrainerProcess::Start(launch.command, host.directory));
    LEAT_RETURN_IF_ERROR(StartCheckpoints(host));
    return OpenLog(host);
  }

  Status OpenLog(Host& host) {
    host.log = std::make_unique<HostLog>(services_.store, job_.name, host.number, host.directory, *metrics_,
                                         services_.observer);
    return host.log->Open();
  }

  // Reads the logs until the last process is gone, and ends them when it is time.
  Status Watch() {
    std::optional<SteadyClock::time_point> kill_at;
    // MaxRuntimeInSeconds spans all attempts.
    const std::chrono::nanoseconds ran_for(state_.trained_before_ns + WallTimeNs() - *state_.training_started_ns);
    const auto deadline = SteadyClock::now() + std::chrono::seconds(job_.max_runtime_s) - ran_for;
    for (;;) {
      std::vector<pollfd> waiting;
      for (const Host& host : hosts_) {
        if (!host.exit) waiting.push_back({host.trainer->ended_fd(), POLLIN, 0});
      }
      if (waiting.empty()) break;
      poll(waiting.data(), waiting.size(), kPollMs);
      for (Host& host : hosts_) {
        if (host.exit) continue;
        const bool has_ended = host.trainer->HasEnded();  // before the log is read to its end
        LEAT_RETURN_IF_ERROR(ReadLog(host, has_ended));
        if (has_ended) LEAT_RETURN_IF_ERROR(TakeExit(host));
        LookAtData(host);
      }
      const int level = StopLevelNow();
      const auto now = SteadyClock::now();
      if (level == 0 && !state_.timed_out && (now >= deadline || HasWaitedTooLong()))
        TimeOut(now >= deadline ? "MaxRuntimeExceeded" : "MaxWaitTimeExceeded");
      const bool one_failed =
          std::any_of(hosts_.begin(), hosts_.end(), [](const Host& host) { return host.exit && host.exit->code != 0; });
      if ((level > 0 || state_.timed_out || one_failed || trainer_is_lost_ || data_failure_) && !kill_at) {
        for (const Host& host : hosts_) host.trainer->Terminate();
        kill_at = now + options_.stop_grace;
      }
      if (level > 1 || trainer_is_lost_ || (kill_at && now >= *kill_at)) {
        for (const Host& host : hosts_) host.trainer->Kill();
      }
    }
    const auto samples = services_.store.Samples(job_.name);
    for (const auto& text : metrics_->NeverNumbers(samples.value_or(std::vector<MetricSample>{}))) Warn(text);
    FlushCheckpoints();
    if (trainer_is_lost_) return Fail(ErrorCode::kUnavailable, lost_text_);
    if (data_failure_) return Fail(*data_failure_);
    const Host& host = FailedHost();
    Record("training_ended", {{"exit_code", host.exit->code},
                              {"exec_errno", host.exit->exec_errno},
                              {"failure", host.exit->code == 0 ? "" : FailureOf(host)},
                              {"checkpoints_copied", checkpoints_are_copied_}});
    return {};
  }

  std::string FailureOf(const Host& host) const {
    const int code = host.exit->code;
    if (IsContained()) {
      const auto why = WhyNotStarted(job_, host.container, code, host.log->tail(), services_.environment);
      if (why) return *why;
    }
    return AlgorithmError(code, ReadFailureFile(host.volume + "/output/failure"), host.log->tail());
  }

  // What comes through pipes and goes to checkpoints while the script runs.
  void LookAtData(Host& host) {
    for (const auto& feed : host.feeds) {
      if (const auto failure = feed->failure(); failure && !data_failure_) data_failure_ = *failure;
    }
    if (host.awaits_credentials && SteadyClock::now() >= credentials_sought_ + kSeekCredentials) {
      credentials_sought_ = SteadyClock::now();
      if (const Status begun = StartCheckpoints(host); !begun) {
        checkpoints_are_copied_ = false;
        Warn(begun.error().message);
      }
    }
    if (!host.checkpoints) return;
    if (const auto failure = host.checkpoints->TakeFailure())
      Warn("CheckpointConfig: " + failure->message + " (it is tried again)");
  }

  Status TakeExit(Host& host) {
    auto exit = host.trainer->Exit();
    if (!exit) {
      trainer_is_lost_ = true;
      if (const Status removed = RemoveContainers(); !removed) Warn(removed.error().message);
      lost_text_ = exit.error().message + " (" + host.machine.current_host + ")";
      host.exit = TrainerExit{128 + SIGKILL, 0, 0};
      return {};
    }
    if (exit->log_dropped > 0) {
      Warn(std::to_string(exit->log_dropped) +
           " bytes of the log are lost: the disk of the state directory did not take them");
    }
    host.exit = *exit;
    if (exit->code == 0 || IsStopping()) return {};
    if (const std::string lost = services_.file_systems.LostFileSystem(); !lost.empty()) {
      trainer_is_lost_ = true;
      lost_text_ = "file system " + lost + " was lost under the script (exit code " + std::to_string(exit->code) +
                   "): its daemon has ended; daemon.log in the state directory may say why";
    }
    return {};
  }

  // The first that failed of itself, else the first.
  const Host& FailedHost() const {
    for (const Host& host : hosts_) {
      if (host.exit && host.exit->code != 0 && host.exit->code != 128 + SIGTERM && host.exit->code != 128 + SIGKILL)
        return host;
    }
    for (const Host& host : hosts_) {
      if (host.exit && host.exit->code != 0) return host;
    }
    return hosts_[0];
  }

  Status ReadLog(Host& host, bool to_its_end) {
    const Status read = host.log->Read(to_its_end);
    for (const auto& warning : host.log->TakeWarnings()) Warn(warning);
    return read;
  }

  Status Upload(const Outcome& outcome) {
    if (state_.is_uploaded) return {};  // by a supervisor that did not come to record the job's end
    const bool failed = outcome.status == "Failed";
    if (const Status parts = CheckParts(state_directory_, job_.name); !parts) {
      if (failed) Warn(parts.error().message);
      return failed ? Status() : parts;
    }
    if (!failed && !IsStopping()) EnterStatus("Uploading", "Uploading generated training model");
    MergeHosts(state_directory_, job_.name, [&](const std::string& path) {
      Warn("several hosts wrote " + path.substr(ml_.size() + 1) + "; the first host's is kept");
    });
    const std::string base = job_.output_path + "/" + job_.name + "/output/";
    const StopCheck given_up = [this] { return StopLevelNow() > 1; };
    const auto upload = [&](const std::string& directory, const std::string& name) -> Result<std::string> {
      const auto once = [&] {
        return UploadDirectory(services_.repositories, ml_ + directory, base + name, job_.compress_artifacts, given_up);
      };
      auto uri = once();
      if (!uri && uri.error().code == ErrorCode::kNoCredentials) {
        LEAT_RETURN_IF_ERROR(WaitForCredentials(LocationOf(job_.output_path).repository));
        uri = once();
      }
      if (uri && !job_.compress_artifacts) {
        const auto found = ArtifactFilesIn(ml_ + directory);
        if (found && !found->left_out.empty()) Warn(LeftOutText("/opt/ml" + directory, found->left_out));
      }
      if (!uri) return Fail(uri.error().code, "uploading " + base + name + ": " + uri.error().message);
      return uri;
    };
    Status output;
    const VolumeParts present = PartsWithEntries(state_directory_, job_.name);
    if (present.output_data) {
      const auto uri = upload("/output/data", job_.compress_artifacts ? "output" : "data");
      if (!uri) output = Fail(uri.error());
      kept_.output_data = !uri;
    }
    // The output of a failed job is worth most of all, but its failure is what must be told.
    if (failed) {
      if (!output) Warn(output.error().message + "; " + KeptText());
      if (output) Record("uploaded");
      return {};
    }
    const auto model = upload("/model", "model");
    kept_.model = !model && present.model;
    if (model) Record("artifacts", {{"model", *model}});
    if (!model) return Fail(model.error());
    if (output) Record("uploaded");
    return output;
  }

  // Where what could not be uploaded is, for it is the only copy.
  std::string KeptText() const { return jobs::KeptText(state_directory_, job_.name, kept_); }

  // The volume of a job ends with it, but for what exists nowhere else; the log stays.
  void Clean(const Outcome& outcome) {
    for (Host& host : hosts_) {
      for (const auto& feed : host.feeds) data_.AddFeed(*feed);
      host.feeds.clear();
      host.checkpoints.reset();
    }
    const Status removed = RemoveContainers();
    const bool may_run = runs_on_ || (!removed && !group_);  // else the group's end is the containers'
    EndConfinement();
    if (!removed) Warn(removed.error().message + (may_run ? "; the job's volume is left as it is" : ""));
    if (may_run || !IsStored(outcome)) return;
    const bool are_copied =
        !job_.checkpoint_uri.empty() && (state_.exit_code ? state_.checkpoints_copied : checkpoints_are_copied_);
    const auto checkpoints =
        are_copied ? std::string() : KeepCheckpoints(state_directory_, job_.name, job_.checkpoint_path);
    if (!checkpoints) {
      Warn(checkpoints.error().message + "; the job's volume is left as it is");
      return;
    }
    if (!checkpoints->empty()) Warn("checkpoints are kept in " + *checkpoints);
    if (const Status cleaned = RemoveVolume(state_directory_, job_.name, kept_); !cleaned)
      Warn(cleaned.error().message);
  }

  // False: what has become of the job is in memory only, and a supervisor that comes after the death of this one needs
  // the volume again. Not that of a job that has failed, whose volume may be what fills the disk.
  bool IsStored(const Outcome& outcome) {
    const auto is_stored = [&] {
      const Status stored = services_.store.Flush();
      return stored || stored.error().code == ErrorCode::kNotFound;
    };
    if (is_stored() || outcome.status == "Failed") return true;
    std::error_code ignored;
    for (const Host& host : hosts_) fs::remove_all(host.volume + "/input/data", ignored);
    const auto deadline = SteadyClock::now() + services_.store_patience;
    while (SteadyClock::now() < deadline) {
      std::this_thread::sleep_for(kStorePoll);
      if (is_stored()) return true;
    }
    Warn("the job's end cannot be stored; its volume is left in " + ml_);
    return false;
  }

  void EndConfinement() {
    if (!group_) return;
    const Confinement::End end = group_->Finish();
    usage_ = end.usage;
    if (end.was_killed_for_memory) {
      const uint64_t bytes = hosts_[0].machine.memory_bytes * job_.instance_count;
      Warn("the kernel killed a process of the job for want of memory" +
           (bytes > 0 ? ": the job may use " + FormatBytes(bytes) : std::string()));
    }
    group_.reset();
  }

  void RecordAccounting() {
    const auto samples = services_.store.Samples(job_.name);
    Json accounting = data_.Accounting(state_, samples.value_or(std::vector<MetricSample>{}));
    accounting.update(usage_);
    Record("accounting", std::move(accounting));
  }

  const TrainingJob& job_;
  const RunOptions options_;
  const RunServices& services_;
  const std::string& state_directory_;
  JobState state_;
  const bool is_taken_up_;  // another run of it had begun
  const std::optional<SteadyClock::time_point> wait_deadline_;
  std::unique_ptr<MetricReader> metrics_;
  const std::string directory_, ml_;
  const StopCheck stopped_ = [this] { return ShallEnd(); };
  std::vector<Host> hosts_;
  TrainerProgram program_;
  std::string program_text_ = "its program", lost_text_;
  SteadyClock::time_point last_stop_poll_{}, credentials_sought_{};
  std::optional<SteadyClock::time_point> credentials_deadline_;  // of all waiting until some come
  bool is_preparing_ = false, trainer_is_lost_ = false;
  bool is_left_ = false;  // OrLeave
  bool runs_on_ = false;  // something does, beyond its kill
  JobData data_;
  VolumeParts kept_;
  std::optional<Error> data_failure_;
  bool checkpoints_are_copied_ = true;
  std::unique_ptr<Confinement> group_;
  Json usage_ = Json::object();
};

}  // namespace

Result<JobState> RunTrainingJob(const std::string& name, const RunServices& services) {
  LEAT_ASSIGN_OR_RETURN(JobState state, services.store.Load(name));
  if (state.IsTerminal()) return state;
  const TrainingJobCheck check = CheckTrainingJob(state.request);
  LEAT_RETURN_IF_ERROR(StatusOf(check.problems, name));
  LEAT_ASSIGN_OR_RETURN(auto metrics, MetricReader::Make(check.job.metrics));
  return TrainingRun(check.job, std::move(state), services, std::move(metrics)).Run();
}

}  // namespace leat::jobs
