// SPDX-License-Identifier: Apache-2.0
// The verbs of the control socket: dispatch, and those on paths.
#include <unistd.h>

#include <thread>

#include "base/log.h"
#include "cli/daemon.h"
#include "cli/version.h"
#include "control/protocol.h"
#include "fs/ops/measure.h"
#include "fs/ops/resolve.h"

namespace leat::cli {
namespace {

using control::BoolMember;
using control::StringMember;

constexpr std::chrono::milliseconds kProgressEvery{1000};
constexpr std::chrono::milliseconds kMeasureStep{500};
// Looked up before a restore in the background is said to have begun; each may be a LIST. The rest is left to the log.
constexpr size_t kCheckedPathsMax = 1000;
constexpr std::chrono::seconds kCheckWait{3};

Result<std::vector<std::string>> PathsMember(const nlohmann::json& request, bool may_be_none = false) {
  std::vector<std::string> paths;
  const auto member = request.find("paths");
  if (member == request.end() || !member->is_array() || (member->empty() && !may_be_none)) {
    return Fail(ErrorCode::kInvalidArgument, "the request's \"paths\" must be a list of paths");
  }
  for (const auto& path : *member) {
    if (!path.is_string()) return Fail(ErrorCode::kInvalidArgument, "the request's \"paths\" must be text");
    paths.push_back(path.get<std::string>());
  }
  return paths;
}

// Waits for the answer, telling the client every second how far it is. Gives up when the client leaves or the file
// system closes; the callback then finds nobody waiting.
template <class T>
Result<T> WaitTelling(Pending<T>& pending, control::Connection& connection, const MountedFileSystem& entry,
                      const std::function<nlohmann::json()>& progress) {
  for (;;) {
    if (auto result = pending.WaitFor(kProgressEvery)) return *result;
    if (entry.closing) return Fail(ErrorCode::kCancelled, entry.mountpoint + " is being unmounted");
    if (!connection.SendProgress(progress()) || connection.PeerGone())
      return Fail(ErrorCode::kCancelled, "the caller left");
  }
}

nlohmann::json ProgressOf(const hydrate::HydrationProgress& progress) {
  return {{"files_done", progress.objects_done.load()},
          {"bytes_done", progress.bytes_done.load()},
          {"files_failed", progress.objects_failed.load()},
          {"files_skipped", progress.objects_skipped.load()}};
}

}  // namespace

Result<Json> Daemon::Handle(const Json& request, control::Connection& connection) {
  LEAT_ASSIGN_OR_RETURN(const std::string verb, StringMember(request, "verb"));
  {
    std::lock_guard lock(mutex_);
    if (verb == "mount") had_request_ = true;
  }
  if (verb == "hello") return Json{{"pid", getpid()}, {"version", kVersion}};
  if (verb == "mount") return HandleMount(request, connection);
  if (verb == "unmount") return HandleUnmount(request);
  if (verb == "status") return HandleStatus(request);
  if (verb == "restore") return HandleRestore(request, connection);
  if (verb == "release") return HandleRelease(request, connection);
  if (verb == "state") return HandleState(request, connection);
  if (verb == "import") return HandleImport(request, connection);
  if (verb == "lease") return HandleLease(request, connection);
  if (verb == "lease_owner") return HandleLeaseOwner(request, connection);
  if (verb == "unlease") return HandleUnlease(request, connection);
  return Fail(ErrorCode::kNotSupported, "this daemon (version " + std::string(kVersion) + ") does not know the verb '" +
                                            EscapeForDisplay(verb) + "'; it may be older than the command");
}

Result<Daemon::Entry> Daemon::Find(const Json& request) {
  LEAT_ASSIGN_OR_RETURN(const std::string named, StringMember(request, "file_system", ""));
  LEAT_ASSIGN_OR_RETURN(const std::string mountpoint, StringMember(request, "mountpoint", ""));
  std::lock_guard lock(mutex_);
  for (const auto& [id, entry] : entries_) {
    if (entry->state != MountedFileSystem::State::kMounted) continue;
    if (!named.empty() ? id == named || entry->settings.name == named : entry->mountpoint == mountpoint) return entry;
  }
  return Fail(ErrorCode::kNotFound, "no file system is mounted " +
                                        (named.empty() ? "at " + mountpoint : "as " + named) +
                                        " (leat status lists them)");
}

Result<Daemon::Use> Daemon::FindForUse(const Json& request) {
  LEAT_ASSIGN_OR_RETURN(Entry entry, Find(request));
  std::lock_guard lock(mutex_);
  if (entry->state != MountedFileSystem::State::kMounted) {
    return Fail(ErrorCode::kNotFound, entry->mountpoint + " is being unmounted");
  }
  ++entry->users;
  return Use(*this, std::move(entry));
}

Status Daemon::CheckPaths(MountedFileSystem& entry, const std::vector<std::string>& paths,
                          control::Connection& connection) {
  Status first;
  // Nothing is told to the caller between quick look-ups, and it does not wait for ever.
  const auto enough = clock_->Now() + kCheckWait;
  for (size_t i = 0; i < paths.size() && i < kCheckedPathsMax && clock_->Now() < enough; ++i) {
    auto pending = Pending<catalog::Inode>::Make();
    fs::ResolvePath(*entry.file_system, paths[i], Pending<catalog::Inode>::CallbackOf(pending));
    const auto inode = WaitTelling<catalog::Inode>(*pending, connection, entry, [] { return Json::object(); });
    if (inode) continue;
    if (inode.error().code == ErrorCode::kCancelled) return Fail(inode.error());
    if (first) first = Fail(inode.error());
  }
  return first;
}

Result<Json> Daemon::HandleRestore(const Json& request, control::Connection& connection) {
  LEAT_ASSIGN_OR_RETURN(const bool plan, BoolMember(request, "plan", false));
  if (plan) return HandlePlan(request, connection);
  LEAT_ASSIGN_OR_RETURN(const Use use, FindForUse(request));
  fs::RestoreRequest wanted;
  LEAT_ASSIGN_OR_RETURN(wanted.paths, PathsMember(request));
  LEAT_ASSIGN_OR_RETURN(const bool wait, BoolMember(request, "wait", false));
  auto progress = std::make_shared<hydrate::HydrationProgress>();
  if (!wait) {
    fs::Restore(*use->file_system, wanted, progress, [name = use->settings.id](const Status& status) {
      if (!status) LogWarning("restore on " + name + ": " + status.error().message);
    });
    LEAT_RETURN_IF_ERROR(CheckPaths(*use, wanted.paths, connection));  // the others are restored all the same
    return Json{{"started", true}, {"paths", wanted.paths.size()}};
  }
  fs::Measure measure(*use->file_system, wanted.paths);
  auto pending = Pending<void>::Make();
  fs::Restore(*use->file_system, std::move(wanted), progress, Pending<void>::CallbackOf(pending));
  const Status status = WaitTelling<void>(*pending, connection, *use, [&] {
    Json told = ProgressOf(*progress);
    // Once contents arrive, all names below the paths are known.
    if (progress->bytes_done == 0) return told;
    if (const auto contents = measure.Step(kMeasureStep)) {
      told["files"] = contents->files;
      told["bytes"] = contents->bytes;
    }
    return told;
  });
  if (!status) progress->cancelled = true;
  if (!status) return Fail(status.error());
  return ProgressOf(*progress);
}

// {"plan": true, "paths": [...], "more": bool, "wait": bool}: the parts of a plan, over one connection, in order. An
// answer tells which paths of its part name no file, by their place; `wait` is of the last part.
Result<Json> Daemon::HandlePlan(const Json& request, control::Connection& connection) {
  LEAT_ASSIGN_OR_RETURN(const Use use, FindForUse(request));
  LEAT_ASSIGN_OR_RETURN(std::vector<std::string> paths, PathsMember(request, true));
  LEAT_ASSIGN_OR_RETURN(const bool more, BoolMember(request, "more", false));
  LEAT_ASSIGN_OR_RETURN(const bool wait, BoolMember(request, "wait", false));
  std::shared_ptr<IncomingPlan> plan;
  {
    std::lock_guard lock(mutex_);
    if (auto found = plans_.extract(connection.id())) plan = std::move(found.mapped());
  }
  if (plan && plan->entry.get() != &*use) {
    plan->plan->Cancel();
    return Fail(ErrorCode::kInvalidArgument,
                use->mountpoint + " has been mounted anew since the plan began; start it again");
  }
  if (!plan) {
    plan = std::make_shared<IncomingPlan>();
    plan->entry = use.entry();
    plan->progress = std::make_shared<hydrate::HydrationProgress>();
    plan->done = Pending<void>::Make();
    plan->plan =
        fs::RestorePlan::Start(*use->file_system, plan->progress,
                               [name = use->settings.id, tell = Pending<void>::CallbackOf(plan->done)](Status status) {
                                 if (!status && status.error().code != ErrorCode::kCancelled) {
                                   LogWarning("restore of a plan on " + name + ": " + status.error().message);
                                 }
                                 tell(std::move(status));
                               });
  }
  const auto progress = [&] {
    Json told = ProgressOf(*plan->progress);
    told["files"] = plan->files;
    if (!more) told["bytes"] = plan->bytes;  // all of it, for the time that is left
    return told;
  };
  while (plan->plan->FilesWaiting() > fs::RestorePlan::kFilesWaitingMax) {
    std::this_thread::sleep_for(kProgressEvery);
    if (!use->closing && connection.SendProgress(progress()) && !connection.PeerGone()) continue;
    plan->plan->Cancel();
    return Fail(ErrorCode::kCancelled, use->mountpoint + " is being unmounted, or the caller left");
  }
  auto told = Pending<fs::PlanAnswer>::Make();
  plan->plan->Add(std::move(paths), more, Pending<fs::PlanAnswer>::CallbackOf(told));
  const auto answer = WaitTelling<fs::PlanAnswer>(*told, connection, *use, progress);
  if (!answer) {
    plan->plan->Cancel();
    return Fail(answer.error());
  }
  plan->files += answer->files;
  plan->bytes += answer->bytes;
  Status failed;  // of what the plan names; told beside the mistakes of its last part
  Json mistakes = Json::array();
  for (const auto& mistake : answer->mistakes)
    mistakes.push_back({{"index", mistake.index}, {"message", mistake.message}});
  if (more) {
    std::lock_guard lock(mutex_);
    plans_[connection.id()] = plan;
  } else if (wait) {
    failed = WaitTelling<void>(*plan->done, connection, *use, progress);
    if (!failed) plan->plan->Cancel();
  }
  Json result = progress();
  if (!failed) result["failed"] = failed.error().message;
  result["mistaken"] = answer->mistaken;
  result["mistakes"] = std::move(mistakes);
  result["paths"] = answer->files;
  return result;
}

Result<Json> Daemon::HandleRelease(const Json& request, control::Connection& connection) {
  LEAT_ASSIGN_OR_RETURN(const Use use, FindForUse(request));
  LEAT_ASSIGN_OR_RETURN(const std::string path, StringMember(request, "path"));
  auto pending = Pending<uint64_t>::Make();
  fs::Release(*use->file_system, path, Pending<uint64_t>::CallbackOf(pending));
  LEAT_ASSIGN_OR_RETURN(const uint64_t bytes,
                        WaitTelling<uint64_t>(*pending, connection, *use, [] { return Json::object(); }));
  return Json{{"bytes_released", bytes}};
}

Result<Json> Daemon::HandleState(const Json& request, control::Connection& connection) {
  LEAT_ASSIGN_OR_RETURN(const Use use, FindForUse(request));
  LEAT_ASSIGN_OR_RETURN(const std::string path, StringMember(request, "path"));
  auto pending = Pending<fs::HsmState>::Make();
  fs::State(*use->file_system, path, Pending<fs::HsmState>::CallbackOf(pending));
  LEAT_ASSIGN_OR_RETURN(const fs::HsmState state,
                        WaitTelling<fs::HsmState>(*pending, connection, *use, [] { return Json::object(); }));
  return Json{{"exists", state.exists},
              {"archived", state.archived},
              {"released", state.released},
              {"lost", state.lost},
              {"dirty", state.dirty},
              {"directory", state.is_directory},
              {"restored_percent", state.restored_percent}};
}

Result<Json> Daemon::HandleImport(const Json& request, control::Connection& connection) {
  LEAT_ASSIGN_OR_RETURN(const Use use, FindForUse(request));
  LEAT_ASSIGN_OR_RETURN(const std::string path, StringMember(request, "path"));
  LEAT_ASSIGN_OR_RETURN(const bool posix, BoolMember(request, "posix", false));
  auto pending = Pending<void>::Make();
  fs::Import(*use->file_system, path, posix, Pending<void>::CallbackOf(pending));
  const auto& progress = fs::ImportProgressOf(*use->file_system);
  LEAT_RETURN_IF_ERROR(WaitTelling<void>(*pending, connection, *use, [&] {
    return Json{{"objects", progress.objects.load()}, {"pages", progress.pages.load()}};
  }));
  const auto totals = use->file_system->Statistics().totals;
  return Json{{"files", totals.files}, {"directories", totals.directories}, {"bytes", totals.bytes}};
}

}  // namespace leat::cli
