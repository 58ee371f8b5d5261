// SPDX-License-Identifier: Apache-2.0
#include "jobs/checkpoint_sync.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "jobs/stoppable.h"
#include "jobs/transfer.h"

namespace leat::jobs {
namespace {

constexpr unsigned kConnections = 4;     // parts of one upload in flight
constexpr unsigned kLooksUntilGone = 3;  // a file that is written anew is uploaded in the second after the change
constexpr unsigned kFlushTriesMax = 3;   // of what changes under it
constexpr size_t kFailuresShown = 3;     // then a count
constexpr size_t kReadBytes = 1u << 20;
constexpr std::chrono::seconds kRecordEvery{10};  // in a long round

std::string Shown(const std::string& path) { return "'" + EscapeForDisplay(path) + "'"; }

bool Agrees(const FileVersion& known, const FileVersion& now) {
  return known.size_bytes == now.size_bytes && known.modified_ns == now.modified_ns &&
         (known.inode == 0 || known.inode == now.inode);
}

}  // namespace

CheckpointSync::CheckpointSync(CheckpointPlace place, CheckpointTarget target, Repository repository,
                               std::chrono::milliseconds interval)
    : place_(std::move(place)),
      target_(std::move(target)),
      repository_(std::move(repository)),
      interval_(interval),
      stop_check_([this] { return ShallStop(); }) {}

Result<std::unique_ptr<CheckpointSync>> CheckpointSync::Start(RepositoryFactory& repositories,
                                                              const CheckpointPlace& place,
                                                              std::chrono::milliseconds interval) {
  LEAT_RETURN_IF_ERROR(OpenCheckpointDirectory(place.directory));
  CheckpointTarget target = TargetOf(place.uri);
  LEAT_ASSIGN_OR_RETURN(Repository repository, OpenCheckpointTarget(repositories, target, kConnections));
  auto sync =
      std::unique_ptr<CheckpointSync>(new CheckpointSync(place, std::move(target), std::move(repository), interval));
  sync->boot_id_ = ThisBootId();
  if (!place.record_path.empty()) {
    auto record = ReadCheckpointRecord(place.record_path);
    // A damaged one is replaced by the next.
    if (record && record->uri == sync->target_.Uri()) {
      sync->boot_id_ = record->boot_id;
      for (auto& [path, file] : record->files) {
        sync->known_[path] = {{file.size_bytes, file.modified_ns, 0}, std::move(file.etag)};
      }
    }
  }
  sync->learned_ = sync->known_.empty();
  sync->thread_ = std::thread([started = sync.get()] {
    pthread_setname_np(pthread_self(), "leat-checkpoint");
    started->Work();
  });
  return sync;
}

CheckpointSync::~CheckpointSync() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Status CheckpointSync::Flush(const StopCheck& stopped) {
  std::unique_lock lock(mutex_);
  const uint64_t number = ++flushes_asked_;
  changed_.notify_all();
  while (!changed_.wait_for(lock, kStopPoll, [&] { return flushes_done_ >= number; })) {
    lock.unlock();
    const bool give_up = stopped && stopped();
    lock.lock();
    if (give_up && flushes_done_ < number) flush_cancelled_ = true;
  }
  return flush_status_;
}

CheckpointProgress CheckpointSync::progress() const {
  std::lock_guard lock(mutex_);
  return progress_;
}

std::optional<Error> CheckpointSync::TakeFailure() {
  std::lock_guard lock(mutex_);
  return std::exchange(untold_, std::nullopt);
}

bool CheckpointSync::ShallStop() const {
  std::lock_guard lock(mutex_);
  return stopping_ || flush_cancelled_;
}

void CheckpointSync::Work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const uint64_t asked = flushes_asked_;
    const bool is_flush = asked > flushes_done_;
    lock.unlock();
    Status status;
    if (is_flush) {
      status = FlushOnThread();
    } else {
      Tell(RunRound(false));
    }
    lock.lock();
    // A round of before that was given up for a flush ends here too; the flush, not begun, then ends at once.
    if (is_flush) {
      flushes_done_ = asked;
      flush_status_ = std::move(status);
      flush_cancelled_ = false;
      changed_.notify_all();
    }
    changed_.wait_for(lock, interval_, [&] { return stopping_ || flushes_asked_ > flushes_done_; });
  }
}

