// SPDX-License-Identifier: Apache-2.0
#include "cache/records.h"

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"

namespace leat::cache {
namespace {

constexpr uint8_t kRecordVersion = 1;
constexpr size_t kObjectKeyBytes = 20;

void AppendBig(std::string& out, uint64_t number, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(number >> (8 * i)));
}
void AppendLittle(std::string& out, uint64_t number, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(number >> (8 * i)));
}
uint64_t Little(std::string_view text, size_t at, int bytes) {
  uint64_t number = 0;
  for (int i = bytes - 1; i >= 0; --i)
    number = number << 8 | static_cast<unsigned char>(text[at + static_cast<size_t>(i)]);
  return number;
}
uint32_t Little32(std::string_view text, size_t at) { return static_cast<uint32_t>(Little(text, at, 4)); }

void AppendObjectKey(std::string& out, const ObjectKey& key) {
  AppendBig(out, Value(key.dataset), 4);
  out.append(reinterpret_cast<const char*>(key.id.bytes.data()), key.id.bytes.size());
}
ObjectKey ObjectKeyAt(std::string_view text, size_t at) {
  ObjectKey key;
  key.dataset = DatasetId{*NumberIn(text, at)};
  std::memcpy(key.id.bytes.data(), text.data() + at + 4, key.id.bytes.size());
  return key;
}
std::string Numbered(std::string_view prefix, uint32_t number) {
  std::string key(prefix);
  AppendBig(key, number, 4);
  return key;
}
std::string Keyed(std::string_view prefix, const ObjectKey& object) {
  std::string key(prefix);
  AppendObjectKey(key, object);
  return key;
}
// The checksums that end a value; nullopt unless there is exactly one for each chunk of `length`.
std::optional<std::vector<uint32_t>> ChecksumsFrom(std::string_view value, size_t at, uint32_t length, uint64_t limit) {
  const uint64_t count = ChunkCount(length);
  if (length > limit || value.size() != at + 4 * count) return std::nullopt;
  std::vector<uint32_t> checksums(count);
  for (size_t i = 0; i < count; ++i) checksums[i] = Little32(value, at + 4 * i);
  return checksums;
}

}  // namespace

std::string Encode(const ExtentRecord& record) {
  std::string out(1, static_cast<char>(kRecordVersion));
  for (const uint32_t number : {record.segment, record.page, record.length}) AppendLittle(out, number, 4);
  for (const uint32_t checksum : record.checksums) AppendLittle(out, checksum, 4);
  return out;
}

std::string Encode(const BlockRecord& record) {
  std::string out(1, static_cast<char>(kRecordVersion));
  AppendLittle(out, record.length, 4);
  for (const uint32_t checksum : record.checksums) AppendLittle(out, checksum, 4);
  return out;
}

std::string Encode(const PlaceRecord& record) {
  std::string out;
  AppendObjectKey(out, record.key);
  AppendLittle(out, record.pages, 4);
  return out;
}

std::optional<ExtentRecord> DecodeExtent(std::string_view value) {
  if (value.size() < 13 || value[0] != static_cast<char>(kRecordVersion)) return std::nullopt;
  ExtentRecord record{Little32(value, 1), Little32(value, 5), Little32(value, 9), {}};
  auto checksums = ChecksumsFrom(value, 13, record.length, kSmallObjectBytesMax);
  if (!checksums) return std::nullopt;
  record.checksums = std::move(*checksums);
  return record;
}

std::optional<BlockRecord> DecodeBlock(std::string_view value) {
  if (value.size() < 5 || value[0] != static_cast<char>(kRecordVersion)) return std::nullopt;
  BlockRecord record{Little32(value, 1), {}};
  auto checksums = ChecksumsFrom(value, 5, record.length, kBlockBytes);
  if (!checksums) return std::nullopt;
  record.checksums = std::move(*checksums);
  return record;
}

std::optional<PlaceRecord> DecodePlace(std::string_view value) {
  if (value.size() != kObjectKeyBytes + 4) return std::nullopt;
  return PlaceRecord{ObjectKeyAt(value, 0), Little32(value, kObjectKeyBytes)};
}

std::string FormatKey() { return "v"; }
std::string ExtentPrefix(DatasetId dataset) { return Numbered("s", Value(dataset)); }
std::string ExtentKey(const ObjectKey& key) { return Keyed("s", key); }
std::string BlockPrefix(DatasetId dataset) { return Numbered("b", Value(dataset)); }
std::string BlockPrefix(const ObjectKey& key) { return Keyed("b", key); }
std::string BlockKey(const ObjectKey& key, uint32_t block) {
  std::string out = Keyed("b", key);
  AppendBig(out, block, 4);
  return out;
}
std::string PlacePrefix(uint32_t segment) { return Numbered("e", segment); }
std::string PlaceKey(uint32_t segment, uint32_t page) {
  std::string out = Numbered("e", segment);
  AppendBig(out, page, 4);
  return out;
}
std::string SegmentPrefix() { return "g"; }
std::string SegmentKey(uint32_t segment) { return Numbered("g", segment); }
std::string DatasetPrefix() { return "d"; }
std::string DatasetKey(DatasetId dataset) { return Numbered("d", Value(dataset)); }
std::string SegmentIntentPrefix() { return "is"; }
std::string SegmentIntentKey(uint32_t segment, uint64_t sequence) {
  std::string out = Numbered("is", segment);
  AppendBig(out, sequence, 8);
  return out;
}
std::string LargeIntentPrefix() { return "il"; }
std::string LargeIntentKey(const ObjectKey& key, uint64_t sequence) {
  std::string out = Keyed("il", key);
  AppendBig(out, sequence, 8);
  return out;
}

std::optional<ObjectKey> ObjectKeyIn(std::string_view key) {
  const size_t at = key.starts_with("i") ? 2 : 1;
  if (key.size() < at + kObjectKeyBytes) return std::nullopt;
  return ObjectKeyAt(key, at);
}

std::optional<uint32_t> NumberIn(std::string_view key, size_t at) {
  if (key.size() < at + 4) return std::nullopt;
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number = number << 8 | static_cast<unsigned char>(key[at + i]);
  return number;
}

std::string EncodeCounters(std::span<const int64_t> values) {
  std::string out;
  for (const int64_t value : values) AppendLittle(out, static_cast<uint64_t>(value), 8);
  return out;
}

std::vector<int64_t> DecodeCounters(std::string_view value) {
  std::vector<int64_t> out(value.size() / 8);
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<int64_t>(Little(value, 8 * i, 8));
  return out;
}

Trailer MakeTrailer(const ObjectId& id, uint64_t length) {
  std::string text = "LEATOBJ1";
  text.append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
  AppendLittle(text, length, 8);
  AppendLittle(text, Crc32c(std::as_bytes(std::span(text))), 4);
  AppendLittle(text, 0, 4);
  Trailer trailer;
  std::memcpy(trailer.data(), text.data(), trailer.size());
  return trailer;
}

}  // namespace leat::cache
