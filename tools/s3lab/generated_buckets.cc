// SPDX-License-Identifier: Apache-2.0
#include "generated_buckets.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "base/random.h"

namespace leat::s3lab {
namespace {

constexpr int64_t kSyntheticModified = 1'767'225'600;  // 2026-01-01T00:00:00Z

class SyntheticBody final : public Body {
 public:
  SyntheticBody(std::shared_ptr<const SyntheticPattern> pattern, std::string_view key)
      : pattern_(std::move(pattern)), key_hash_(HashKey(key)) {}
  Stretch At(uint64_t position) const override {
    const uint64_t within = position & (kSyntheticBlockBytes - 1);
    return {pattern_->descriptor(), Rotation(pattern_->seed(), key_hash_, position / kSyntheticBlockBytes) + within,
            kSyntheticBlockBytes - within};
  }

 private:
  const std::shared_ptr<const SyntheticPattern> pattern_;
  const uint64_t key_hash_;
};

}  // namespace

Result<std::unique_ptr<SyntheticBucket>> SyntheticBucket::Create(SyntheticSpec spec) {
  LEAT_ASSIGN_OR_RETURN(SyntheticPattern pattern, SyntheticPattern::Create(spec.seed + spec.version));
  return std::unique_ptr<SyntheticBucket>(new SyntheticBucket(std::move(spec), std::move(pattern)));
}

Object SyntheticBucket::Describe(std::string key) const {
  Object object;
  object.size = keys_.Size(key);
  object.etag = keys_.ETag(key);
  object.modified_s = kSyntheticModified + static_cast<int64_t>(keys_.spec().version);
  object.key = std::move(key);
  return object;
}

void SyntheticBucket::Scan(std::string_view from, const Visitor& visitor) const {
  std::string seek;
  for (uint64_t number = keys_.LowerBound(from); number < keys_.count();) {
    const Object object = Describe(keys_.Key(number));
    if (!visitor(object, seek)) return;
    number = seek.empty() ? number + 1 : std::max(number + 1, keys_.LowerBound(seek));
    seek.clear();
  }
}

std::shared_ptr<const Object> SyntheticBucket::Find(std::string_view key) const {
  if (!keys_.Find(key)) return nullptr;
  return std::make_shared<Object>(Describe(std::string(key)));
}

std::shared_ptr<const Body> SyntheticBucket::Open(const Object& object) const {
  return std::make_shared<SyntheticBody>(pattern_, object.key);
}

namespace {

void ApplyAttributes(const struct stat& attributes, Object* object) {
  object->size = static_cast<uint64_t>(attributes.st_size);
  object->modified_s = attributes.st_mtim.tv_sec;
  // Not an MD5, and "-1" says so, as the ETag of a multipart upload does.
  Random random(HashKey(object->key) ^ Random::Mix(object->size),
                static_cast<uint64_t>(attributes.st_mtim.tv_sec) * 1'000'000'000u +
                    static_cast<uint64_t>(attributes.st_mtim.tv_nsec));
  char text[40];
  std::snprintf(text, sizeof text, "%016llx%016llx-1", static_cast<unsigned long long>(random.Next()),
                static_cast<unsigned long long>(random.Next()));
  object->etag = text;
}

}  // namespace

Result<std::unique_ptr<TreeBucket>> TreeBucket::Create(const std::string& root) {
  auto bucket = std::make_unique<TreeBucket>();
  std::error_code error;
  const std::filesystem::path top = std::filesystem::canonical(root, error);
  if (error) return Fail(ErrorCode::kNotFound, "--import-tree " + root + ": " + error.message());
  const size_t skip = top.native().size() + (top.native() == "/" ? 0 : 1);
  for (std::filesystem::recursive_directory_iterator entry(top, error), end; !error && entry != end;
       entry.increment(error)) {
    struct stat attributes;
    if (lstat(entry->path().c_str(), &attributes) != 0 || !S_ISREG(attributes.st_mode)) continue;
    Object object;
    object.file = entry->path().native();
    object.key = object.file.substr(skip);
    ApplyAttributes(attributes, &object);
    bucket->objects_.emplace(object.key, std::move(object));
  }
  if (error) return Fail(ErrorCode::kIo, "--import-tree " + root + ": " + error.message());
  return bucket;
}

void TreeBucket::Scan(std::string_view from, const Visitor& visitor) const {
  std::string seek;
  for (auto at = objects_.lower_bound(from); at != objects_.end();) {
    if (!visitor(at->second, seek)) return;
    at = seek.empty() ? std::next(at) : objects_.lower_bound(seek);
    seek.clear();
  }
}

std::shared_ptr<const Object> TreeBucket::Find(std::string_view key) const {
  const auto found = objects_.find(key);
  if (found == objects_.end()) return nullptr;
  struct stat attributes;
  if (lstat(found->second.file.c_str(), &attributes) != 0 || !S_ISREG(attributes.st_mode)) return nullptr;
  auto object = std::make_shared<Object>(found->second);
  ApplyAttributes(attributes, object.get());
  return object;
}

std::shared_ptr<const Body> TreeBucket::Open(const Object& object) const {
  FileDescriptor file(open(object.file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat attributes;
  if (!file.valid() || fstat(file.get(), &attributes) != 0 || static_cast<uint64_t>(attributes.st_size) != object.size)
    return nullptr;
  return std::make_shared<FileBody>(std::move(file), object.size);
}

}  // namespace leat::s3lab