Status CheckpointSync::FlushOnThread() {
  Round round;
  for (unsigned tries = 0; tries < kFlushTriesMax; ++tries) {
    if (ShallStop()) return Fail(ErrorCode::kCancelled, "stopped");
    round = RunRound(true);
    Tell(round);
    if (round.settled || !round.failures.empty()) break;
  }
  if (ShallStop()) return Fail(ErrorCode::kCancelled, "stopped");
  if (round.failures.empty() && !round.settled) {
    return Fail(ErrorCode::kBusy, "files of " + place_.directory +
                                      " come and go all the time that they are copied to " + place_.uri +
                                      "; flush again when the script has ended");
  }
  if (round.failures.empty()) return {};
  std::string text;
  size_t shown = 0;
  for (const auto& [path, error] : round.failures) {
    if (++shown > kFailuresShown) break;
    text += (shown > 1 ? "; " : "") + error.message;
  }
  if (round.failures.size() > kFailuresShown) {
    text += "; and " + std::to_string(round.failures.size() - kFailuresShown) + " more";
  }
  return Fail(round.failures.begin()->second.code,
              "checkpoints of " + place_.directory + " are not all in " + place_.uri + ": " + text);
}

CheckpointSync::Round CheckpointSync::RunRound(bool all) {
  Round round;
  round.all = all;
  LookAndCopy(round);
  SaveRecord();
  return round;
}

void CheckpointSync::LookAndCopy(Round& round) {
  if (const Status learned = Learn(); !learned) {
    round.failures[""] = {learned.error().code, place_.uri + " cannot be listed: " + learned.error().message};
    return;
  }
  // Opened anew each time: the script may have replaced it. While it is not there, nothing counts as deleted.
  const auto directory = OpenCheckpointDirectory(place_.directory);
  if (!directory) {
    round.failures[""] = directory.error();
    return;
  }
  auto view = ViewCheckpoints(directory->get());
  if (!view) {
    round.failures[""] = view.error();
    return;
  }
  if (view->incomplete) {
    round.failures[""] = {view->incomplete->code, place_.directory + ": " + view->incomplete->message};
  }
  {
    std::lock_guard lock(mutex_);
    progress_.skipped = view->skipped;
  }
  if (!CopyChanged(directory->get(), *view, round)) return;  // stopped
  DeleteGone(*view, round);
  last_seen_ = std::move(view->files);
}

Status CheckpointSync::Learn() {
  if (learned_) return {};
  std::map<std::string, std::string> etags;
  env::ListRequest request;
  request.prefix = target_.prefix;
  do {
    LEAT_ASSIGN_OR_RETURN(env::ListPage page, AwaitUnlessStopped<env::ListPage>(stop_check_, [&](auto done) {
                            repository_.store->List(request, std::move(done));
                          }));
    for (auto& object : page.objects) {
      if (object.key.starts_with(target_.prefix)) {
        etags[object.key.substr(target_.prefix.size())] = std::move(object.etag);
      }
    }
    request.continuation_token = std::move(page.next_token);
  } while (!request.continuation_token.empty());
  // What is gone there or of somebody else by now is not ours: a file of that name is uploaded again.
  std::erase_if(known_, [&](const auto& entry) {
    const auto found = etags.find(entry.first);
    return found == etags.end() || found->second != entry.second.etag;
  });
  learned_ = true;
  return {};
}

// Fails only when it is stopped.
Status CheckpointSync::CopyChanged(int directory_fd, const CheckpointView& view, Round& round) {
  for (const auto& [path, version] : view.files) {
    const auto known = known_.find(path);
    if (known != known_.end() && Agrees(known->second.version, version)) {
      known->second.version = version;
      continue;
    }
    const auto seen = last_seen_.find(path);
    if (!round.all && (seen == last_seen_.end() || seen->second != version)) {
      ++round.pending;
      continue;
    }
    const auto uploaded = Upload(directory_fd, path, round.all);
    if (ShallStop()) return Fail(ErrorCode::kCancelled, "stopped");
    if (!uploaded) {
      round.failures[path] = {uploaded.error().code,
                              Shown(path) + " could not be copied to " + place_.uri + ": " + uploaded.error().message};
    } else if (*uploaded == Uploaded::kChanged && round.all) {
      round.failures[path] = {ErrorCode::kBusy, Shown(path) + " was written to all the time that it was copied"};
    } else if (*uploaded != Uploaded::kYes) {
      round.settled = false;
    }
    if (!uploaded || *uploaded != Uploaded::kYes) ++round.pending;
    if (std::chrono::steady_clock::now() - record_saved_ > kRecordEvery) SaveRecord();
  }
  return {};
}

Result<CheckpointSync::Uploaded> CheckpointSync::Upload(int directory_fd, const std::string& path, bool all) {
  auto uploaded = UploadOnce(directory_fd, path);
  for (unsigned tries = 1; all && uploaded && *uploaded == Uploaded::kChanged && tries < kFlushTriesMax; ++tries) {
    uploaded = UploadOnce(directory_fd, path);
  }
  return uploaded;
}

