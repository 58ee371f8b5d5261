// SPDX-License-Identifier: Apache-2.0
#include "model/key_rules.h"

#include <algorithm>

#include "base/text.h"

namespace leat {
namespace {

constexpr std::string_view kEmpty = "@leat-empty";
constexpr std::string_view kDot = "@leat-dot";
constexpr std::string_view kDotDot = "@leat-dotdot";
constexpr std::string_view kEncoded = "@leat-enc-";
constexpr std::string_view kPart = "@leat-part-";
constexpr std::string_view kLast = "@leat-last-";

// '%' and NUL only: everything else may stand in a file name, and '/' cannot be in a component.
void AppendEncoded(std::string_view bytes, std::string& out) {
  for (const char byte : bytes) {
    if (byte == '%') {
      out += "%25";
    } else if (byte == '\0') {
      out += "%00";
    } else {
      out += byte;
    }
  }
}

std::string Decode(std::string_view encoded) {
  std::string bytes;
  for (size_t at = 0; at < encoded.size(); ++at) {
    const std::string_view escape = encoded.substr(at, 3);
    if (escape == "%25" || escape == "%00") {
      bytes += escape == "%25" ? '%' : '\0';
      at += 2;
    } else {
      bytes += encoded[at];
    }
  }
  return bytes;
}

// Greedy and cut between UTF-8 characters, so that equal beginnings of components give equal directories.
std::vector<ComponentName> Chunks(std::string_view component) {
  std::vector<ComponentName> names;
  std::string chunk;
  size_t chunk_key_bytes = 0;
  while (!component.empty()) {
    const size_t length = std::max<size_t>(Utf8SequenceLength(component), 1);
    std::string next;
    AppendEncoded(component.substr(0, length), next);
    if (chunk.size() + next.size() > kChunkBytesMax) {
      names.push_back({std::string(kPart) + chunk, chunk_key_bytes});
      chunk.clear();
      chunk_key_bytes = 0;
    }
    chunk += next;
    chunk_key_bytes += length;
    component.remove_prefix(length);
  }
  names.push_back({std::string(kLast) + chunk, chunk_key_bytes});
  return names;
}

// The bytes that one name stands for; nothing for reserved names that mean no component.
std::optional<std::string> ComponentOfName(std::string_view name) {
  if (name == kEmpty) return "";
  if (name == kDot) return ".";
  if (name == kDotDot) return "..";
  for (const auto prefix : {kEncoded, kPart, kLast}) {
    if (name.starts_with(prefix)) return Decode(name.substr(prefix.size()));
  }
  if (!IsOrdinaryComponent(name)) return std::nullopt;
  return std::string(name);
}

}  // namespace

bool IsOrdinaryComponent(std::string_view component) {
  return !component.empty() && component.size() <= kNameBytesMax && component != "." && component != ".." &&
         !component.starts_with(kReservedNamePrefix) && component.find('\0') == std::string_view::npos;
}

std::vector<ComponentName> NamesOfComponent(std::string_view component) {
  if (IsOrdinaryComponent(component)) return {{std::string(component), component.size()}};
  if (component.empty()) return {{std::string(kEmpty), 0}};
  if (component == ".") return {{std::string(kDot), 1}};
  if (component == "..") return {{std::string(kDotDot), 2}};
  if (component.size() <= kNameBytesMax) {
    std::string name(kEncoded);
    AppendEncoded(component, name);
    if (name.size() <= kNameBytesMax) return {{std::move(name), component.size()}};
  }
  return Chunks(component);
}

KeyPath PathOfKey(std::string_view key) {
  KeyPath path;
  if (key.empty() || key.back() == '/') path.kind = PathKind::kDirectory;
  while (!key.empty()) {
    const size_t slash = key.find('/');
    for (auto& piece : NamesOfComponent(key.substr(0, slash))) path.names.push_back(std::move(piece.name));
    if (slash == std::string_view::npos) break;
    key.remove_prefix(slash + 1);
  }
  return path;
}

std::optional<std::string> KeyOfPath(std::span<const std::string> names, PathKind kind) {
  if (kind == PathKind::kFile) {
    if (names.empty()) return std::nullopt;
    const bool is_object = names.back() == kObjectBesideDirectoryName;
    if (is_object || names.back() == kMarkerBodyName) {
      const auto directory = names.first(names.size() - 1);
      if (is_object) return KeyOfPath(directory, PathKind::kFile);
      if (!directory.empty() && directory.back().starts_with(kPart)) return std::nullopt;
      return KeyOfPath(directory, PathKind::kDirectory);
    }
  }
  std::string key;
  bool in_long_component = false;
  for (const auto& name : names) {
    const auto component = ComponentOfName(name);
    if (!component) return std::nullopt;
    key += *component;
    in_long_component = name.starts_with(kPart);
    const bool is_last = &name == &names.back();
    if (!in_long_component && (!is_last || kind == PathKind::kDirectory)) key += '/';
  }
  if (in_long_component) return kind == PathKind::kDirectory ? std::optional(key) : std::nullopt;
  // Only the one spelling that the rules give is a path of that key.
  const KeyPath path = PathOfKey(key);
  if (path.kind != kind || !std::equal(names.begin(), names.end(), path.names.begin(), path.names.end())) {
    return std::nullopt;
  }
  return key;
}

}  // namespace leat
