// SPDX-License-Identifier: Apache-2.0
// JobData: what an attempt of a job is given of its channels, and what that asks of S3, for the job's accounting.
// Confined to the job's thread; blocking.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/channel.h"
#include "jobs/describe.h"
#include "jobs/launch.h"
#include "jobs/pipe_feed.h"
#include "jobs/services.h"
#include "jobs/submission.h"

namespace leat::jobs {

class JobData {
 public:
  // Everything but `options` outlives the object.
  JobData(const std::string& state_directory, FileSystemResolver& file_systems, RepositoryFactory& repositories,
          const RunOptions& options)
      : state_directory_(state_directory),
        file_systems_(file_systems),
        repositories_(repositories),
        connections_(options.file_mode_connections),
        sandbox_(options.sandbox) {}

  // Puts a channel where a host's script finds it: a copy, a mount that is added to the place's directories, or a pipe,
  // whose feed is returned, else null. The place's volume is there. Failures do not name the channel.
  Result<std::unique_ptr<PipeFeed>> Prepare(const Channel& channel, HostShare share, LaunchPlace& place,
                                            const StopCheck& stopped);
  void AddFeed(const PipeFeed& feed) { AddCounters(downloads_, feed.Counters()); }
  // Of the data_ready event: what counting begins with when another process takes the job up.
  Json ToJson() const;
  // Uses the file systems of such an event again. What could not be, as warnings.
  std::vector<std::string> TakeUp(const Json& data_ready);
  // For an attempt that begins anew.
  void Forget();
  Json Accounting(const JobState& state, const std::vector<MetricSample>& samples) const;

 private:
  Result<std::string> Mount(const FileSystemSource& source);
  // A mount must show what the prefix names, all of it.
  Status CheckPrefix(const FileSystemSource& source, bool is_fast_file, const StopCheck& stopped);

  const std::string& state_directory_;
  FileSystemResolver& file_systems_;
  RepositoryFactory& repositories_;
  const unsigned connections_;
  const bool sandbox_;
  FileSystemCounters downloads_;
  std::map<std::string, FileSystemCounters> counters_before_;  // by file system
};

}  // namespace leat::jobs
