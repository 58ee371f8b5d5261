// SPDX-License-Identifier: Apache-2.0
#include "hydrate/read_streams.h"

#include <algorithm>

namespace leat::hydrate {
namespace {

const auto kLessRecent = [](const auto& left, const auto& right) { return left.last_used < right.last_used; };

}  // namespace

ReadStreams::Streams& ReadStreams::Know(const cache::ObjectRef& object) {
  if (!objects_.contains(object.id) && objects_.size() >= options_.objects_max) {
    objects_.erase(std::min_element(objects_.begin(), objects_.end(), [](const auto& left, const auto& right) {
      return kLessRecent(left.second, right.second);
    }));
  }
  Streams& known = objects_[object.id];
  known.last_used = tick_;
  return known;
}

ReadStreams::Stream* ReadStreams::Continue(Streams& known, uint64_t offset, uint64_t length) const {
  for (Stream& stream : known.streams) {
    const bool established = stream.end - stream.start >= options_.established_bytes;
    const uint64_t slack = established ? options_.reordered_bytes_max : 0;
    const bool follows = offset + slack >= stream.end && offset <= stream.end + slack;
    if (!follows && offset + length != stream.start) continue;
    stream.start = std::min(stream.start, offset);
    stream.end = std::max(stream.end, offset + length);
    return &stream;
  }
  return nullptr;
}

ReadStreams::Stream& ReadStreams::Begin(Streams& known, uint64_t offset, uint64_t length) const {
  if (known.streams.size() >= options_.streams_per_object_max) {
    known.streams.erase(std::min_element(known.streams.begin(), known.streams.end(), kLessRecent));
  }
  known.streams.push_back({.start = offset, .end = offset + length});
  return known.streams.back();
}

FetchPlan ReadStreams::Plan(const cache::ObjectRef& object, uint64_t offset, uint64_t length, bool cached) {
  const uint64_t block = options_.block_bytes;
  const uint64_t blocks = (object.size_bytes + block - 1) / block;
  const uint64_t read_end = (offset + length + block - 1) / block;
  FetchPlan plan{.first = offset / block, .demand_end = cached ? offset / block : read_end};
  ++tick_;
  uint32_t& whole_starts = whole_starts_[object.dataset];
  Streams& known = Know(object);
  Stream* stream = Continue(known, offset, length);
  const bool begins = stream == nullptr;
  if (begins) {
    if (offset > options_.reordered_bytes_max && !cached) whole_starts = 0;
    if (cached && offset != 0) return plan;
    stream = &Begin(known, offset, length);
  }
  stream->last_used = tick_;
  stream->fetched_end = std::max(stream->fetched_end, read_end);
  if (offset == 0 && whole_starts > 0 && stream->window_bytes < options_.ahead_bytes_max) {
    --whole_starts;
    stream->window_bytes = options_.ahead_bytes_max;
  } else if (begins) {
    // A read at the start of the object is likely the first of many; anywhere else only what it touches is fetched.
    if (offset == 0 && !cached) {
      plan.demand_end = std::min(blocks, std::max(read_end, options_.range_bytes_first / block));
      stream->fetched_end = plan.demand_end;
    }
    return plan;
  }
  if (stream->start == 0 && offset != 0 && offset + length >= object.size_bytes) {
    whole_starts = options_.whole_starts_max;
  }
  PlanAhead(*stream, blocks, plan);
  return plan;
}

void ReadStreams::PlanAhead(Stream& stream, uint64_t blocks, FetchPlan& plan) const {
  const uint64_t block = options_.block_bytes;
  stream.window_bytes =
      std::max(stream.window_bytes,
               std::min(options_.ahead_bytes_max, (stream.end - stream.start) * options_.ahead_per_read_byte));
  const uint64_t range_bytes = std::min(options_.range_bytes_max, stream.window_bytes / options_.ranges_per_window);
  plan.range_blocks = std::max<uint64_t>(1, range_bytes / block);
  plan.ahead_first = stream.fetched_end;
  const uint64_t window_end = std::min(blocks, (stream.end + stream.window_bytes + block - 1) / block);
  if (window_end <= stream.fetched_end) return;
  // Whole ranges, but for the object's last one: the window moves by a read at a time.
  const uint64_t more = window_end - stream.fetched_end;
  plan.ahead_ranges = (more + (window_end == blocks ? plan.range_blocks - 1 : 0)) / plan.range_blocks;
  stream.fetched_end = std::min(blocks, stream.fetched_end + plan.ahead_ranges * plan.range_blocks);
}

}  // namespace leat::hydrate
