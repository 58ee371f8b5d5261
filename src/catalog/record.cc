// SPDX-License-Identifier: Apache-2.0
#include "catalog/record.h"

#include <array>
#include <optional>

#include "base/check.h"

namespace leat::catalog {
namespace {

constexpr uint8_t kRecordVersion = 1;
constexpr int64_t kSecond = 1'000'000'000;

enum Flag : uint64_t {
  kTypeBits = 3,
  kRemoved = 1 << 2,
  kListed = 1 << 3,
  kHasMarker = 1 << 4,
  kNameFromKey = 1 << 5,  // the name is the key's last component
  kMetadataKnown = 1 << 6,
  kMode = 1 << 7,
  kUid = 1 << 8,
  kGid = 1 << 9,
  kAtime = 1 << 10,
  kMtime = 1 << 11,  // differs from last_modified
  kUserMetadata = 1 << 12,
  kStorageClass = 1 << 13,
  kHexEtag = 1 << 14,       // quoted MD5: 16 raw bytes
  kWholeSeconds = 1 << 15,  // last_modified in seconds
  kAllFlags = (1 << 16) - 1,
};

void PutVarint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

uint64_t ZigZag(int64_t value) { return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63); }
int64_t UnZigZag(uint64_t value) { return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1); }

void PutBytes(std::string_view bytes, std::string& out) {
  PutVarint(bytes.size(), out);
  out += bytes;
}

// Reads forward; after the first malformed field everything reads as zero and `ok` is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  uint64_t Varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      if (shift == 63 && byte > 1) break;  // would not fit in 64 bits
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return Bad();
  }
  int64_t Signed() { return UnZigZag(Varint()); }
  uint32_t Varint32() {
    const uint64_t value = Varint();
    return static_cast<uint32_t>(value <= UINT32_MAX ? value : Bad());
  }
  std::string_view Raw(size_t length) {
    if (length > rest_.size()) {
      Bad();
      return {};
    }
    const auto taken = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return taken;
  }
  std::string_view Bytes() { return Raw(Varint()); }
  uint64_t Bad() {
    ok_ = false;
    rest_ = {};
    return 0;
  }
  bool ok() const { return ok_; }
  bool AtEnd() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

int HexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

constexpr size_t kMd5Bytes = 16;
using PackedEtag = std::array<char, kMd5Bytes>;

// "\"<32 lower-case hex digits>\"" -> its 16 bytes; anything else: nothing.
std::optional<PackedEtag> PackEtag(std::string_view etag) {
  if (etag.size() != 2 * kMd5Bytes + 2 || etag.front() != '"' || etag.back() != '"') return std::nullopt;
  PackedEtag packed;
  for (size_t i = 0; i < kMd5Bytes; ++i) {
    const int high = HexDigit(etag[1 + 2 * i]), low = HexDigit(etag[2 + 2 * i]);
    if (high < 0 || low < 0) return std::nullopt;
    packed[i] = static_cast<char>(high * 16 + low);
  }
  return packed;
}

void UnpackEtag(std::string_view packed, std::string& etag) {
  static constexpr char kDigits[] = "0123456789abcdef";
  etag.resize(2 * packed.size() + 2);
  size_t at = 0;
  etag[at++] = '"';
  for (const char byte : packed) {
    etag[at++] = kDigits[static_cast<uint8_t>(byte) >> 4];
    etag[at++] = kDigits[static_cast<uint8_t>(byte) & 15];
  }
  etag[at] = '"';
}

// What stands after the last '/', one at the very end not counted.
std::string_view LastComponent(std::string_view key) {
  if (key.ends_with('/')) key.remove_suffix(1);
  const size_t slash = key.rfind('/');
  return slash == std::string_view::npos ? key : key.substr(slash + 1);
}

