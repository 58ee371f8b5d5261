// SPDX-License-Identifier: Apache-2.0
#include "model/posix_metadata.h"

#include <charconv>
#include <limits>

namespace leat {
namespace {

constexpr uint32_t kTypeMask = 0170000, kRegular = 0100000, kDirectory = 0040000, kSymlink = 0120000;
constexpr uint32_t kPermissions = 0777;

template <class T>
std::optional<T> ParseWhole(std::string_view text, int base = 10) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<uint32_t> ParseId(std::string_view text) {
  const auto id = ParseWhole<uint32_t>(text);
  if (id == std::numeric_limits<uint32_t>::max()) return std::nullopt;  // (uid_t)-1 means "leave" to chown
  return id;
}

bool IsKnownType(uint32_t mode) {
  const uint32_t type = mode & kTypeMask;
  return mode <= 0177777 && (type == kRegular || type == kDirectory || type == kSymlink);
}

std::optional<uint32_t> ParseFsxMode(std::string_view text) {
  const auto mode = ParseWhole<uint32_t>(text, 8);
  if (!mode || (*mode > 07777 && !IsKnownType(*mode))) return std::nullopt;
  return mode;
}

// s3fs writes st_mode in decimal (33188), rclone in octal (100644): the type bits tell which it is.
std::optional<uint32_t> ParseForeignMode(std::string_view text) {
  const auto decimal = ParseWhole<uint32_t>(text);
  if (decimal && IsKnownType(*decimal)) return decimal;
  return ParseFsxMode(text);
}

std::optional<int64_t> Scale(int64_t value, int64_t factor) {
  int64_t scaled = 0;
  if (__builtin_mul_overflow(value, factor, &scaled)) return std::nullopt;
  return scaled;
}

// "1595002920000000000ns", or milliseconds without a suffix.
std::optional<int64_t> ParseFsxTime(std::string_view text) {
  const bool is_nanoseconds = text.ends_with("ns");
  if (is_nanoseconds) text.remove_suffix(2);
  const auto value = ParseWhole<int64_t>(text);
  if (!value) return std::nullopt;
  return is_nanoseconds ? value : Scale(*value, 1'000'000);
}

// "1595002920" or "1595002920.123456789": seconds, a fraction of up to nine digits counts.
std::optional<int64_t> ParseForeignTime(std::string_view text) {
  const size_t point = text.find('.');
  const auto seconds = ParseWhole<int64_t>(text.substr(0, point));
  if (!seconds) return std::nullopt;
  auto time = Scale(*seconds, 1'000'000'000);
  if (!time || point == std::string_view::npos) return time;
  const std::string_view digits = text.substr(point + 1);
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  int64_t fraction = 0;
  for (size_t i = 0; i < 9; ++i) fraction = fraction * 10 + (i < digits.size() ? digits[i] - '0' : 0);
  if (text.front() == '-') fraction = -fraction;
  int64_t sum = 0;
  if (__builtin_add_overflow(*time, fraction, &sum)) return std::nullopt;
  return sum;
}

template <class T>
void Prefer(std::optional<T>& value, const std::optional<T>& other) {
  if (!value) value = other;
}

}  // namespace

PosixMetadata DecodePosixMetadata(const UserMetadata& metadata, UserMetadata* rest) {
  PosixMetadata fsx, foreign;
  std::optional<uint32_t> fsx_mode, foreign_mode;
  for (const auto& [name, value] : metadata) {
    bool understood = true;
    const auto take = [&](auto& field, auto parsed) {
      understood = parsed.has_value();
      if (parsed) field = parsed;
    };
    if (name == "file-permissions") {
      take(fsx_mode, ParseFsxMode(value));
    } else if (name == "file-owner") {
      take(fsx.uid, ParseId(value));
    } else if (name == "file-group") {
      take(fsx.gid, ParseId(value));
    } else if (name == "file-mtime") {
      take(fsx.mtime_ns, ParseFsxTime(value));
    } else if (name == "file-atime") {
      take(fsx.atime_ns, ParseFsxTime(value));
    } else if (name == "mode") {
      take(foreign_mode, ParseForeignMode(value));
    } else if (name == "uid") {
      take(foreign.uid, ParseId(value));
    } else if (name == "gid") {
      take(foreign.gid, ParseId(value));
    } else if (name == "mtime") {
      take(foreign.mtime_ns, ParseForeignTime(value));
    } else if (name == "atime") {
      take(foreign.atime_ns, ParseForeignTime(value));
    } else {
      understood = name == "user-agent" && value == "aws-fsx-lustre";
    }
    if (!understood && rest != nullptr) rest->emplace_back(name, value);
  }
  Prefer(fsx.uid, foreign.uid);
  Prefer(fsx.gid, foreign.gid);
  Prefer(fsx.mtime_ns, foreign.mtime_ns);
  Prefer(fsx.atime_ns, foreign.atime_ns);
  Prefer(fsx_mode, foreign_mode);
  if (fsx_mode) {
    fsx.mode = *fsx_mode & kPermissions;
    fsx.is_symlink = (*fsx_mode & kTypeMask) == kSymlink;
  }
  return fsx;
}

UserMetadata EncodePosixMetadata(const PosixMetadata& metadata, PosixKind kind) {
  UserMetadata pairs;
  if (metadata.mode) {
    const uint32_t type = kind == PosixKind::kFile ? kRegular : kind == PosixKind::kDirectory ? kDirectory : kSymlink;
    uint32_t mode = type | (*metadata.mode & kPermissions);
    std::string octal(7, '0');
    for (size_t at = octal.size(); mode != 0; mode >>= 3) octal[--at] = static_cast<char>('0' + (mode & 7));
    pairs.emplace_back("file-permissions", std::move(octal));
  }
  if (metadata.uid) pairs.emplace_back("file-owner", std::to_string(*metadata.uid));
  if (metadata.gid) pairs.emplace_back("file-group", std::to_string(*metadata.gid));
  if (metadata.mtime_ns) pairs.emplace_back("file-mtime", std::to_string(*metadata.mtime_ns) + "ns");
  if (metadata.atime_ns) pairs.emplace_back("file-atime", std::to_string(*metadata.atime_ns) + "ns");
  return pairs;
}

}  // namespace leat
