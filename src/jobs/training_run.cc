// SPDX-License-Identifier: Apache-2.0
#include "jobs/training_run.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "jobs/code.h"
#include "jobs/contract.h"
#include "jobs/failure.h"
#include "jobs/machine.h"
#include "jobs/metrics.h"
#include "jobs/sandbox.h"
#include "jobs/trainer_process.h"
#include "jobs/transfer.h"
#include "jobs/volume.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

constexpr int kPollMs = 200;  // how soon a stop is seen
constexpr std::chrono::milliseconds kStopRequestPoll{500};
constexpr uint64_t kLogBytesMax = uint64_t{1} << 30;  // then only metrics are read

extern "C" char** environ;

std::vector<std::string> CallerEnvironment() {
  std::vector<std::string> list;
  for (char** entry = environ; entry && *entry; ++entry) list.emplace_back(*entry);
  return list;
}

struct Outcome {
  std::string status = "Completed", secondary = "Completed", message = "Training job completed", failure_reason;
};

class TrainingRun {
 public:
  TrainingRun(const TrainingJob& job, const RunOptions& options, const RunServices& services,
              std::unique_ptr<MetricReader> metrics)
      : job_(job),
        options_(options),
        services_(services),
        metrics_(std::move(metrics)),
        directory_(JobDirectory(options.state_directory, job.name)),
        ml_(JobVolume(options.state_directory, job.name)) {}

  Result<JobState> Run() {
    submitted_ = SteadyClock::now();
    LEAT_ASSIGN_OR_RETURN(const FileDescriptor lock, Create());
    services_.observer.OnStatus(job_.name, "Starting", "Starting the training job");
    Outcome outcome;
    const Status status = WorkCaught(outcome);
    if (!status) (void)StopLevelNow();
    // A stop that cut the work short, or came before its end; an upload that failed by itself stays a failure.
    const bool cancelled = !status && status.error().code == ErrorCode::kCancelled;
    if (stop_seen_ && (cancelled || (status && outcome.status == "Completed"))) {
      outcome = {"Stopped", "Stopped", "Training job stopped", ""};
    } else if (!status) {
      const bool internal = status.error().code == ErrorCode::kInternal;
      const std::string kept = KeptText().empty() ? "" : "; " + KeptText();
      outcome = {"Failed", "Failed", "Training job failed",
                 Shortened((internal ? "InternalServerError: " : "ClientError: ") + status.error().message,
                           kFailureReasonMax - kept.size()) +
                     kept};
    }
    if (outcome.failure_reason.empty() && !KeptText().empty()) Warn(KeptText());
    Clean();
    RecordAccounting();
    Record("ended", {{"status", outcome.status},
                     {"secondary", outcome.secondary},
                     {"message", outcome.message},
                     {"failure_reason", outcome.failure_reason}});
    services_.observer.OnStatus(job_.name, outcome.secondary, outcome.message);
    return services_.store.Load(job_.name);
  }

 private:
  // Enters the job into the store. The lock comes first: a job there that nobody holds counts as abandoned.
  Result<FileDescriptor> Create() {
    auto lock = TakeJobLock(TrainingLockPath(options_.state_directory, job_.name));
    if (!lock && lock.error().code != ErrorCode::kBusy && lock.error().code != ErrorCode::kNotSupported) {
      return Fail(lock.error());
    }
    if (!lock && lock.error().code == ErrorCode::kNotSupported)
      LogWarning("job " + job_.name + ": " + lock.error().message);
    const Event created{
        "created",
        WallTimeNs(),
        {{"request", job_.request}, {"tuning_job", options_.tuning_job}, {"supervisor", ToJson(ThisProcess())}}};
    const bool is_held = !lock && lock.error().code == ErrorCode::kBusy;
    const Status status =
        is_held ? Status(Fail(ErrorCode::kExists, "")) : services_.store.Create(JobKind::kTraining, job_.name, created);
    if (status) return lock ? std::move(*lock) : FileDescriptor();
    if (status.error().code != ErrorCode::kExists) return Fail(status.error());
    return Fail(ErrorCode::kExists,
                "ResourceInUse: Training job names must be unique within an AWS account and region, and a training job "
                "with this name already exists (" +
                    TrainingJobArn(job_.name) + "); choose another TrainingJobName (leat jobs describe " + job_.name +
                    " shows the one that has it)");
  }

