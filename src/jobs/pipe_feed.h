// SPDX-License-Identifier: Apache-2.0
// Pipe mode: a channel as named pipes, <channel>_0, <channel>_1, ..., one for each epoch. A pipe gives the bytes of all
// objects, one after the other, as Amazon SageMaker does it: gzip undone, RecordIO around each object, lines of an
// augmented manifest attribute by attribute. A reader that closes ends the epoch, also before the end; then the next
// pipe appears.
//
//   LEAT_ASSIGN_OR_RETURN(const auto feed, PipeFeed::Start(repositories, channel, share, ml + "/input/data", stopped));
//   ... the script runs; feed->failure() is looked at now and then ...
//
// A feed that fails keeps its pipe open and writes no more: what has not come must not look like the end of the data.
// Its owner sees failure() and ends the script. The script must be gone before the feed is destroyed, for that is an
// end to the reader.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/file.h"
#include "base/result.h"
#include "jobs/channel.h"
#include "jobs/manifest.h"
#include "jobs/read_ahead.h"
#include "jobs/services.h"
#include "model/training_job.h"

namespace leat::jobs {

class PipeFeed {  // any thread
 public:
  // Lists the channel (or reads its manifest), makes the first pipe and starts to read ahead; blocking. Failures are
  // ListChannel's, a broken manifest's, and the directory's, which must exist. `stopped` ends the listing.
  static Result<std::unique_ptr<PipeFeed>> Start(RepositoryFactory& factory, const Channel& channel, HostShare share,
                                                 const std::string& data_directory, const StopCheck& stopped = {});
  ~PipeFeed();  // stops within moments, and removes the pipe
  PipeFeed(const PipeFeed&) = delete;

  // Why nothing more comes, if so. The message names the channel.
  std::optional<Error> failure() const;
  FileSystemCounters Counters() const { return repositories_.Counters(); }
  // How many pipes have been closed, by their readers or at the end of the data.
  uint64_t epochs_ended() const { return epochs_ended_.load(); }

 private:
  class Pipe;
  PipeFeed(RepositoryFactory& factory, const Channel& channel, HostShare share);
  Status Prepare(const std::string& data_directory, const StopCheck& stopped);
  Status MakePipe(uint64_t epoch);
  std::unique_ptr<ReadAhead> ReadEpoch(uint64_t epoch);
  std::unique_ptr<ReadAhead> ReadLines(std::vector<uint32_t> order);

  void Run();
  void FailUntilStopped(const Error& error);
  Status Epoch(uint64_t epoch);
  Status WaitForReader(uint64_t epoch);
  Status WriteAll(ReadAhead& stream, Pipe& pipe);
  Status WritePart(ReadAhead& stream, Pipe& pipe);
  Status WriteUnpacked(ReadAhead& stream, Pipe& pipe);
  std::string PipeName(uint64_t epoch) const { return channel_.name + "_" + std::to_string(epoch); }

  const Channel channel_;
  const HostShare share_;
  OpenRepositories repositories_;
  ChannelListing listing_;                     // constant after Start, like the next three
  std::optional<AugmentedManifest> manifest_;  // of an augmented manifest, instead
  FileDescriptor directory_;
  FileDescriptor stop_event_;
  const std::shared_ptr<StreamBell> bell_ = std::make_shared<StreamBell>();
  std::atomic<uint64_t> epochs_ended_{0};
  std::unique_ptr<ReadAhead> ahead_;  // of the first epoch, begun before there is a reader; then the thread's
  FileDescriptor writer_;             // the thread's; open until the epoch ends, or the feed that has failed
  std::thread thread_;

  mutable std::mutex mutex_;
  std::optional<Error> failure_;  // protected by mutex_
};

}  // namespace leat::jobs
