// SPDX-License-Identifier: Apache-2.0
// Identifiers that must not be mixed up with other numbers.
#pragma once

#include <cstdint>

namespace leat {

// An inode of one file system: persistent, never reused. 1 is the root, which is also FUSE's root node id.
enum class InodeId : uint64_t {};
inline constexpr InodeId kRootInode{1};
inline constexpr uint64_t Value(InodeId id) { return static_cast<uint64_t>(id); }

// A number that the cache gives to each file system that shares it; kept in the file system's settings.
enum class DatasetId : uint32_t {};
inline constexpr uint32_t Value(DatasetId id) { return static_cast<uint32_t>(id); }

}  // namespace leat
