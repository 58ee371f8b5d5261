// SPDX-License-Identifier: Apache-2.0
#include "synthetic.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/check.h"
#include "base/random.h"
#include "base/text.h"

namespace leat::s3lab {
namespace {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;
constexpr uint64_t kLeavesMax = 100'000'000;

int DecimalWidth(uint64_t value) { return static_cast<int>(std::to_string(value).size()); }

void AppendPadded(std::string* out, uint64_t value, int width) {
  const std::string digits = std::to_string(value);
  out->append(static_cast<size_t>(std::max<int>(0, width - static_cast<int>(digits.size()))), '0').append(digits);
}

}  // namespace

uint64_t HashKey(std::string_view key) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

uint64_t Rotation(uint64_t seed, uint64_t key_hash, uint64_t block) {
  return Random::Mix(Random::Mix(key_hash ^ seed) + block * kGolden) & (kSyntheticBlockBytes - 1);
}

Result<SyntheticPattern> SyntheticPattern::Create(uint64_t seed) {
  static_assert(std::endian::native == std::endian::little);
  SyntheticPattern pattern;
  pattern.seed_ = seed;
  pattern.twice_.resize(2 * kSyntheticBlockBytes);
  uint64_t state = Random::Mix(seed);
  for (uint64_t at = 0; at < kSyntheticBlockBytes; at += 8) {
    const uint64_t word = Random::Mix(state += kGolden);
    std::memcpy(pattern.twice_.data() + at, &word, 8);
  }
  std::memcpy(pattern.twice_.data() + kSyntheticBlockBytes, pattern.twice_.data(), kSyntheticBlockBytes);
  pattern.file_ = FileDescriptor(memfd_create("s3lab-pattern", MFD_CLOEXEC));
  if (!pattern.file_.valid()) return FailErrno(errno, "cannot make a memory file for synthetic objects");
  LEAT_RETURN_IF_ERROR(
      WriteAll(pattern.file_.get(), std::as_bytes(std::span(pattern.twice_.data(), pattern.twice_.size())), 0));
  return pattern;
}

std::string SyntheticPattern::Bytes(std::string_view key, uint64_t offset, uint64_t length) const {
  const uint64_t hash = HashKey(key);
  std::string out;
  out.reserve(length);
  for (const uint64_t end = offset + length; offset < end;) {
    const uint64_t within = offset & (kSyntheticBlockBytes - 1);
    const uint64_t size = std::min(end - offset, kSyntheticBlockBytes - within);
    out.append(twice_, Rotation(seed_, hash, offset / kSyntheticBlockBytes) + within, size);
    offset += size;
  }
  return out;
}

namespace {

Status ApplySetting(std::string_view name, const std::string& value, SyntheticSpec* spec) {
  if (name == "object") {
    spec->object = value;
  } else if (name == "prefix") {
    spec->prefix = value;
  } else if (name == "count") {
    LEAT_ASSIGN_OR_RETURN(spec->count, ParseUnsigned(value));
  } else if (name == "seed") {
    LEAT_ASSIGN_OR_RETURN(spec->seed, ParseUnsigned(value));
  } else if (name == "version") {
    LEAT_ASSIGN_OR_RETURN(spec->version, ParseUnsigned(value));
  } else if (name == "size") {
    const size_t dash = value.find('-');
    LEAT_ASSIGN_OR_RETURN(spec->size_min, ParseBytes(std::string_view(value).substr(0, dash)));
    spec->size_max = spec->size_min;
    if (dash != std::string::npos) {
      LEAT_ASSIGN_OR_RETURN(spec->size_max, ParseBytes(std::string_view(value).substr(dash + 1)));
    }
  } else if (name == "layout") {
    const std::vector<std::string> words = Split(value, ':');
    if (words[0] != "flat" && (words[0] != "nested" || words.size() < 2))
      return Fail(ErrorCode::kInvalidArgument,
                  "layout is flat, nested:FOLDERS or nested:FOLDERS:FOLDERS, not " + value);
    for (size_t i = 1; i < words.size(); ++i) {
      LEAT_ASSIGN_OR_RETURN(const uint64_t folders, ParseUnsigned(words[i]));
      spec->folders.push_back(folders);
    }
  } else {
    return Fail(ErrorCode::kInvalidArgument,
                "no setting \"" + std::string(name) + "\": write count, size, layout, prefix, seed, version or object");
  }
  return {};
}

}  // namespace

Result<SyntheticSpec> SyntheticSpec::Parse(std::string_view text) {
  SyntheticSpec spec;
  for (const std::string& setting : Split(text, ',')) {
    const size_t equals = setting.find('=');
    if (equals == std::string::npos) return Fail(ErrorCode::kInvalidArgument, "\"" + setting + "\" is not NAME=VALUE");
    LEAT_RETURN_IF_ERROR(ApplySetting(setting.substr(0, equals), setting.substr(equals + 1), &spec));
  }
  if (!spec.object.empty()) spec.count = 1;
  if (spec.count == 0) return Fail(ErrorCode::kInvalidArgument, "a synthetic bucket needs count=N or object=NAME");
  if (spec.size_max < spec.size_min) return Fail(ErrorCode::kInvalidArgument, "size=MIN-MAX with MAX below MIN");
  uint64_t leaves = 1;
  for (const uint64_t folders : spec.folders) {
    if (folders == 0 || folders > kLeavesMax / leaves)
      return Fail(ErrorCode::kInvalidArgument, "layout has 0 or too many folders");
    leaves *= folders;
  }
  return spec;
}

SyntheticKeys::SyntheticKeys(SyntheticSpec spec) : spec_(std::move(spec)) {
  LEAT_CHECK(spec_.count > 0);
  for (const uint64_t folders : spec_.folders) leaves_ *= folders;
  in_each_leaf_ = (spec_.count + leaves_ - 1) / leaves_;
  number_width_ = std::max(6, DecimalWidth(spec_.count - 1));
}

std::string SyntheticKeys::Key(uint64_t number) const {
  if (!spec_.object.empty()) return spec_.prefix + spec_.object;
  std::string key = spec_.prefix;
  uint64_t leaf = number / in_each_leaf_, below = leaves_;
  for (const uint64_t folders : spec_.folders) {
    below /= folders;
    AppendPadded(&key, leaf / below, DecimalWidth(folders - 1));
    key += '/';
    leaf %= below;
  }
  AppendPadded(&key, number, number_width_);
  return key;
}

std::optional<uint64_t> SyntheticKeys::Find(std::string_view key) const {
  if (!spec_.object.empty()) return key == Key(0) ? std::optional<uint64_t>(0) : std::nullopt;
  const size_t width = static_cast<size_t>(number_width_);
  if (key.size() < width) return std::nullopt;
  const auto number = ParseUnsigned(key.substr(key.size() - width));
  if (!number || *number >= spec_.count || Key(*number) != key) return std::nullopt;
  return *number;
}

uint64_t SyntheticKeys::LowerBound(std::string_view key) const {
  uint64_t low = 0, high = spec_.count;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (Key(middle) < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

uint64_t SyntheticKeys::Size(std::string_view key) const {
  if (spec_.size_max == spec_.size_min) return spec_.size_min;
  return spec_.size_min + Random(spec_.seed, HashKey(key)).Below(spec_.size_max - spec_.size_min + 1);
}

std::string SyntheticKeys::ETag(std::string_view key) const {
  Random random(HashKey(key) ^ Random::Mix(content_seed()), Size(key));
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(random.Next()),
                static_cast<unsigned long long>(random.Next()));
  return text;
}

}  // namespace leat::s3lab
