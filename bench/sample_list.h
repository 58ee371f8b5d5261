// SPDX-License-Identifier: Apache-2.0
// The samples that a run reads, and the order of an epoch. Values; immutable once read.
//
// One line a sample: PATH, or PATH<TAB>OFFSET<TAB>LENGTH for a part of a shard. Empty lines are passed over.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace leat::bench {

struct Sample {
  static constexpr uint64_t kWholeFile = std::numeric_limits<uint64_t>::max();
  uint32_t file = 0;  // index into SampleList::files
  uint64_t offset = 0;
  uint64_t length = kWholeFile;

  bool IsRange() const { return length != kWholeFile; }
};

struct SampleList {
  std::vector<std::string> files;  // as they are opened; a shard stands here once
  size_t root_length = 0;          // what stands before the listed path in each of `files`
  std::vector<Sample> samples;
  size_t ranges = 0;  // samples that are parts of shards

  std::string_view ListedPath(uint32_t file) const { return std::string_view(files[file]).substr(root_length); }
};

// `root`, unless empty, stands before each path. Fails with kInvalidArgument naming the line that is wrong.
Result<SampleList> ReadSampleList(const std::string& path, const std::string& root);

// Indexes into `samples` in the order of that epoch; the same for a seed everywhere.
std::vector<uint32_t> EpochOrder(size_t samples, bool shuffled, uint64_t seed, uint64_t epoch);

}  // namespace leat::bench
