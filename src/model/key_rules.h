// SPDX-License-Identifier: Apache-2.0
// Key rules: which path an object's key has in the file system, and back (docs/semantics.md, "Keys and names").
//
// A key here is relative to the repository's prefix, raw bytes. Every key has exactly one path, no two keys share one,
// and the path alone tells the key. One thing depends on other keys: the file of key `x` stands at `x`, but when keys
// begin with `x/` the directory has that name and the file is `x/@leat-object`; PathOfKey gives the first, the catalog
// decides. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace leat {

inline constexpr std::string_view kReservedNamePrefix =
    "@leat-";  // names of ours; a key's own such component is encoded
inline constexpr std::string_view kObjectBesideDirectoryName =
    "@leat-object";                                                // in directory `x`: the object of key `x`
inline constexpr std::string_view kMarkerBodyName = "@leat-body";  // in directory `x`: the body of the object `x/`
inline constexpr size_t kNameBytesMax = 255;                       // NAME_MAX
inline constexpr size_t kChunkBytesMax = 240;  // of a longer component, as written; leaves room for the reserved prefix

// One file name of a component. A component over 255 bytes has several, nested: @leat-part-, ..., @leat-last-.
struct ComponentName {
  std::string name;
  size_t key_bytes = 0;  // how many bytes of the component it stands for
};

// Whether the component (no '/') is its own file name.
bool IsOrdinaryComponent(std::string_view component);
std::vector<ComponentName> NamesOfComponent(std::string_view component);

enum class PathKind { kFile, kDirectory };

struct KeyPath {
  std::vector<std::string> names;   // from the root; empty: the root
  PathKind kind = PathKind::kFile;  // kDirectory: the key ends in '/' (or is empty), so it is the directory's marker
  bool operator==(const KeyPath&) const = default;
};

KeyPath PathOfKey(std::string_view key);
// The key of a file, or the prefix that all keys in a directory share (it ends in '/', but for the root, where it is
// empty, and for
// @leat-part- directories). Nothing when no key can have that path. Knows @leat-object and @leat-body.
std::optional<std::string> KeyOfPath(std::span<const std::string> names, PathKind kind);

}  // namespace leat
