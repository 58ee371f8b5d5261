// SPDX-License-Identifier: Apache-2.0
// tar.gz, in and out, through libarchive. Blocking; any thread, one call each.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"

namespace leat::jobs {

// What an archive of code may hold; a bomb ends with kInvalidArgument.
struct ExtractLimits {
  uint64_t entries_max = 100000;
  uint64_t bytes_max = uint64_t{8} << 30;
};

// Unpacks a tar (plain or compressed) into an existing directory. Refuses absolute names, "..", links that lead out,
// and anything but files, directories and links. File modes keep their permission bits, without set-user-ID.
Status ExtractArchive(const std::string& archive_path, const std::string& directory, ExtractLimits limits = {});

// Receives an archive as it is made. A failure ends the making with it.
using ByteSink = std::function<Status(std::span<const std::byte>)>;

// A gzip-ed tar of everything below `directory`, names relative to it, sorted. Symbolic links are kept as links.
Status WriteArchive(const std::string& directory, const ByteSink& sink);

}  // namespace leat::jobs
