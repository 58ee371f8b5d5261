// SPDX-License-Identifier: Apache-2.0
// Synthetic objects: bytes and keys that are pure functions of a seed, so that a million objects cost no memory and a
// test can recompute every byte. docs/s3lab.md has the same function in ten lines of Python.
//
// A seed gives a pattern of 1 MiB. Byte `offset` of object `key` is pattern[(r + offset) mod 1 MiB], where the rotation
// r is a hash of the seed, the key and offset / 1 MiB: blocks of one object differ, and so do objects. The pattern lies
// twice in a memory file, so that any block is one contiguous stretch that sendfile can send without a copy.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace leat::s3lab {

inline constexpr uint64_t kSyntheticBlockBytes = 1u << 20;

uint64_t HashKey(std::string_view key);  // FNV-1a, 64 bits
// Where block `block` of the object begins in the pattern: [0, 1 MiB).
uint64_t Rotation(uint64_t seed, uint64_t key_hash, uint64_t block);

class SyntheticPattern {  // immutable after Create; any thread
 public:
  static Result<SyntheticPattern> Create(uint64_t seed);
  int descriptor() const { return file_.get(); }  // 2 MiB: the pattern twice
  uint64_t seed() const { return seed_; }
  std::string Bytes(std::string_view key, uint64_t offset, uint64_t length) const;

 private:
  uint64_t seed_ = 0;
  std::string twice_;
  FileDescriptor file_;
};

// What --synthetic BUCKET=SPEC says: "count=1000000,size=110000,layout=nested:1000,prefix=data/,seed=7", or one object:
// "object=NAME,size=100G".
struct SyntheticSpec {
  uint64_t count = 0;
  uint64_t size_min = 110'000, size_max = 110'000;  // "size=39000-323000": uniform, by a hash of the key
  std::vector<uint64_t> folders;                    // "nested:100:1000" is {100, 1000}; "flat" is {}
  std::string prefix;
  uint64_t seed = 0;
  uint64_t version = 0;  // another version has other bytes (those of seed + version) and other ETags
  std::string object;    // the single object; then count is 1

  static Result<SyntheticSpec> Parse(std::string_view text);
};

// The keys of a spec: in byte order, each computed from its number. Immutable; any thread.
class SyntheticKeys {
 public:
  explicit SyntheticKeys(SyntheticSpec spec);
  uint64_t count() const { return spec_.count; }
  const SyntheticSpec& spec() const { return spec_; }
  uint64_t content_seed() const { return spec_.seed + spec_.version; }
  std::string Key(uint64_t number) const;
  std::optional<uint64_t> Find(std::string_view key) const;
  uint64_t LowerBound(std::string_view key) const;  // the first number whose key is >= key; count() when none is
  uint64_t Size(std::string_view key) const;
  std::string ETag(std::string_view key) const;  // 32 hex digits of (key, size, seed, version); not an MD5

 private:
  SyntheticSpec spec_;
  uint64_t leaves_ = 1;  // folders that hold objects
  uint64_t in_each_leaf_ = 0;
  int number_width_ = 1;
};

}  // namespace leat::s3lab
