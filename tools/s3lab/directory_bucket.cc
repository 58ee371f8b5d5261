// SPDX-License-Identifier: Apache-2.0
#include "directory_bucket.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/text.h"
#include "generated_buckets.h"

namespace leat::s3lab {
namespace {

using Json = nlohmann::json;
constexpr size_t kIndexBytesMax = size_t{4} << 30;

// Keys, and values that came as headers, may hold any byte: percent-encoded they are JSON.
std::string Encode(std::string_view text) { return PercentEncode(text, true); }
std::string Decode(const Json& value) { return PercentDecode(value.get<std::string>(), false); }

Json PairsToJson(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Json json = Json::array();
  for (const auto& [name, value] : pairs) json.push_back({Encode(name), Encode(value)});
  return json;
}

std::vector<std::pair<std::string, std::string>> PairsFromJson(const Json& json) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const Json& pair : json) pairs.emplace_back(Decode(pair.at(0)), Decode(pair.at(1)));
  return pairs;
}

std::string PutLine(const Object& object) {
  return Json{{"put", Encode(object.key)},
              {"size", object.size},
              {"modified", object.modified_s},
              {"etag", object.etag},
              {"type", Encode(object.content_type)},
              {"headers", PairsToJson(object.headers)},
              {"checksums", PairsToJson(object.checksums)},
              {"file", object.file}}
             .dump() +
         "\n";
}

Object ObjectFromJson(const Json& json) {
  Object object;
  object.key = Decode(json.at("put"));
  object.size = json.at("size").get<uint64_t>();
  object.modified_s = json.at("modified").get<int64_t>();
  object.etag = json.at("etag").get<std::string>();
  object.content_type = Decode(json.at("type"));
  object.headers = PairsFromJson(json.at("headers"));
  object.checksums = PairsFromJson(json.at("checksums"));
  object.file = json.at("file").get<std::string>();
  return object;
}

}  // namespace

Result<std::unique_ptr<DirectoryBucket>> DirectoryBucket::Open(const std::string& directory) {
  LEAT_RETURN_IF_ERROR(CreateDirectories(directory + "/data"));
  std::unique_ptr<DirectoryBucket> bucket(new DirectoryBucket(directory));
  LEAT_RETURN_IF_ERROR(bucket->Load());
  return bucket;
}

DirectoryBucket::~DirectoryBucket() = default;

Status DirectoryBucket::Load() {
  const std::string path = directory_ + "/index.jsonl";
  if (access(path.c_str(), F_OK) == 0) {
    LEAT_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kIndexBytesMax));
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      if (end == std::string::npos) break;  // torn by a crash: that change did not happen
      const std::string_view line = std::string_view(text).substr(at, end - at);
      at = end + 1;
      try {
        const Json json = Json::parse(line);
        if (json.contains("delete")) {
          objects_.erase(Decode(json["delete"]));
        } else {
          Object object = ObjectFromJson(json);
          std::string key = object.key;
          objects_[std::move(key)] = std::make_shared<const Object>(std::move(object));
        }
      } catch (const Json::exception& error) {
        return Fail(ErrorCode::kCorrupt,
                    path + " has a line that is not ours (" + error.what() + "): remove the bucket's directory");
      }
    }
  }
  std::string rewritten;
  std::set<std::string> kept;
  for (const auto& [key, object] : objects_) {
    rewritten += PutLine(*object);
    kept.insert(object->file);
  }
  LEAT_RETURN_IF_ERROR(WriteFileAtomically(path, rewritten, 0644, false));
  index_ = FileDescriptor(open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!index_.valid()) return FailErrno(errno, "cannot open " + path);
  std::error_code error;
  uint64_t highest = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/data", error)) {
    const std::string name = entry.path().filename().native();
    if (!kept.contains(name)) {
      unlink(entry.path().c_str());
      continue;
    }
    highest = std::max(highest, ParseUnsigned(name).value_or(0));
  }
  next_file_ = highest + 1;
  return {};
}

Status DirectoryBucket::Append(const std::string& line) {
  if (write(index_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    return FailErrno(errno, "cannot write " + directory_ + "/index.jsonl");
  return {};
}

void DirectoryBucket::Scan(std::string_view from, const Visitor& visitor) const {
  const std::shared_lock lock(mutex_);
  std::string seek;
  for (auto at = objects_.lower_bound(from); at != objects_.end();) {
    if (!visitor(*at->second, seek)) return;
    at = seek.empty() ? std::next(at) : objects_.lower_bound(seek);
    seek.clear();
  }
}

std::shared_ptr<const Object> DirectoryBucket::Find(std::string_view key) const {
  const std::shared_lock lock(mutex_);
  const auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : found->second;
}

std::shared_ptr<const Body> DirectoryBucket::Open(const Object& object) const {
  FileDescriptor file(open((directory_ + "/data/" + object.file).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid()) return nullptr;
  return std::make_shared<FileBody>(std::move(file), object.size);
}

Result<std::pair<FileDescriptor, std::string>> DirectoryBucket::NewFile() const {
  const std::string name = std::to_string(next_file_++);
  const std::string path = directory_ + "/data/" + name;
  FileDescriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file.valid()) return FailErrno(errno, "cannot create " + path);
  return std::pair<FileDescriptor, std::string>(std::move(file), name);
}

void DirectoryBucket::Discard(const std::string& file) const { unlink((directory_ + "/data/" + file).c_str()); }

Result<WriteOutcome> DirectoryBucket::Put(Object object, const WriteCondition& condition) {
  std::string old_file;
  const std::string new_file = object.file;
  WriteOutcome outcome = WriteOutcome::kDone;
  Status written;
  {
    const std::unique_lock lock(mutex_);
    const auto found = objects_.find(object.key);
    if (condition.only_if_absent && found != objects_.end()) {
      outcome = WriteOutcome::kPreconditionFailed;
    } else if (!condition.if_match.empty() && found == objects_.end()) {
      outcome = WriteOutcome::kNoSuchKey;
    } else if (!condition.if_match.empty() && condition.if_match != "*" && condition.if_match != found->second->etag &&
               condition.if_match != "\"" + found->second->etag + "\"") {
      outcome = WriteOutcome::kPreconditionFailed;
    } else if (written = Append(PutLine(object)); written) {
      if (found != objects_.end()) old_file = found->second->file;
      std::string key = object.key;
      objects_[std::move(key)] = std::make_shared<const Object>(std::move(object));
    }
  }
  if (!written || outcome != WriteOutcome::kDone) Discard(new_file);
  if (!written) return Fail(std::move(written).error());
  if (!old_file.empty()) Discard(old_file);
  return outcome;
}

Result<bool> DirectoryBucket::Delete(std::string_view key) {
  std::string old_file;
  {
    const std::unique_lock lock(mutex_);
    const auto found = objects_.find(key);
    if (found == objects_.end()) return false;
    LEAT_RETURN_IF_ERROR(Append(Json{{"delete", Encode(key)}}.dump() + "\n"));
    old_file = found->second->file;
    objects_.erase(found);
  }
  Discard(old_file);
  return true;
}

bool DirectoryBucket::empty() const {
  const std::shared_lock lock(mutex_);
  return objects_.empty();
}

Status DirectoryBucket::RemoveDirectory() {
  std::error_code error;
  std::filesystem::remove_all(directory_, error);
  if (error) return Fail(ErrorCode::kIo, "cannot remove " + directory_ + ": " + error.message());
  return {};
}

}  // namespace leat::s3lab
