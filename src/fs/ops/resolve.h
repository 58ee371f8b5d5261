// SPDX-License-Identifier: Apache-2.0
// A path of the control socket to its inode, component by component, asking the repository where the catalog does not
// know.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "base/result.h"
#include "catalog/catalog.h"
#include "fs/file_system.h"

namespace leat::fs {

// Relative to the root, "" for the root itself; no symlinks followed. kNotFound names the path.
void ResolvePath(FileSystem& file_system, const std::string& path, std::function<void(Result<catalog::Inode>)> done);

// Runs step(0), step(1) ... step(count - 1), each when the one before called its argument, then done. Steps that answer
// at once use no stack, however many there are.
void ForEachInTurn(size_t count, std::function<void(size_t index, std::function<void()> next)> step,
                   std::function<void()> done);

}  // namespace leat::fs