  Status WorkCaught(Outcome& outcome) {
    try {
      return Work(outcome);
    } catch (const std::exception& error) {
      kept_ = PartsWithEntries(options_.state_directory, job_.name);  // whatever of it is uploaded by now
      return Fail(ErrorCode::kInternal, std::string("the job ended by an exception of Leat's: ") + error.what());
    }
  }

  void Record(const std::string& kind, Json body = Json::object()) {
    const Status status = services_.store.Append(JobKind::kTraining, job_.name, {kind, WallTimeNs(), std::move(body)});
    if (!status) LogError("job " + job_.name + ": " + status.error().message);
  }
  void EnterStatus(const std::string& secondary, const std::string& message) {
    Record("status", {{"secondary", secondary}, {"message", message}});
    services_.observer.OnStatus(job_.name, secondary, message);
  }
  void Warn(const std::string& text) {
    Record("warning", {{"text", text}});
    services_.observer.OnWarning(job_.name, text);
  }

  // Sees stop requests from the terminal and from other processes; enters Stopping at the first.
  int StopLevelNow() {
    int level = services_.stop.load();
    const auto now = SteadyClock::now();
    if (!stop_requested_ && now - last_stop_poll_ >= kStopRequestPoll) {
      last_stop_poll_ = now;
      const auto state = services_.store.Load(job_.name);
      stop_requested_ = state && state->stop_requested;
    }
    if (stop_requested_) level = std::max(level, 1);
    if (level > 0 && !stop_seen_) {
      stop_seen_ = true;
      EnterStatus("Stopping", "Stopping the training job");
    }
    return level;
  }

