// SPDX-License-Identifier: Apache-2.0
#include "sample_list.h"

#include <numeric>
#include <unordered_map>

#include "base/file.h"
#include "base/random.h"
#include "base/text.h"

namespace leat::bench {
namespace {

constexpr size_t kListBytesMax = size_t{4} << 30;

Result<Sample> ParseRange(const std::vector<std::string>& fields) {
  if (fields.size() != 3 || fields[0].empty())
    return Fail(ErrorCode::kInvalidArgument, "write PATH, or PATH<TAB>OFFSET<TAB>LENGTH");
  Sample sample;
  LEAT_ASSIGN_OR_RETURN(sample.offset, ParseUnsigned(fields[1]));
  LEAT_ASSIGN_OR_RETURN(sample.length, ParseUnsigned(fields[2]));
  constexpr uint64_t kEndMax = std::numeric_limits<int64_t>::max();  // as pread's offsets
  if (sample.offset > kEndMax || sample.length > kEndMax - sample.offset)
    return Fail(ErrorCode::kInvalidArgument, "the range ends beyond any file");
  return sample;
}

}  // namespace

Result<SampleList> ReadSampleList(const std::string& path, const std::string& root) {
  LEAT_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kListBytesMax));
  SampleList list;
  const std::string before = root.empty() || root.ends_with('/') ? root : root + "/";
  list.root_length = before.size();
  std::unordered_map<std::string, uint32_t> shards;
  size_t line_number = 0;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line = std::string_view(text).substr(start, end - start);
    start = end + 1;
    ++line_number;
    if (line.empty()) continue;
    Sample sample;
    if (line.find('\t') == std::string_view::npos) {
      sample.file = static_cast<uint32_t>(list.files.size());
      list.files.push_back(before + std::string(line));
    } else {
      const auto fields = Split(line, '\t');
      auto range = ParseRange(fields);
      if (!range)
        return Fail(ErrorCode::kInvalidArgument,
                    path + ", line " + std::to_string(line_number) + ": " + range.error().message);
      sample = *range;
      const auto [shard, is_new] = shards.try_emplace(fields[0], static_cast<uint32_t>(list.files.size()));
      if (is_new) list.files.push_back(before + fields[0]);
      sample.file = shard->second;
      ++list.ranges;
    }
    list.samples.push_back(sample);
    if (list.samples.size() == std::numeric_limits<uint32_t>::max())
      return Fail(ErrorCode::kInvalidArgument, path + " lists more than 4,000,000,000 samples; split it");
  }
  if (list.samples.empty()) return Fail(ErrorCode::kInvalidArgument, path + " lists no file; write one path a line");
  return list;
}

std::vector<uint32_t> EpochOrder(size_t samples, bool shuffled, uint64_t seed, uint64_t epoch) {
  std::vector<uint32_t> order(samples);
  std::iota(order.begin(), order.end(), 0u);
  if (shuffled) {
    Random random(seed, epoch);
    Shuffle(order, random);
  }
  return order;
}

}  // namespace leat::bench