Result<CheckpointSync::Uploaded> CheckpointSync::UploadOnce(int directory_fd, const std::string& path) {
  const auto opened = OpenCheckpointFile(directory_fd, path);
  if (!opened && opened.error().code == ErrorCode::kNotFound) return Uploaded::kGone;
  if (!opened) return Fail(opened.error());
  const auto writer = WriteObject(repository_, target_.prefix + path, stop_check_);
  std::vector<std::byte> buffer(std::min<uint64_t>(kReadBytes, opened->version.size_bytes + 1));
  for (uint64_t at = 0;;) {
    const ssize_t got = pread(opened->file.get(), buffer.data(), buffer.size(), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno(errno, "it cannot be read");
    if (got == 0) break;
    at += static_cast<uint64_t>(got);
    if (at > opened->version.size_bytes) return Uploaded::kChanged;
    LEAT_RETURN_IF_ERROR(writer->Write({buffer.data(), static_cast<size_t>(got)}));
    if (ShallStop()) return Fail(ErrorCode::kCancelled, "stopped");
  }
  // Nothing is visible in S3 yet. What is renamed over the path or written from now on is another version, which the
  // next round sees.
  LEAT_ASSIGN_OR_RETURN(const FileVersion after, VersionOf(opened->file.get()));
  if (after != opened->version) return Uploaded::kChanged;
  LEAT_ASSIGN_OR_RETURN(std::string etag, writer->Finish());
  known_[path] = {after, std::move(etag)};
  record_is_stale_ = true;
  std::lock_guard lock(mutex_);
  ++progress_.uploads;
  progress_.upload_bytes += after.size_bytes;
  return Uploaded::kYes;
}

void CheckpointSync::DeleteGone(const CheckpointView& view, Round& round) {
  if (view.incomplete) return;
  std::vector<std::string> gone;
  for (const auto& [path, known] : known_) {
    if (view.files.contains(path)) {
      missing_looks_.erase(path);
    } else if (++missing_looks_[path] >= kLooksUntilGone || round.all) {
      gone.push_back(path);
    }
  }
  // While a new checkpoint cannot go up, the old one stays.
  if (!round.failures.empty() || (round.all && !round.settled)) return;
  for (const auto& path : gone) {
    if (const Status deleted = DeleteObject(path); !deleted) {
      round.failures[path] = {deleted.error().code,
                              Shown(path) + " could not be deleted in " + place_.uri + ": " + deleted.error().message};
    } else {
      known_.erase(path);
      missing_looks_.erase(path);
      record_is_stale_ = true;
    }
    if (ShallStop()) return;
  }
}

Status CheckpointSync::DeleteObject(const std::string& path) {
  const std::string key = target_.prefix + path;
  const auto object =
      AwaitUnlessStopped<ObjectInfo>(stop_check_, [&](auto done) { repository_.store->Head(key, std::move(done)); });
  if (!object && object.error().code == ErrorCode::kNotFound) return {};
  if (!object) return Fail(object.error());
  if (object->etag != known_.at(path).etag) return {};  // somebody else's by now
  LEAT_RETURN_IF_ERROR(
      AwaitUnlessStopped<void>(stop_check_, [&](auto done) { repository_.store->Delete(key, std::move(done)); }));
  std::lock_guard lock(mutex_);
  ++progress_.deletes;
  return {};
}

void CheckpointSync::SaveRecord() {
  record_saved_ = std::chrono::steady_clock::now();
  if (!record_is_stale_ || place_.record_path.empty()) return;
  CheckpointRecord record{boot_id_, target_.Uri(), {}};
  for (const auto& [path, known] : known_) {
    record.files[path] = {known.version.size_bytes, known.version.modified_ns, known.etag};
  }
  if (const Status saved = WriteCheckpointRecord(place_.record_path, record); !saved) {
    // No checkpoint is the worse for it, so it does not fail a flush.
    if (!record_failed_) LogWarning("the record of checkpoints cannot be written: " + saved.error().message);
    record_failed_ = true;
    return;
  }
  record_is_stale_ = record_failed_ = false;
}

void CheckpointSync::Tell(const Round& round) {
  if (ShallStop()) return;  // what was given up did not fail
  const Error* first = nullptr;
  size_t fresh = 0;
  for (const auto& [path, error] : round.failures) {
    if (failing_.contains(path)) continue;
    if (fresh++ == 0) first = &error;
  }
  std::lock_guard lock(mutex_);
  progress_.pending = round.pending;
  progress_.failing = round.failures.size();
  if (first != nullptr) {
    std::string text = first->message;
    if (fresh > 1) text += "; and " + std::to_string(fresh - 1) + " more";
    untold_ = Error{first->code, text + "; it is tried again as long as the job runs"};
  }
  failing_ = round.failures;
}

}  // namespace leat::jobs