  Status Work(Outcome& outcome) {
    std::vector<std::string> warnings = job_.warnings;
    LEAT_ASSIGN_OR_RETURN(machine_, ChooseMachine(job_.instance_type, options_.state_directory, warnings));
    for (const auto& warning : warnings) Warn(warning);
    LEAT_RETURN_IF_ERROR(MakeDirectories());
    LEAT_RETURN_IF_ERROR(CheckOutput());
    if (StopLevelNow() > 0) return Fail(ErrorCode::kCancelled, "stopped");
    EnterStatus("Downloading", "Downloading input data");
    LEAT_ASSIGN_OR_RETURN(
        const TrainerProgram program,
        PrepareCode(job_, services_.repositories, ml_ + "/code",
                    {options_.python, options_.file_mode_connections, options_.state_directory}, stopped_));
    for (const auto& warning : program.warnings) Warn(warning);
    for (const auto& channel : job_.channels) {
      const Status status = PrepareChannel(channel);
      if (StopLevelNow() > 0) return Fail(ErrorCode::kCancelled, "stopped");
      if (!status) return Fail(status.error().code, "channel " + channel.name + ": " + status.error().message);
    }
    LEAT_ASSIGN_OR_RETURN(const int exit_code, Train(program));
    if (timed_out_) {
      outcome = {"Stopped", "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds provided", ""};
    } else if (!stop_seen_ && exit_code != 0) {
      outcome = {"Failed", "Failed", "Training job failed",
                 AlgorithmError(exit_code, ReadFailureFile(ml_ + "/output/failure"), tail_)};
    }
    return Upload(outcome);
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

  Status MakeDirectories() {
    LEAT_RETURN_IF_ERROR(CreateDirectories(directory_, 0700));
    for (const char* name : {"/input/config", "/input/data", "/model", "/output/data", "/code", "/checkpoints"}) {
      LEAT_RETURN_IF_ERROR(CreateDirectories(ml_ + name));
    }
    if (!job_.checkpoint_path.empty()) LEAT_RETURN_IF_ERROR(CreateDirectories(ml_ + "/" + job_.checkpoint_path));
    const auto write = [&](const char* name, const Json& value) {
      return WriteFileAtomically(ml_ + "/input/config/" + name,
                                 value.dump(-1, ' ', true, Json::error_handler_t::replace), 0644, false);
    };
    LEAT_RETURN_IF_ERROR(write("hyperparameters.json", job_.hyperparameters));
    LEAT_RETURN_IF_ERROR(write("inputdataconfig.json", InputDataConfig(job_)));
    return write("resourceconfig.json", ResourceConfig(machine_));
  }

  Status PrepareChannel(const Channel& channel) {
    const std::string place = ml_ + "/input/data/" + channel.name;
    if (channel.s3) {
      LEAT_RETURN_IF_ERROR(CreateDirectories(place));
      const std::string repository_url = LocationOf(channel.s3->uri).repository;
      LEAT_ASSIGN_OR_RETURN(Repository repository,
                            services_.repositories.Open(repository_url, options_.file_mode_connections));
      const auto downloaded =
          DownloadPrefix(*repository.store, channel.s3->uri, place, options_.file_mode_connections, stopped_);
      if (repository.counters) {
        for (size_t i = 0; i < downloads_.requests.size(); ++i)
          downloads_.requests[i] += repository.counters->requests[i].load();
        downloads_.bytes_received += repository.counters->bytes_received.load();
      }
      if (!downloaded) return Fail(downloaded.error());
      return {};
    }
    std::string directory = channel.file_system->directory_path;
    if (!channel.file_system->is_plain_directory) {
      const std::string& id = channel.file_system->file_system_id;
      // Mounted first, so that what mounting asks of S3 counts only where nothing was mounted before.
      const auto before = services_.file_systems.Counters(id);
      LEAT_ASSIGN_OR_RETURN(directory, services_.file_systems.DirectoryOf(id, directory));
      counters_before_.emplace(id, before.value_or(FileSystemCounters{}));
    }
    std::error_code error;
    if (!fs::is_directory(directory, error)) {
      return Fail(ErrorCode::kNotFound, "DirectoryPath " + channel.file_system->directory_path +
                                            " is no directory of " + channel.file_system->file_system_id +
                                            " (looked at " + directory + ")");
    }
    if (!options_.sandbox) {
      fs::create_directory_symlink(directory, place, error);
      if (error) return Fail(ErrorCode::kIo, place + ": " + error.message());
      return {};
    }
    LEAT_RETURN_IF_ERROR(CreateDirectories(place));
    view_.read_only.emplace_back(directory, "/opt/ml/input/data/" + channel.name);
    return {};
  }

  Result<int> Train(const TrainerProgram& program) {
    ContractPaths paths;
    if (!options_.sandbox) paths.base = ml_;
    TrainerCommand command;
    command.arguments = program.arguments;
    command.environment =
        TrainerEnvironment(CallerEnvironment(), ContractEnvironment(job_, machine_, paths, program.name), paths);
    command.directory = ml_ + "/code";
    FileDescriptor filter;
    if (options_.sandbox) {
      LEAT_ASSIGN_OR_RETURN(filter, OpenTerminalFilter());
      command.inherited_fd = filter.get();
      view_.job_directory = ml_;
      view_.working_directory = paths.Code();
      const std::string hosts = HostsPath(options_.state_directory, job_.name);
      LEAT_ASSIGN_OR_RETURN(const bool has_hosts, WriteHostsFile(hosts));
      if (has_hosts) view_.hosts_file = hosts;
      command.arguments = SandboxArguments(view_, filter.valid() ? kInheritedFd : -1, program.arguments);
      command.in_sandbox = true;
    }
    FileDescriptor log(
        open(LogPath(options_.state_directory, job_.name).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (!log.valid()) return FailErrno(errno, LogPath(options_.state_directory, job_.name));
    if (StopLevelNow() > 0) return Fail(ErrorCode::kCancelled, "stopped");
    EnterStatus("Training", "Training image download completed. Training in progress.");
    training_started_ = SteadyClock::now();
    LEAT_ASSIGN_OR_RETURN(const auto process, TrainerProcess::Start(command));
    Record("training_started");
    const int exit_code = Watch(*process, log.get());
    training_ended_ = SteadyClock::now();
    Record("training_ended");
    if (process->exec_errno() != 0) {
      return FailErrno(process->exec_errno(),
                       "the script could not be started: " + program.arguments[0] + " in " + command.directory);
    }
    return exit_code;
  }

  // Reads the output until the last process is gone, and ends them when it is time.
  int Watch(TrainerProcess& process, int log) {
    LineSplitter lines;
    const auto line = [&](std::string_view text) { OnLine(text, log); };
    const auto deadline = SteadyClock::now() + std::chrono::seconds(job_.max_runtime_s);
    std::optional<SteadyClock::time_point> kill_at;
    std::vector<char> buffer(1u << 16);
    bool output_ended = false;  // the script may close its output and run on: it is watched to its end all the same
    for (;;) {
      pollfd waiting{output_ended ? process.status_fd() : process.output_fd(),
                     static_cast<short>(output_ended ? 0 : POLLIN), 0};
      const int ready = poll(&waiting, 1, kPollMs);
      if (ready > 0 && output_ended) break;  // the shim has hung up
      if (ready > 0) {
        const ssize_t got = read(process.output_fd(), buffer.data(), buffer.size());
        if (got == 0 || (got < 0 && errno != EINTR)) output_ended = true;
        if (got > 0) lines.Add({buffer.data(), static_cast<size_t>(got)}, line);
        StoreSamples();
      }
      const int level = StopLevelNow();
      const auto now = SteadyClock::now();
      if (level == 0 && !timed_out_ && now >= deadline) {
        timed_out_ = true;
        EnterStatus("Stopping", "Stopping the training job");
      }
      if ((level > 0 || timed_out_) && !kill_at) {
        process.Terminate();
        kill_at = now + options_.stop_grace;
      }
      if (level > 1 || (kill_at && now >= *kill_at)) process.Kill();
    }
    lines.Finish(line);
    StoreSamples();
    return process.Wait();
  }

  void OnLine(std::string_view text, int log) {
    metrics_->Read(text, WallTimeNs(), samples_);
    for (const auto& warning : metrics_->TakeWarnings()) Warn(warning);
    tail_.Add(text);
    // The file before the display, which may be slow.
    AppendToLog(text, log);
    services_.observer.OnLogLine(job_.name, text);
  }

  void AppendToLog(std::string_view text, int log) {
    if (log_bytes_ > kLogBytesMax) return;
    log_bytes_ += text.size() + 1;
    std::string line(text);
    if (log_bytes_ > kLogBytesMax) line = "[the log is longer than 1 GiB; the rest is not kept]";
    line += '\n';
    for (std::string_view rest = line; !rest.empty();) {
      const ssize_t wrote = write(log, rest.data(), rest.size());
      if (wrote < 0 && errno != EINTR) return;  // a full disk must not end the job; its output is still shown
      if (wrote > 0) rest.remove_prefix(static_cast<size_t>(wrote));
    }
  }

  void StoreSamples() {
    if (samples_.empty()) return;
    for (const auto& sample : samples_) {
      if (!first_metric_) first_metric_ = SteadyClock::now();
      if (sample.name == "first_batch_seconds" && !first_batch_s_) first_batch_s_ = sample.value;
      services_.observer.OnMetric(job_.name, sample.name, sample.value);
    }
    const Status status = services_.store.AddSamples(job_.name, samples_);
    if (!status) LogError("job " + job_.name + ": " + status.error().message);
    samples_.clear();
  }

  Status Upload(const Outcome& outcome) {
    const bool failed = outcome.status == "Failed";
    if (!failed && !stop_seen_ && !timed_out_) EnterStatus("Uploading", "Uploading generated training model");
    const std::string base = job_.output_path + "/" + job_.name + "/output/";
    const StopCheck given_up = [this] { return services_.stop.load() > 1; };
    const auto upload = [&](const std::string& directory, const std::string& name) -> Result<std::string> {
      auto uri =
          UploadDirectory(services_.repositories, ml_ + directory, base + name, job_.compress_artifacts, given_up);
      if (!uri) return Fail(uri.error().code, "uploading " + base + name + ": " + uri.error().message);
      return uri;
    };
    Status output;
    const VolumeParts present = PartsWithEntries(options_.state_directory, job_.name);
    if (present.output_data) {
      const auto uri = upload("/output/data", job_.compress_artifacts ? "output" : "data");
      if (!uri) output = Fail(uri.error());
      kept_.output_data = !uri;
    }
    // The output of a failed job is worth most of all, but its failure is what must be told.
    if (failed) {
      if (!output) Warn(output.error().message + "; " + KeptText());
      return {};
    }
    const auto model = upload("/model", "model");
    kept_.model = !model && present.model;
    if (model) Record("artifacts", {{"model", *model}});
    if (!model) return Fail(model.error());
    return output;
  }

  // Where what could not be uploaded is, for it is the only copy.
  std::string KeptText() const { return jobs::KeptText(options_.state_directory, job_.name, kept_); }

  // The volume of a job ends with it, but for what exists nowhere else; the log stays.
  void Clean() {
    const auto checkpoints = KeepCheckpoints(options_.state_directory, job_.name, job_.checkpoint_path);
    if (!checkpoints) {
      Warn(checkpoints.error().message + "; the job's volume is left as it is");
      return;
    }
    if (!checkpoints->empty()) Warn("checkpoints are kept in " + *checkpoints);
    const Status removed = RemoveVolume(options_.state_directory, job_.name, kept_);
    if (!removed) Warn(removed.error().message);
  }

  void RecordAccounting() {
    FileSystemCounters total = downloads_;
    for (const auto& [id, before] : counters_before_) {
      const auto after = services_.file_systems.Counters(id);
      if (!after) continue;
      for (size_t i = 0; i < total.requests.size(); ++i) {
        // Counters begin anew with a mount.
        total.requests[i] += after->requests[i] - std::min(before.requests[i], after->requests[i]);
      }
      total.bytes_received += after->bytes_received - std::min(before.bytes_received, after->bytes_received);
    }
    const auto seconds = [](SteadyClock::duration duration) { return std::chrono::duration<double>(duration).count(); };
    uint64_t requests = 0;
    Json by_kind = Json::object();
    for (size_t i = 0; i < total.requests.size(); ++i) {
      requests += total.requests[i];
      by_kind[std::string(env::kRequestKindNames[i])] = total.requests[i];
    }
    Json accounting = {{"S3Requests", requests},
                       {"S3RequestsByKind", by_kind},
                       {"S3Bytes", total.bytes_received},
                       {"SecondsInTotal", seconds(SteadyClock::now() - submitted_)}};
    if (training_started_) {
      accounting["SecondsToStart"] = seconds(*training_started_ - submitted_);
      if (training_ended_) accounting["SecondsOfTraining"] = seconds(*training_ended_ - *training_started_);
      if (first_batch_s_ && std::isfinite(*first_batch_s_)) {
        accounting["SecondsToFirstBatch"] = seconds(*training_started_ - submitted_) + *first_batch_s_;
      }
      if (first_metric_) accounting["SecondsToFirstMetric"] = seconds(*first_metric_ - submitted_);
    }
    Record("accounting", std::move(accounting));
  }

  const TrainingJob& job_;
  const RunOptions& options_;
  const RunServices& services_;
  std::unique_ptr<MetricReader> metrics_;
  const std::string directory_, ml_;
  const StopCheck stopped_ = [this] { return StopLevelNow() > 0; };
  Machine machine_;
  SandboxView view_;
  SteadyClock::time_point submitted_, last_stop_poll_{};
  std::optional<SteadyClock::time_point> training_started_, training_ended_, first_metric_;
  std::optional<double> first_batch_s_;
  bool stop_requested_ = false, stop_seen_ = false, timed_out_ = false;
  FileSystemCounters downloads_;
  std::map<std::string, FileSystemCounters> counters_before_;
  std::vector<MetricSample> samples_;
  LogTail tail_;
  VolumeParts kept_;
  uint64_t log_bytes_ = 0;
};

}  // namespace

std::string LogPath(const std::string& state_directory, const std::string& job) {
  return state_directory + "/jobs/" + job + "/log";
}

Result<JobState> RunTrainingJob(const TrainingJob& job, const RunOptions& options, const RunServices& services) {
  LEAT_ASSIGN_OR_RETURN(auto metrics, MetricReader::Make(job.metrics));
  if (options.sandbox) LEAT_RETURN_IF_ERROR(CheckSandbox());
  return TrainingRun(job, options, services, std::move(metrics)).Run();
}

}  // namespace leat::jobs
