// SPDX-License-Identifier: Apache-2.0
#include "jobs/checkpoint_record.h"

#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <span>
#include <vector>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/text.h"

namespace leat::jobs {
namespace {

constexpr std::string_view kFirstLine = "leat-checkpoints 1";
constexpr size_t kRecordBytesMax = 1u << 30;

std::string Checksum(std::string_view text) {
  char hex[16];
  std::snprintf(hex, sizeof hex, "%08" PRIx32, Crc32c(std::as_bytes(std::span(text.data(), text.size()))));
  return hex;
}

tl::unexpected<Error> Damaged() {
  return Fail(ErrorCode::kCorrupt, "the record of checkpoints is damaged, or of another version of this program");
}

template <class Number>
bool ReadNumber(const std::string& text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

}  // namespace

std::string EncodeCheckpointRecord(const CheckpointRecord& record) {
  std::string text(kFirstLine);
  text += "\nboot " + PercentEncode(record.boot_id, false) + "\nuri " + PercentEncode(record.uri, true) + "\n";
  for (const auto& [path, file] : record.files) {
    text += "file " + std::to_string(file.size_bytes) + " " + std::to_string(file.modified_ns) + " " +
            PercentEncode(file.etag, false) + " " + PercentEncode(path, true) + "\n";
  }
  return text + "end " + Checksum(text) + "\n";
}

Result<CheckpointRecord> DecodeCheckpointRecord(std::string_view text) {
  constexpr size_t kLastLineBytes = sizeof("end 01234567");
  if (text.size() < kLastLineBytes) return Damaged();
  const std::string_view body = text.substr(0, text.size() - kLastLineBytes);
  if (text.substr(body.size()) != "end " + Checksum(body) + "\n" || !body.ends_with('\n')) return Damaged();
  const auto lines = Split(body.substr(0, body.size() - 1), '\n');
  if (lines.size() < 3 || lines[0] != kFirstLine) return Damaged();
  CheckpointRecord record;
  for (size_t i = 1; i < lines.size(); ++i) {
    const auto words = Split(lines[i], ' ');
    if (i < 3 && words.size() == 2 && words[0] == (i == 1 ? "boot" : "uri")) {
      (i == 1 ? record.boot_id : record.uri) = PercentDecode(words[1], false);
      continue;
    }
    RecordedFile file;
    if (i < 3 || words.size() != 5 || words[0] != "file" || !ReadNumber(words[1], file.size_bytes) ||
        !ReadNumber(words[2], file.modified_ns)) {
      return Damaged();
    }
    file.etag = PercentDecode(words[3], false);
    record.files[PercentDecode(words[4], false)] = std::move(file);
  }
  return record;
}

Result<CheckpointRecord> ReadCheckpointRecord(const std::string& path) {
  LEAT_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kRecordBytesMax));
  auto record = DecodeCheckpointRecord(text);
  if (!record) return Fail(record.error().code, path + ": " + record.error().message);
  return record;
}

Status WriteCheckpointRecord(const std::string& path, const CheckpointRecord& record) {
  return WriteFileAtomically(path, EncodeCheckpointRecord(record), 0600, true);
}

std::string ThisBootId() {
  const auto text = ReadFile("/proc/sys/kernel/random/boot_id", 4096);
  return text ? std::string(Trim(*text)) : std::string();
}

}  // namespace leat::jobs
