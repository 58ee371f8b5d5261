// SPDX-License-Identifier: Apache-2.0
// A bucket that takes writes, kept in a directory: a file for each body, named by a hash and a number and never by the
// key, so that every key S3 allows can be stored; and `index.jsonl`, one JSON line for each change, replayed and
// rewritten at the start. A restart serves the same objects; nothing is fsynced, since this is a test tool.
//
// Thread-safe: one mutex over the map in memory; no body is read or written under it (the index line is: it is one
// short write).
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <shared_mutex>
#include <string>

#include "base/file.h"
#include "bucket.h"

namespace leat::s3lab {

struct WriteCondition {
  bool only_if_absent = false;  // If-None-Match: *
  std::string if_match;         // an If-Match value; "" is none
};
enum class WriteOutcome { kDone, kPreconditionFailed, kNoSuchKey };

class DirectoryBucket final : public Bucket {
 public:
  static Result<std::unique_ptr<DirectoryBucket>> Open(const std::string& directory);
  ~DirectoryBucket() override;

  void Scan(std::string_view from, const Visitor& visitor) const override;
  std::shared_ptr<const Object> Find(std::string_view key) const override;
  std::shared_ptr<const Body> Open(const Object& object) const override;

  // A new file for a body; its name goes into Object::file. The caller owns it until Put.
  Result<std::pair<FileDescriptor, std::string>> NewFile() const;
  void Discard(const std::string& file) const;
  // Makes `object` (whose file is whole) the object of its key; on any other outcome the file is discarded.
  Result<WriteOutcome> Put(Object object, const WriteCondition& condition);
  Result<bool> Delete(std::string_view key);  // whether there was one
  bool empty() const;
  Status RemoveDirectory();  // of an empty bucket; the bucket must not be used afterwards

 private:
  explicit DirectoryBucket(std::string directory) : directory_(std::move(directory)) {}
  Status Load();
  Status Append(const std::string& line);

  const std::string directory_;
  mutable std::atomic<uint64_t> next_file_{1};
  mutable std::shared_mutex mutex_;
  std::map<std::string, std::shared_ptr<const Object>, std::less<>> objects_;  // guarded by mutex_
  FileDescriptor index_;                                                       // guarded by mutex_
};

}  // namespace leat::s3lab
