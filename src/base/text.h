// SPDX-License-Identifier: Apache-2.0
// Text the way people read and write it: sizes, durations, percent encoding, hex.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace leat {

// "1.5 GiB", "110 KiB", "512 B": at most three significant digits before a binary unit.
std::string FormatBytes(uint64_t bytes);
// "12 s", "3 min 20 s", "2 h 05 min".
std::string FormatSeconds(double seconds);
// "10G", "512MiB", "1.5t", "4096": binary units whatever the suffix's spelling. Fails on anything else, naming it.
Result<uint64_t> ParseBytes(std::string_view text);
// A whole decimal number, nothing before or after it.
Result<uint64_t> ParseUnsigned(std::string_view text);

std::string HexEncode(std::span<const std::byte> bytes);
std::string HexEncode(std::string_view bytes);
// RFC 3986 percent encoding as SigV4 wants it: every byte but A-Za-z0-9-._~ (and '/' when keep_slash), upper-case hex.
std::string PercentEncode(std::string_view text, bool keep_slash);
// Percent decoding; '+' becomes a space when plus_is_space (S3's encoding-type=url). Malformed escapes stay as they
// are.
std::string PercentDecode(std::string_view text, bool plus_is_space);

std::vector<std::string> Split(std::string_view text, char separator);  // "a,,b" -> {"a","","b"}; "" -> {""}
std::string_view Trim(std::string_view text);                           // ASCII white space at both ends
std::string ToLower(std::string_view text);                             // ASCII only

// Length of the valid UTF-8 sequence that `text` starts with (1 to 4), or 0 when it starts with none.
size_t Utf8SequenceLength(std::string_view text);
// Characters of UTF-8; a byte that belongs to none counts as one.
size_t CharacterCount(std::string_view text);
// The first `characters_max` characters, and all of a text that has no more.
std::string CutToCharacters(std::string_view text, size_t characters_max);

// ISO 8601 in UTC, "2026-01-02T03:04:05Z" (whole seconds) from nanoseconds since the epoch.
std::string FormatTimeUtc(int64_t epoch_ns);

}  // namespace leat
