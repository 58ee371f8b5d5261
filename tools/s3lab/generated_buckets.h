// SPDX-License-Identifier: Apache-2.0
// The read-only buckets: synthetic objects, and an existing directory tree. Immutable after construction; any thread.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "bucket.h"
#include "synthetic.h"

namespace leat::s3lab {

class SyntheticBucket final : public Bucket {
 public:
  static Result<std::unique_ptr<SyntheticBucket>> Create(SyntheticSpec spec);
  void Scan(std::string_view from, const Visitor& visitor) const override;
  std::shared_ptr<const Object> Find(std::string_view key) const override;
  std::shared_ptr<const Body> Open(const Object& object) const override;

 private:
  SyntheticBucket(SyntheticSpec spec, SyntheticPattern pattern)
      : keys_(std::move(spec)), pattern_(std::make_shared<SyntheticPattern>(std::move(pattern))) {}
  Object Describe(std::string key) const;

  const SyntheticKeys keys_;
  const std::shared_ptr<const SyntheticPattern> pattern_;
};

// Every regular file below `root` as an object; names as they are, links not followed. Files are listed as they were at
// the start; a GET serves what the file is then.
class TreeBucket final : public Bucket {
 public:
  static Result<std::unique_ptr<TreeBucket>> Create(const std::string& root);
  void Scan(std::string_view from, const Visitor& visitor) const override;
  std::shared_ptr<const Object> Find(std::string_view key) const override;
  std::shared_ptr<const Body> Open(const Object& object) const override;

 private:
  std::map<std::string, Object, std::less<>> objects_;
};

// A body that is one file.
class FileBody final : public Body {
 public:
  FileBody(FileDescriptor file, uint64_t size) : file_(std::move(file)), size_(size) {}
  Stretch At(uint64_t position) const override { return {file_.get(), position, size_ - position}; }

 private:
  const FileDescriptor file_;
  const uint64_t size_;
};

}  // namespace leat::s3lab
