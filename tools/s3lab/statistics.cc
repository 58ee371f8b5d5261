// SPDX-License-Identifier: Apache-2.0
#include "statistics.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace leat::s3lab {

using Json = nlohmann::json;

void Statistics::Count(const Target& target, int status, uint64_t bytes_in, uint64_t bytes_out) {
  const std::lock_guard lock(mutex_);
  Counts& counts = operations_[static_cast<size_t>(target.operation)];
  ++counts.requests;
  counts.errors += status >= 400;
  counts.bytes_in += bytes_in;
  counts.bytes_out += bytes_out;
  if (target.key.empty() || target.operation == Operation::kListObjects ||
      target.operation == Operation::kListObjectsV2)
    return;
  auto& keys = keys_[target.bucket];
  auto found = keys.find(target.key);
  if (found == keys.end()) {
    if (keys_count_ == kKeysMax) {
      ++keys_dropped_;
      return;
    }
    found = keys.emplace(target.key, KeyCounts{}).first;
    ++keys_count_;
  }
  ++found->second.requests;
  found->second.gets += target.operation == Operation::kGetObject;
  found->second.bytes_out += bytes_out;
}

void Statistics::Reset() {
  const std::lock_guard lock(mutex_);
  operations_ = {};
  keys_.clear();
  keys_count_ = 0;
  keys_dropped_ = 0;
  connections_total_ = static_cast<uint64_t>(connections_.load());
}

Json Statistics::Describe() const {
  const std::lock_guard lock(mutex_);
  Json operations;
  Counts all;
  for (size_t i = 0; i < kOperations; ++i) {
    const Counts& counts = operations_[i];
    operations[std::string(OperationName(static_cast<Operation>(i)))] = {{"requests", counts.requests},
                                                                         {"errors", counts.errors},
                                                                         {"bytes_in", counts.bytes_in},
                                                                         {"bytes_out", counts.bytes_out}};
    all.requests += counts.requests;
    all.errors += counts.errors;
    all.bytes_in += counts.bytes_in;
    all.bytes_out += counts.bytes_out;
  }
  return Json{{"requests", all.requests},           {"errors", all.errors},
              {"bytes_in", all.bytes_in},           {"bytes_out", all.bytes_out},
              {"connections", connections_.load()}, {"connections_total", connections_total_.load()},
              {"keys_dropped", keys_dropped_},      {"operations", std::move(operations)}};
}

Json Statistics::DescribeKeys(std::string_view bucket, std::string_view prefix, std::string_view from,
                              std::string_view to) const {
  const std::lock_guard lock(mutex_);
  uint64_t count = 0, requests = 0, gets = 0, gets_max = 0, bytes = 0;
  for (const auto& [name, keys] : keys_) {
    if (!bucket.empty() && name != bucket) continue;
    for (auto at = keys.lower_bound(std::max(prefix, from)); at != keys.end(); ++at) {
      if (at->first.compare(0, prefix.size(), prefix) != 0 || (!to.empty() && at->first >= to)) break;
      ++count;
      requests += at->second.requests;
      gets += at->second.gets;
      gets_max = std::max<uint64_t>(gets_max, at->second.gets);
      bytes += at->second.bytes_out;
    }
  }
  return Json{
      {"keys", count}, {"requests", requests}, {"gets", gets}, {"gets_of_one_key_max", gets_max}, {"bytes_out", bytes}};
}

}  // namespace leat::s3lab
