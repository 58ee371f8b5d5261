// SPDX-License-Identifier: Apache-2.0
// The bytes of the index's keys and values and of the trailer on disk (docs/formats/cache.md). Pure; any thread.
// Decoding accepts any bytes: what is malformed gives nullopt.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/cache.h"
#include "cache/object_ref.h"

namespace leat::cache {

inline constexpr uint32_t kFormatVersion = 1;
inline constexpr uint64_t kPageBytes = 4096;  // unit of allocation: holes free whole pages only
inline constexpr uint64_t kTrailerBytes = 40;

inline constexpr uint64_t RoundUp(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }
inline constexpr uint64_t ChunkCount(uint64_t bytes) { return (bytes + kChecksumBytes - 1) / kChecksumBytes; }
// Allocated for a small object: its bytes and the trailer right after them.
inline constexpr uint64_t ExtentBytes(uint64_t length) { return RoundUp(length + kTrailerBytes, kPageBytes); }

// An object of one dataset.
struct ObjectKey {
  DatasetId dataset{};
  ObjectId id;
  auto operator<=>(const ObjectKey&) const = default;
};
inline ObjectKey KeyOf(const ObjectRef& object) { return {object.dataset, object.id}; }

// Where a small object lies.
struct ExtentRecord {
  uint32_t segment = 0;
  uint32_t page = 0;  // its offset in the segment, in pages
  uint32_t length = 0;
  std::vector<uint32_t> checksums;  // ChunkCount(length)
  bool operator==(const ExtentRecord&) const = default;
};
// One block of a large object.
struct BlockRecord {
  uint32_t length = 0;
  std::vector<uint32_t> checksums;
  bool operator==(const BlockRecord&) const = default;
};
// What lies at a place of a segment, so that what no record covers can be given back after a crash.
struct PlaceRecord {
  ObjectKey key;
  uint32_t pages = 0;
};

std::string Encode(const ExtentRecord& record);
std::string Encode(const BlockRecord& record);
std::string Encode(const PlaceRecord& record);
std::optional<ExtentRecord> DecodeExtent(std::string_view value);
std::optional<BlockRecord> DecodeBlock(std::string_view value);
std::optional<PlaceRecord> DecodePlace(std::string_view value);

// Keys. Numbers in keys are big-endian, so that the index's order is theirs; in values little-endian.
std::string FormatKey();
std::string ExtentPrefix(DatasetId dataset);
std::string ExtentKey(const ObjectKey& key);
std::string BlockPrefix(DatasetId dataset);
std::string BlockPrefix(const ObjectKey& key);
std::string BlockKey(const ObjectKey& key, uint32_t block);
std::string PlacePrefix(uint32_t segment);
std::string PlaceKey(uint32_t segment, uint32_t page);
std::string SegmentPrefix();
std::string SegmentKey(uint32_t segment);  // counter: live bytes
std::string DatasetPrefix();
std::string DatasetKey(DatasetId dataset);  // counters: bytes, objects
// Intents: "the file may hold blocks that no record covers". One key per intent, so that ending one never ends another.
std::string SegmentIntentPrefix();
std::string SegmentIntentKey(uint32_t segment, uint64_t sequence);
std::string LargeIntentPrefix();
std::string LargeIntentKey(const ObjectKey& key, uint64_t sequence);

// Of a key made by ExtentKey, BlockKey or LargeIntentKey.
std::optional<ObjectKey> ObjectKeyIn(std::string_view key);
// The big-endian number at `at`, or nullopt when the key is too short.
std::optional<uint32_t> NumberIn(std::string_view key, size_t at);

std::string EncodeCounters(std::span<const int64_t> values);
std::vector<int64_t> DecodeCounters(std::string_view value);

// Identity beside the bytes: magic, object id, length, CRC-32C of these.
using Trailer = std::array<std::byte, kTrailerBytes>;
Trailer MakeTrailer(const ObjectId& id, uint64_t length);

}  // namespace leat::cache
