// SPDX-License-Identifier: Apache-2.0
// What the cache's tests share: a directory that goes away, objects whose bytes are known, and the blocks on disk.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "cache/cache.h"

namespace leat::cache {

class Directory {
 public:
  Directory() {
    char name[] = "/tmp/leat_cache_test_XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path() const { return path_ + "/cache"; }
  // Files that hold object bytes.
  std::vector<std::string> DataFiles() const {
    std::vector<std::string> files;
    for (const char* folder : {"/segments", "/objects"}) {
      if (!std::filesystem::exists(path() + folder)) continue;
      for (const auto& entry : std::filesystem::recursive_directory_iterator(path() + folder)) {
        if (entry.is_regular_file()) files.push_back(entry.path());
      }
    }
    return files;
  }
  uint64_t BlocksOnDisk() const {
    uint64_t bytes = 0;
    for (const auto& file : DataFiles()) {
      struct stat info {};
      if (::stat(file.c_str(), &info) == 0) bytes += static_cast<uint64_t>(info.st_blocks) * 512;
    }
    return bytes;
  }

 private:
  std::string path_;
};

inline ObjectRef MakeObject(uint32_t dataset, const std::string& key, uint64_t size) {
  ObjectRef object{DatasetId{dataset}, key, "\"etag\"", size, {}};
  object.id = MakeObjectId("https://s3.test/bucket", key, object.etag, size);
  return object;
}

// The object's true bytes.
inline std::vector<std::byte> BytesOf(const ObjectRef& object) {
  std::vector<std::byte> bytes(object.size_bytes);
  Random random(static_cast<uint64_t>(object.id.bytes[0]) << 8 | static_cast<uint64_t>(object.id.bytes[1]), 5);
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    const uint64_t number = random.Next();
    std::memcpy(bytes.data() + i, &number, 8);
  }
  for (; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(random.Next());
  return bytes;
}

inline std::unique_ptr<Cache> OpenCache(const Directory& directory, uint64_t capacity = 256u << 20,
                                        EvictionChooser chooser = {}, uint64_t segment_bytes = 16u << 20) {
  auto cache = Cache::Open({directory.path(), capacity, segment_bytes}, std::move(chooser));
  if (!cache) {
    ADD_FAILURE() << cache.error().message;
    return nullptr;
  }
  return std::move(*cache);
}

inline Status Store(Cache& cache, const ObjectRef& object, size_t piece_bytes = 100000) {
  const auto bytes = BytesOf(object);
  auto writer = cache.StartWrite(object, 0, object.size_bytes);
  if (!writer) return Fail(writer.error());
  for (size_t at = 0; at < bytes.size(); at += piece_bytes) {
    (*writer)->Append(std::span(bytes).subspan(at, std::min(piece_bytes, bytes.size() - at)));
  }
  return (*writer)->Commit();
}

// As a restore does it: asks again while the cache makes room.
inline Status StoreWhenThereIsRoom(Cache& cache, const ObjectRef& object) {
  for (;;) {
    Status stored = Store(cache, object);
    if (stored || stored.error().code != ErrorCode::kBusy) return stored;
    std::this_thread::yield();
  }
}

enum class Found { kRight, kMiss, kWrong };
inline Found ReadBack(Cache& cache, const ObjectRef& object, uint64_t offset, uint64_t length) {
  std::vector<std::byte> out(length, std::byte{0xaa});
  if (!cache.Read(object, offset, out)) return Found::kMiss;
  const auto bytes = BytesOf(object);
  return std::equal(out.begin(), out.end(), bytes.begin() + static_cast<ptrdiff_t>(offset)) ? Found::kRight
                                                                                            : Found::kWrong;
}
inline Found ReadBack(Cache& cache, const ObjectRef& object) { return ReadBack(cache, object, 0, object.size_bytes); }

}  // namespace leat::cache
