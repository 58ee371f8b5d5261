// SPDX-License-Identifier: Apache-2.0
#include "control/raw_text.h"

#include <vector>

#include "base/text.h"

namespace leat::control {
namespace {

using Json = nlohmann::json;

// U+10FF80 to U+10FFFF in UTF-8: F4 8F, then BE and the byte itself (80 to BF), or BF and the byte less 0x40.
constexpr std::string_view kMark = "\xF4\x8F";
constexpr char kLow = '\xBE', kHigh = '\xBF';

bool StartsWithEscape(std::string_view text) {
  return text.size() >= 4 && text.starts_with(kMark) && (text[2] == kLow || text[2] == kHigh) &&
         (static_cast<unsigned char>(text[3]) & 0xC0) == 0x80;
}

// Length of what goes as it is, 0 when the first byte must be escaped.
size_t PlainLength(std::string_view text) { return StartsWithEscape(text) ? 0 : Utf8SequenceLength(text.substr(0, 4)); }

bool IsPlain(std::string_view text) {
  for (size_t at = 0, length = 0; at < text.size(); at += length) {
    length = PlainLength(text.substr(at));
    if (length == 0) return false;
  }
  return true;
}

// Every text in `value`. No recursion: a hostile line may nest as deep as it is long.
template <class AnyJson, class Visit>
void ForEachText(AnyJson& value, Visit visit) {
  std::vector<AnyJson*> pending = {&value};
  while (!pending.empty()) {
    AnyJson& one = *pending.back();
    pending.pop_back();
    if (one.is_string()) visit(one);
    if (!one.is_structured()) continue;
    for (auto& member : one) pending.push_back(&member);
  }
}

}  // namespace

std::string EscapeRawBytes(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    if (const size_t length = PlainLength(text.substr(at)); length > 0) {
      escaped.append(text.substr(at, length));
      at += length;
      continue;
    }
    const auto byte = static_cast<unsigned char>(text[at++]);
    const bool is_high = byte >= 0xC0;
    escaped.append(kMark);
    escaped += is_high ? kHigh : kLow;
    escaped += static_cast<char>(is_high ? byte - 0x40 : byte);
  }
  return escaped;
}

std::string UnescapeRawBytes(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    if (!StartsWithEscape(text.substr(at))) {
      plain += text[at++];
      continue;
    }
    const auto last = static_cast<unsigned char>(text[at + 3]);
    plain += static_cast<char>(text[at + 2] == kHigh ? last + 0x40 : last);
    at += 4;
  }
  return plain;
}

std::string DumpWithRawBytes(const Json& value) {
  const auto dump = [](const Json& any) { return any.dump(-1, ' ', false, Json::error_handler_t::replace); };
  bool is_plain = true;
  ForEachText(value, [&](const Json& text) { is_plain = is_plain && IsPlain(text.get_ref<const std::string&>()); });
  if (is_plain) return dump(value);
  Json escaped = value;
  ForEachText(escaped, [](Json& text) {
    auto& string = text.get_ref<std::string&>();
    string = EscapeRawBytes(string);
  });
  return dump(escaped);
}

void UnescapeTexts(Json& value) {
  ForEachText(value, [](Json& text) {
    auto& string = text.get_ref<std::string&>();
    if (string.find(kMark) != std::string::npos) string = UnescapeRawBytes(string);
  });
}

}  // namespace leat::control
