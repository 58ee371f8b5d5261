// SPDX-License-Identifier: Apache-2.0
#include "jobs/job_data.h"

#include <filesystem>

#include "base/file.h"
#include "jobs/host_files.h"
#include "jobs/prefix_shape.h"
#include "jobs/transfer.h"

namespace leat::jobs {
namespace fs = std::filesystem;

Result<std::unique_ptr<PipeFeed>> JobData::Prepare(const Channel& channel, HostShare share, LaunchPlace& place,
                                                   const StopCheck& stopped) {
  const std::string input = place.volume + "/input/data", path = input + "/" + channel.name;
  if (channel.s3 && channel.input_mode == InputMode::kPipe)
    return PipeFeed::Start(repositories_, channel, share, input, stopped);
  if (channel.s3 && channel.input_mode == InputMode::kFile) {
    LEAT_RETURN_IF_ERROR(CreateDirectories(path));
    LEAT_RETURN_IF_ERROR(DownloadChannel(repositories_, channel, share, path, connections_, downloads_, stopped));
    return nullptr;
  }
  // FastFile: a mount of the prefix, whose data stay cached for the next job as any file system's do.
  const FileSystemSource source = channel.s3 ? FileSystemSource{channel.s3->uri, "/"} : *channel.file_system;
  LEAT_RETURN_IF_ERROR(CheckPrefix(source, channel.s3.has_value(), stopped));
  LEAT_ASSIGN_OR_RETURN(const std::string directory, Mount(source));
  std::error_code error;
  if (!fs::is_directory(directory, error)) {
    return Fail(ErrorCode::kNotFound, "DirectoryPath " + source.directory_path + " is no directory of " +
                                          source.file_system_id + " (looked at " + directory + ")");
  }
  if (!sandbox_) {
    fs::create_directory_symlink(directory, path, error);
    if (error) return Fail(ErrorCode::kIo, path + ": " + error.message());
    return nullptr;
  }
  LEAT_RETURN_IF_ERROR(CreateDirectories(path));
  (source.is_writable ? place.writable : place.read_only).emplace_back(directory, "/opt/ml/input/data/" + channel.name);
  return nullptr;
}

Result<std::string> JobData::Mount(const FileSystemSource& source) {
  if (source.is_plain_directory) return PlainDirectory(state_directory_, source);
  const std::string& id = source.file_system_id;
  // Mounted first, so that what mounting asks of S3 counts only where nothing was mounted before.
  const auto before = file_systems_.Counters(id);
  LEAT_ASSIGN_OR_RETURN(std::string directory, file_systems_.DirectoryOf(id, source.directory_path));
  counters_before_.emplace(id, before.value_or(FileSystemCounters{}));
  return directory;
}

Status JobData::CheckPrefix(const FileSystemSource& source, bool is_fast_file, const StopCheck& stopped) {
  const std::string& uri = source.file_system_id;
  if (source.is_plain_directory || !uri.starts_with("s3://")) return {};
  const auto shape = ShapeOfPrefix(repositories_, uri, stopped);
  // What cannot be listed now may be in the cache of a mount.
  if (!shape) return shape.error().code == ErrorCode::kCancelled ? Fail(shape.error()) : Status();
  if (*shape == PrefixShape::kNothing) return NoObjectsBelow(uri);
  if (*shape == PrefixShape::kFolder) return {};
  return Fail(ErrorCode::kInvalidArgument,
              uri + " names no folder: keys begin with it that a mount of " + uri + "/ does not show; end the " +
                  (is_fast_file ? "S3Uri with / to leave them out, or use the InputMode File"
                                : "FileSystemId with / to leave them out, or use an S3DataSource"));
}

Json JobData::ToJson() const {
  Json before = Json::object();
  for (const auto& [id, counters] : counters_before_) before[id] = jobs::ToJson(counters);
  return {{"downloads", jobs::ToJson(downloads_)}, {"file_systems", std::move(before)}};
}

std::vector<std::string> JobData::TakeUp(const Json& data_ready) {
  std::vector<std::string> warnings;
  downloads_ = CountersFrom(data_ready.value("downloads", Json::object()));
  const Json file_systems = data_ready.value("file_systems", Json::object());
  for (const auto& [id, counters] : file_systems.items()) {
    counters_before_.emplace(id, CountersFrom(counters));
    const auto used = file_systems_.DirectoryOf(id, "/");  // takes the lease again
    if (!used) warnings.push_back("file system " + id + ": " + used.error().message);
  }
  return warnings;
}

void JobData::Forget() {
  downloads_ = {};
  counters_before_.clear();
}

Json JobData::Accounting(const JobState& state, const std::vector<MetricSample>& samples) const {
  FileSystemCounters total = downloads_;
  std::vector<ReadCounters> reads;
  for (const auto& [id, before] : counters_before_) {
    if (const auto after = file_systems_.Counters(id)) AddCounters(total, *after, before);
    if (const auto read = file_systems_.ReadsOf(id)) reads.push_back(*read);
  }
  return AccountingOf(state, total, reads, samples, WallTimeNs());
}

}  // namespace leat::jobs
