// SPDX-License-Identifier: Apache-2.0
// The entries of a directory. A reading never ends on an incomplete listing: the directory is listed first.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "fs/attributes.h"
#include "fs/file_system.h"

namespace leat::fs {

// Cookies of "." and ".."; no inode of an entry has these numbers (1 is the root, entries begin at 1024).
inline constexpr uint64_t kDotCookie = 2, kDotDotCookie = 3;

struct DirectoryEntryAnswer {
  uint64_t cookie = 0;
  Attributes attributes;
  uint64_t attributes_mark = 0;
};

// False: call ListDirectory first. Errors: kNotADirectory, kObjectChanged.
Result<bool> DirectoryIsListed(FileSystem& file_system, InodeId directory);
void ListDirectory(FileSystem& file_system, InodeId directory, std::function<void(Status)> done);
// Entries after `cookie` (0: from the start), "." and ".." included, until `visit` returns false.
using DirectoryVisitor = std::function<bool(const std::string& name, const DirectoryEntryAnswer& entry)>;
Status ReadDirectory(FileSystem& file_system, InodeId directory, uint64_t cookie, const DirectoryVisitor& visit);
// Taken before the ReadDirectory of an answer, compared after it reached the kernel.
uint64_t DirectoryMark(FileSystem& file_system, InodeId directory);
void DirectoryAnswered(FileSystem& file_system, InodeId directory, uint64_t mark);
void EntryWithAttributesSent(FileSystem& file_system, InodeId inode);  // before the answer is sent

}  // namespace leat::fs