uint64_t FlagsOf(const Record& record, std::string_view key, bool hex_etag) {
  const Inode& inode = record.inode;
  uint64_t flags = static_cast<uint64_t>(inode.type);
  const auto set = [&](bool condition, Flag flag) { flags |= condition ? static_cast<uint64_t>(flag) : 0; };
  set(inode.removed, kRemoved);
  set(inode.listed, kListed);
  set(record.has_marker, kHasMarker);
  set(LastComponent(key) == inode.name, kNameFromKey);
  set(inode.metadata_known, kMetadataKnown);
  set(inode.mode.has_value(), kMode);
  set(inode.uid.has_value(), kUid);
  set(inode.gid.has_value(), kGid);
  set(inode.atime_ns.has_value(), kAtime);
  set(inode.mtime_ns != record.last_modified_ns, kMtime);
  set(!inode.user_metadata.empty(), kUserMetadata);
  set(!inode.storage_class.empty(), kStorageClass);
  set(hex_etag, kHexEtag);
  set(record.last_modified_ns % kSecond == 0, kWholeSeconds);
  return flags;
}

tl::unexpected<Error> Malformed(std::string_view what) {
  return Fail(ErrorCode::kCorrupt, "the catalog holds a malformed " + std::string(what) +
                                       "; remove the catalog's directory, it is then imported again");
}

}  // namespace

void EncodeRecordInto(const Record& record, std::string_view key_prefix, std::string& out) {
  const Inode& inode = record.inode;
  LEAT_CHECK(inode.key.starts_with(key_prefix));
  const auto key = std::string_view(inode.key).substr(key_prefix.size());
  const auto packed_etag = PackEtag(inode.etag);
  const uint64_t flags = FlagsOf(record, key, packed_etag.has_value());
  out.clear();
  out.reserve(64 + key.size() + inode.etag.size());
  out += static_cast<char>(kRecordVersion);
  PutVarint(flags, out);
  PutVarint(Value(inode.parent), out);
  PutBytes(key, out);
  if (!(flags & kNameFromKey)) PutBytes(inode.name, out);
  if (flags & kHexEtag) {
    out.append(packed_etag->data(), packed_etag->size());
  } else {
    PutBytes(inode.etag, out);
  }
  PutVarint(inode.size_bytes, out);
  PutVarint(ZigZag(flags & kWholeSeconds ? record.last_modified_ns / kSecond : record.last_modified_ns), out);
  if (flags & kMtime) PutVarint(ZigZag(inode.mtime_ns), out);
  if (flags & kAtime) PutVarint(ZigZag(*inode.atime_ns), out);
  if (flags & kMode) PutVarint(*inode.mode, out);
  if (flags & kUid) PutVarint(*inode.uid, out);
  if (flags & kGid) PutVarint(*inode.gid, out);
  if (flags & kStorageClass) PutBytes(inode.storage_class, out);
  if (flags & kUserMetadata) {
    PutVarint(inode.user_metadata.size(), out);
    for (const auto& [name, value] : inode.user_metadata) {
      PutBytes(name, out);
      PutBytes(value, out);
    }
  }
  if (inode.type == FileType::kSymlink) PutBytes(inode.symlink_target, out);
}

std::string EncodeRecord(const Record& record, std::string_view key_prefix) {
  std::string out;
  EncodeRecordInto(record, key_prefix, out);
  return out;
}

