// SPDX-License-Identifier: Apache-2.0
// Record: how the catalog stores an inode and an entry (docs/formats/catalog.md). Pure functions; any thread.
// Decoding rejects malformed bytes with kCorrupt and never reads outside them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "catalog/catalog.h"

namespace leat::catalog {

// An inode and what only the catalog needs. `inode.key` and the stored one differ by the repository's prefix.
struct Record {
  Inode inode;
  bool has_marker = false;       // directory: the object `key` exists; `inode.etag` is its ETag
  int64_t last_modified_ns = 0;  // as the bucket says; inode.mtime_ns differs when POSIX metadata says otherwise
};

struct Entry {
  InodeId id{};
  FileType type = FileType::kFile;
};

std::string EncodeRecord(const Record& record, std::string_view key_prefix);
void EncodeRecordInto(const Record& record, std::string_view key_prefix, std::string& out);  // in place of what it held
Result<Record> DecodeRecord(InodeId id, std::string_view bytes, std::string_view key_prefix);
// Over what `record` held, whose strings are used again: for one record after another. After a failure it is any
// record.
Status DecodeRecordInto(InodeId id, std::string_view bytes, std::string_view key_prefix, Record& record);

std::string EncodeEntry(Entry entry);
Result<Entry> DecodeEntry(std::string_view bytes);

std::string EncodeTotals(const CatalogTotals& totals);
Result<CatalogTotals> DecodeTotals(std::string_view bytes);

// Keys of the column families: big-endian, so that bytewise order is numeric order.
std::string InodeKey(InodeId id);
std::string EntryKey(InodeId parent, std::string_view name);
void EntryKeyInto(InodeId parent, std::string_view name, std::string& key);
uint64_t DecodeBigEndian(std::string_view bytes);  // of at least 8 bytes

}  // namespace leat::catalog
