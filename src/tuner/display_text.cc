// SPDX-License-Identifier: Apache-2.0
#include "tuner/display_text.h"

#include <algorithm>
#include <cstdint>

#include "base/log.h"
#include "base/text.h"

namespace leat::tuner {
namespace {

struct Interval {
  char32_t first, last;
};

constexpr Interval kInvisible[] = {{0x80, 0x9f},     {0x61c, 0x61c},   {0x200e, 0x200f},
                                   {0x2028, 0x202e}, {0x2066, 0x2069}, {0xfeff, 0xfeff}};
constexpr Interval kCombining[] = {
    {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},    {0x610, 0x61a},   {0x64b, 0x65f},   {0x6d6, 0x6dc},
    {0x900, 0x902},   {0x93c, 0x93c},   {0x941, 0x948},    {0x94d, 0x94d},   {0xe31, 0xe31},   {0xe34, 0xe3a},
    {0xe47, 0xe4e},   {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},  {0x200b, 0x200d}, {0x20d0, 0x20ff}, {0x3099, 0x309a},
    {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xe0100, 0xe01ef}};
constexpr Interval kWide[] = {
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x2329, 0x232a},   {0x23e9, 0x23ec},   {0x23f0, 0x23f0},
    {0x23f3, 0x23f3},   {0x25fd, 0x25fe},   {0x2614, 0x2615},   {0x2648, 0x2653},   {0x267f, 0x267f},
    {0x2693, 0x2693},   {0x26a1, 0x26a1},   {0x26aa, 0x26ab},   {0x26bd, 0x26be},   {0x26c4, 0x26c5},
    {0x26ce, 0x26ce},   {0x26d4, 0x26d4},   {0x26ea, 0x26ea},   {0x26f2, 0x26f3},   {0x26f5, 0x26f5},
    {0x26fa, 0x26fa},   {0x26fd, 0x26fd},   {0x2705, 0x2705},   {0x270a, 0x270b},   {0x2728, 0x2728},
    {0x274c, 0x274c},   {0x274e, 0x274e},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},
    {0x27b0, 0x27b0},   {0x27bf, 0x27bf},   {0x2b1b, 0x2b1c},   {0x2b50, 0x2b50},   {0x2b55, 0x2b55},
    {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xa960, 0xa97c},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},
    {0xfe10, 0xfe19},   {0xfe30, 0xfe6b},   {0xff01, 0xff60},   {0xffe0, 0xffe6},   {0x16fe0, 0x18cff},
    {0x1aff0, 0x1b2ff}, {0x1f004, 0x1f004}, {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f18e}, {0x1f191, 0x1f19a},
    {0x1f1e6, 0x1f320}, {0x1f32d, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f7e0, 0x1f7f0}, {0x1f90c, 0x1faff},
    {0x20000, 0x3fffd}};

template <size_t kCount>
bool IsIn(const Interval (&intervals)[kCount], char32_t character) {
  const auto* after = std::upper_bound(std::begin(intervals), std::end(intervals), character,
                                       [](char32_t value, const Interval& interval) { return value < interval.first; });
  return after != std::begin(intervals) && character <= (after - 1)->last;
}

struct Character {
  char32_t code = 0;
  size_t bytes = 1;
};

// A byte that begins no valid sequence stands for itself.
Character FirstOf(std::string_view text) {
  const auto byte = [&](size_t at) { return static_cast<char32_t>(static_cast<unsigned char>(text[at])); };
  const size_t length = Utf8SequenceLength(text);
  if (length < 2) return {byte(0), 1};
  char32_t code = byte(0) & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) code = code << 6 | (byte(i) & 0x3f);
  return {code, length};
}

size_t ColumnsOf(char32_t code) { return IsIn(kCombining, code) ? 0 : IsIn(kWide, code) ? 2 : 1; }

}  // namespace

std::string DisplayText(std::string_view text) {
  const std::string escaped = EscapeForDisplay(text);
  std::string shown;
  for (size_t at = 0; at < escaped.size();) {
    const Character character = FirstOf(std::string_view(escaped).substr(at));
    shown += IsIn(kInvisible, character.code) ? "?" : escaped.substr(at, character.bytes);
    at += character.bytes;
  }
  return shown;
}

size_t DisplayColumns(std::string_view text) {
  size_t columns = 0;
  for (size_t at = 0; at < text.size();) {
    const Character character = FirstOf(text.substr(at));
    columns += ColumnsOf(character.code);
    at += character.bytes;
  }
  return columns;
}

std::string CutToColumns(std::string_view text, size_t columns, std::string_view mark) {
  if (DisplayColumns(text) <= columns) return std::string(text);
  if (columns == 0) return "";
  size_t used = 0, at = 0;
  while (at < text.size()) {
    const Character character = FirstOf(text.substr(at));
    if (used + ColumnsOf(character.code) > columns - 1) break;
    used += ColumnsOf(character.code);
    at += character.bytes;
  }
  return std::string(text.substr(0, at)) + std::string(mark);
}

std::string PadToColumns(std::string text, size_t columns, bool on_the_left) {
  const size_t used = DisplayColumns(text);
  if (used >= columns) return text;
  const std::string spaces(columns - used, ' ');
  return on_the_left ? spaces + text : text + spaces;
}

}  // namespace leat::tuner