Status DecodeRecordInto(InodeId id, std::string_view bytes, std::string_view key_prefix, Record& record) {
  Inode& inode = record.inode;
  if (bytes.empty() || static_cast<uint8_t>(bytes.front()) != kRecordVersion) return Malformed("inode record");
  Reader reader(bytes.substr(1));
  const uint64_t flags = reader.Varint();
  if ((flags & kTypeBits) == 0 || flags > kAllFlags) return Malformed("inode record");
  inode.id = id;
  inode.type = static_cast<FileType>(flags & kTypeBits);
  inode.removed = flags & kRemoved;
  inode.listed = flags & kListed;
  record.has_marker = flags & kHasMarker;
  inode.metadata_known = flags & kMetadataKnown;
  inode.parent = InodeId{reader.Varint()};
  const std::string_view key = reader.Bytes();
  inode.key.assign(key_prefix).append(key);
  inode.name = flags & kNameFromKey ? LastComponent(key) : reader.Bytes();
  if (flags & kHexEtag) {
    UnpackEtag(reader.Raw(kMd5Bytes), inode.etag);
  } else {
    inode.etag = reader.Bytes();
  }
  inode.size_bytes = reader.Varint();
  record.last_modified_ns = reader.Signed();
  if ((flags & kWholeSeconds) && __builtin_mul_overflow(record.last_modified_ns, kSecond, &record.last_modified_ns)) {
    return Malformed("inode record");
  }
  inode.mtime_ns = flags & kMtime ? reader.Signed() : record.last_modified_ns;
  inode.atime_ns = flags & kAtime ? std::optional(reader.Signed()) : std::nullopt;
  inode.mode = flags & kMode ? std::optional(reader.Varint32()) : std::nullopt;
  inode.uid = flags & kUid ? std::optional(reader.Varint32()) : std::nullopt;
  inode.gid = flags & kGid ? std::optional(reader.Varint32()) : std::nullopt;
  inode.storage_class = flags & kStorageClass ? reader.Bytes() : std::string_view();
  inode.user_metadata.clear();
  if (flags & kUserMetadata) {
    for (uint64_t left = reader.Varint(); left > 0 && reader.ok(); --left) {
      const std::string_view name = reader.Bytes();
      inode.user_metadata.emplace_back(name, reader.Bytes());
    }
  }
  inode.symlink_target = inode.type == FileType::kSymlink ? reader.Bytes() : std::string_view();
  if (!reader.AtEnd()) return Malformed("inode record");
  return {};
}

Result<Record> DecodeRecord(InodeId id, std::string_view bytes, std::string_view key_prefix) {
  Record record;
  LEAT_RETURN_IF_ERROR(DecodeRecordInto(id, bytes, key_prefix, record));
  return record;
}

std::string EncodeEntry(Entry entry) {
  std::string out;
  PutVarint(Value(entry.id) << 2 | static_cast<uint64_t>(entry.type), out);
  return out;
}

Result<Entry> DecodeEntry(std::string_view bytes) {
  Reader reader(bytes);
  const uint64_t value = reader.Varint();
  if (!reader.AtEnd() || (value & kTypeBits) == 0) return Malformed("directory entry");
  return Entry{InodeId{value >> 2}, static_cast<FileType>(value & kTypeBits)};
}

std::string EncodeTotals(const CatalogTotals& totals) {
  std::string out;
  PutVarint(totals.files, out);
  PutVarint(totals.directories, out);
  PutVarint(totals.bytes, out);
  PutVarint(totals.complete, out);
  PutVarint(ZigZag(totals.imported_at_ns), out);
  return out;
}

Result<CatalogTotals> DecodeTotals(std::string_view bytes) {
  Reader reader(bytes);
  CatalogTotals totals;
  totals.files = reader.Varint();
  totals.directories = reader.Varint();
  totals.bytes = reader.Varint();
  totals.complete = reader.Varint() != 0;
  totals.imported_at_ns = reader.Signed();
  if (!reader.AtEnd()) return Malformed("totals record");
  return totals;
}

std::string InodeKey(InodeId id) {
  std::string key(8, '\0');
  for (size_t i = 0; i < 8; ++i) key[i] = static_cast<char>(Value(id) >> (56 - 8 * i));
  return key;
}

std::string EntryKey(InodeId parent, std::string_view name) { return InodeKey(parent).append(name); }
void EntryKeyInto(InodeId parent, std::string_view name, std::string& key) {
  key.assign(InodeKey(parent)).append(name);
}

uint64_t DecodeBigEndian(std::string_view bytes) {
  LEAT_CHECK(bytes.size() >= 8);
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

}  // namespace leat::catalog
