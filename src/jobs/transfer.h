// SPDX-License-Identifier: Apache-2.0
// Bytes between repositories and local files: File-mode channels in, artifacts out. Blocking; any thread, one call
// each.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "jobs/channel.h"
#include "jobs/services.h"

namespace leat::jobs {

// "s3://bucket/some/key" -> {"s3://bucket", "some/key"}; "file:///d/e" -> {"file:///d/e", ""}.
struct RepositoryLocation {
  std::string repository, key;
};
RepositoryLocation LocationOf(const std::string& uri);

// Where a key of an S3Prefix channel lies below the channel's directory: the rest of the key when the URI is the key's
// folder, else what follows the last '/' of the URI. Empty: a key that is only a folder marker.
std::string PathOfKey(const std::string& uri_key, const std::string& key);

struct DownloadResult {
  uint64_t objects = 0, bytes = 0;
};
// Every object below `uri` into `directory`, `connections` at a time. kNotFound: there is none. kCancelled: stopped;
// what was in flight has been cancelled.
Result<DownloadResult> DownloadPrefix(env::ObjectStore& store, const std::string& uri, const std::string& directory,
                                      unsigned connections, const StopCheck& stopped);
// What a host gets of a File mode channel (of an S3DataSource that is no augmented manifest), into `directory`. What
// was asked for is added to `counters`, also when the download fails. Failures as DownloadPrefix; a host that gets
// nothing of a channel which has something is none. kInvalidArgument: a manifest that is none.
Result<DownloadResult> DownloadChannel(RepositoryFactory& repositories, const Channel& channel, HostShare share,
                                       const std::string& directory, unsigned connections, FileSystemCounters& counters,
                                       const StopCheck& stopped);
// One object into one file.
Status DownloadObject(env::ObjectStore& store, const std::string& key, const std::string& path,
                      const StopCheck& stopped);

// One artifact on its way out. Nothing is visible under its name before Finish; without Finish nothing stays.
class ArtifactWriter {
 public:
  virtual ~ArtifactWriter() = default;
  virtual Status Write(std::span<const std::byte> bytes) = 0;
  // The object's new ETag; empty for a file.
  virtual Result<std::string> Finish() = 0;
};
// `uri`: the artifact itself, "s3://bucket/key" or "file:///path". `stopped` ends any wait of the writer's, with
// kCancelled.
Result<std::unique_ptr<ArtifactWriter>> OpenArtifact(RepositoryFactory& repositories, const std::string& uri,
                                                     const StopCheck& stopped);
// The same for one key of a repository that is open already.
std::unique_ptr<ArtifactWriter> WriteObject(Repository repository, const std::string& key, const StopCheck& stopped);
// Whether artifacts may go below `uri`, as far as that can be told without writing: the bucket answers a LIST, the
// directory is there or can be made. kDenied: S3 does not let us list, which says nothing of writing.
Status ProbeOutput(RepositoryFactory& repositories, const std::string& uri, const StopCheck& stopped);

// Everything below `directory`, as `uri`.tar.gz (compress) or file by file below `uri`/. Returns the artifact's URI.
Result<std::string> UploadDirectory(RepositoryFactory& repositories, const std::string& directory,
                                    const std::string& uri, bool compress, const StopCheck& stopped);

}  // namespace leat::jobs
