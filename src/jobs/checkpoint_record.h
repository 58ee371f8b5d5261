// SPDX-License-Identifier: Apache-2.0
// The record of checkpoints: which files of a checkpoint directory are in the bucket, as which version
// (docs/formats/checkpoint-record.md). It can be lost at any time: then files are copied once more than needed, and
// nothing is deleted in the bucket that only the record knew to be ours. Functions; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace leat::jobs {

struct RecordedFile {
  uint64_t size_bytes = 0;
  int64_t modified_ns = 0;  // since the epoch
  std::string etag;         // of the object, with its quotes

  friend bool operator==(const RecordedFile&, const RecordedFile&) = default;
};

struct CheckpointRecord {
  // Of the kernel under which the files were compared: what was not synced to disk does not outlive it.
  std::string boot_id;
  std::string uri;                            // where the objects are
  std::map<std::string, RecordedFile> files;  // by path, relative to the directory
};

std::string EncodeCheckpointRecord(const CheckpointRecord& record);
// kCorrupt: it is damaged, or of a version that this program does not know.
Result<CheckpointRecord> DecodeCheckpointRecord(std::string_view text);

// kNotFound: there is none.
Result<CheckpointRecord> ReadCheckpointRecord(const std::string& path);
// Replaces it whole, durably.
Status WriteCheckpointRecord(const std::string& path, const CheckpointRecord& record);

// Of the kernel that runs now; empty where it does not tell.
std::string ThisBootId();

}  // namespace leat::jobs
