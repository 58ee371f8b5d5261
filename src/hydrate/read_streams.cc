// SPDX-License-Identifier: Apache-2.0
#include "hydrate/read_streams.h"

#include <algorithm>

namespace leat::hydrate {

FetchPlan ReadStreams::Plan(const cache::ObjectRef& object, uint64_t offset, uint64_t length) {
  const uint64_t block = options_.block_bytes;
  const uint64_t blocks = (object.size_bytes + block - 1) / block;
  FetchPlan plan{.first = offset / block, .demand_end = (offset + length + block - 1) / block};
  if (!objects_.contains(object.id) && objects_.size() >= options_.objects_max) {
    objects_.erase(std::min_element(objects_.begin(), objects_.end(), [](const auto& left, const auto& right) {
      return left.second.last_used < right.second.last_used;
    }));
  }
  Streams& known = objects_[object.id];
  known.last_used = ++tick_;
  const auto continued = std::find_if(known.streams.begin(), known.streams.end(), [&](const Stream& stream) {
    const uint64_t fetched_end = stream.fetched_end * block;
    return offset == stream.end || (offset <= fetched_end && fetched_end < offset + length);
  });
  if (continued == known.streams.end()) {
    if (known.streams.size() >= options_.streams_per_object_max) {
      known.streams.erase(
          std::min_element(known.streams.begin(), known.streams.end(),
                           [](const Stream& left, const Stream& right) { return left.last_used < right.last_used; }));
    }
    // A read at the start of the object is likely the first of many; anywhere else only what it touches is fetched.
    if (offset == 0) {
      const uint64_t first_blocks = std::max<uint64_t>(1, options_.range_bytes_first / block);
      plan.demand_end = std::min(blocks, std::max(plan.demand_end, first_blocks));
    }
    known.streams.push_back({.end = offset + length,
                             .fetched_first = plan.first,
                             .fetched_end = plan.demand_end,
                             .range_bytes = std::max(options_.range_bytes_first, block),
                             .last_used = tick_});
    return plan;
  }
  Stream& stream = *continued;
  stream.end = offset + length;
  stream.last_used = tick_;
  // The kernel's reads overtake one another: a stream that another one began right behind is the same stream.
  for (auto other = known.streams.begin(); other != known.streams.end();) {
    if (&*other != &stream && plan.first <= other->end / block && other->fetched_first * block <= stream.end &&
        stream.end <= other->end) {
      stream.end = other->end;
      stream.fetched_end = std::max(stream.fetched_end, other->fetched_end);
      stream.range_bytes = std::max(stream.range_bytes, other->range_bytes);
      other = known.streams.erase(other);
    } else {
      ++other;
    }
  }
  // Inside what is being fetched already: more is asked for only when the last range has been reached.
  const uint64_t last_range_first = stream.fetched_end - std::min(stream.fetched_end, stream.range_bytes / block);
  const bool all_fetched = plan.demand_end <= stream.fetched_end;
  if (all_fetched && plan.demand_end <= last_range_first) return plan;
  if (all_fetched && stream.fetched_end >= blocks) return plan;
  stream.range_bytes = std::min(std::max(options_.range_bytes_max, block), stream.range_bytes * 2);
  plan.range_blocks = stream.range_bytes / block;
  // Doubled: the read's own range is the longer one, and one range stays in flight ahead of it.
  if (!all_fetched) plan.demand_end = std::min(blocks, std::max(plan.demand_end, plan.first + plan.range_blocks));
  plan.ahead_first = std::max(plan.demand_end, all_fetched ? stream.fetched_end : 0);
  const bool longest = stream.range_bytes >= options_.range_bytes_max;
  plan.ahead_ranges = longest ? std::max(1u, options_.ranges_ahead_max) : 1;
  const uint64_t left = blocks - plan.ahead_first;
  plan.ahead_ranges = std::min(plan.ahead_ranges, (left + plan.range_blocks - 1) / plan.range_blocks);
  stream.fetched_end = std::min(blocks, plan.ahead_first + plan.ahead_ranges * plan.range_blocks);
  return plan;
}

}  // namespace leat::hydrate
