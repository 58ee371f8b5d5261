// SPDX-License-Identifier: Apache-2.0
// A name in a directory. Two steps, so that an answer at hand costs no callback: LookUpNow, then LookUp for the rest.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "fs/attributes.h"
#include "fs/file_system.h"

namespace leat::fs {

struct LookUpAnswer {
  std::optional<Attributes> attributes;  // absent: there is no such name
  uint64_t entry_mark = 0, attributes_mark = 0;
};

// Absent: the repository must be asked.
std::optional<Result<LookUpAnswer>> LookUpNow(FileSystem& file_system, InodeId parent, std::string_view name);
void LookUp(FileSystem& file_system, InodeId parent, const std::string& name,
            std::function<void(Result<LookUpAnswer>)> done);
// Once the answer has reached the kernel: when it changed meanwhile, the kernel is told so.
void LookUpAnswered(FileSystem& file_system, InodeId parent, const std::string& name, const LookUpAnswer& answer);

}  // namespace leat::fs
