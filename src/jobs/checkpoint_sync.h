// SPDX-License-Identifier: Apache-2.0
// A job's CheckpointConfig (SageMaker's developer guide, "Use checkpoints"): what is below its S3Uri is copied to the
// checkpoint directory before an attempt; while the script runs, new and changed files go to S3 and what the script
// deletes is deleted there. Objects that others add later are not copied in.
//
//   LEAT_ASSIGN_OR_RETURN(const auto restored, CheckpointSync::Restore(repositories, place, 16, stopped));
//   LEAT_ASSIGN_OR_RETURN(auto sync, CheckpointSync::Start(repositories, place));
//   ... the script runs; sync->TakeFailure() says what to warn of ...
//   const Status flushed = sync->Flush(stopped);
//
// A file goes up once two looks at it, an interval apart, saw the same size and time of change, and the upload counts
// only when it kept them until its last byte was read: no torn content becomes visible. A file that is gone in three
// looks is deleted, and only after everything that was ready in that round is in S3: a rotation of checkpoints leaves
// one there at any time. Deleted are objects that this job put or restored, never those that somebody has replaced
// since. Each name is copied alone; several hosts with one S3Uri overwrite each other's files of the same name.
//
// Threads: one of its own ("leat-checkpoint"), which does everything but Restore; the members may be called from any
// thread. Memory: at most five parts of a multipart upload (80 MiB; more beyond 16 GiB a file).
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "jobs/checkpoint_files.h"
#include "jobs/checkpoint_record.h"
#include "jobs/services.h"

namespace leat::jobs {

struct CheckpointPlace {
  std::string uri;        // "s3://bucket/prefix" or "file:///directory", with or without a last slash
  std::string directory;  // of this machine; exists
  // A file of ours, not below the directory (checkpoint_record.h), so that a supervisor that comes back, and the next
  // attempt on this machine, copy only what has changed. Empty: none is kept; each Start copies every file once, and
  // what was restored is never deleted in S3.
  std::string record_path;
};

struct RestoredCheckpoints {
  uint64_t objects = 0, bytes = 0;    // downloaded
  uint64_t kept = 0;                  // files that were here already, in that version or a newer one
  std::vector<std::string> warnings;  // objects that can be no file here; the first few, then how many more
};

struct CheckpointProgress {
  uint64_t uploads = 0, upload_bytes = 0, deletes = 0;  // done since Start
  uint64_t pending = 0;  // files that the latest round saw changed and did not copy: not still yet, or failed
  uint64_t failing = 0;  // of those and of the deletes, the ones that failed
  uint64_t skipped = 0;  // entries that are never copied (checkpoint_files.h)
};

// Where the checkpoints of a URI lie: the repository to open, and what comes before a path in a key.
struct CheckpointTarget {
  std::string repository, prefix;

  std::string Uri() const { return repository + "/" + prefix; }
};
CheckpointTarget TargetOf(const std::string& uri);
// Opens it; a directory is made when it is not there.
Result<Repository> OpenCheckpointTarget(RepositoryFactory& repositories, const CheckpointTarget& target,
                                        unsigned connections);

class CheckpointSync {
 public:
  // Every object below the URI into the directory, `connections` at a time (at most 64), each visible only when it is
  // whole, with S3's time of change. None is fine. A file that the record knows stays as it is while S3 has the version
  // of the record: then it is the same, or newer than what could be uploaded; after a restart of the machine S3's
  // version is taken. kCancelled: stopped; run it again.
  static Result<RestoredCheckpoints> Restore(RepositoryFactory& repositories, const CheckpointPlace& place,
                                             unsigned connections, const StopCheck& stopped);

  // Looks at the directory every `interval`. Fails when the directory or the bucket cannot be opened; does not wait for
  // S3. `repositories` is used in this call only.
  static Result<std::unique_ptr<CheckpointSync>> Start(
      RepositoryFactory& repositories, const CheckpointPlace& place,
      std::chrono::milliseconds interval = std::chrono::milliseconds(5000));
  // Stops at once and uploads nothing more; what was not flushed is uploaded by the next sync. Waits for a server only
  // to abort a multipart upload, up to ten seconds.
  ~CheckpointSync();
  CheckpointSync(const CheckpointSync&) = delete;
  CheckpointSync& operator=(const CheckpointSync&) = delete;

  // What has changed until now is in S3 when this succeeds, deletes included, also what was not still yet. Fails with
  // what could not be copied; the sync goes on and may be flushed again. `stopped` is asked on the caller's thread, and
  // gives the uploads of the flush up (kCancelled).
  Status Flush(const StopCheck& stopped);

  CheckpointProgress progress() const;
  // What failed, each failure given out once and not again while it lasts. The sync tries on in any case.
  std::optional<Error> TakeFailure();

 private:
  struct Known {
    FileVersion version;  // inode 0: of the record, which has none
    std::string etag;
  };
  using Failures = std::map<std::string, Error>;  // by path; "": not of one file
  struct Round {
    bool all = false;      // a flush: also what is not still yet
    bool settled = true;   // nothing changed or went away under it
    uint64_t pending = 0;  // left for a later round
    Failures failures;
  };
  enum class Uploaded { kYes, kChanged, kGone };

  CheckpointSync(CheckpointPlace place, CheckpointTarget target, Repository repository,
                 std::chrono::milliseconds interval);
  void Work();
  // The failures of a flush, in words.
  Status FlushOnThread();
  Round RunRound(bool all);
  void LookAndCopy(Round& round);
  // Compares what the record says with what is in S3. Once.
  Status Learn();
  Status CopyChanged(int directory_fd, const CheckpointView& view, Round& round);
  Result<Uploaded> Upload(int directory_fd, const std::string& path, bool all);
  Result<Uploaded> UploadOnce(int directory_fd, const std::string& path);
  void DeleteGone(const CheckpointView& view, Round& round);
  Status DeleteObject(const std::string& path);
  void SaveRecord();
  void Tell(const Round& round);
  bool ShallStop() const;

  const CheckpointPlace place_;
  const CheckpointTarget target_;
  const Repository repository_;
  const std::chrono::milliseconds interval_;
  StopCheck stop_check_;  // for what waits for S3 on the thread

  // The thread's own.
  std::map<std::string, Known> known_;            // what is in S3 by us
  std::map<std::string, FileVersion> last_seen_;  // by the round before
  std::map<std::string, unsigned> missing_looks_;
  std::string boot_id_;  // of the record
  bool learned_ = false, record_is_stale_ = false, record_failed_ = false;
  std::chrono::steady_clock::time_point record_saved_;
  Failures failing_;

  mutable std::mutex mutex_;  // protects everything below
  std::condition_variable changed_;
  bool stopping_ = false, flush_cancelled_ = false;
  uint64_t flushes_asked_ = 0, flushes_done_ = 0;
  bool flushing_ = false;
  Status flush_status_;
  CheckpointProgress progress_;
  std::optional<Error> untold_;

  std::thread thread_;
};

}  // namespace leat::jobs
