// SPDX-License-Identifier: Apache-2.0
// What was asked of the endpoint: by operation, and by key, so that a test can say "each object was fetched once".
// Thread-safe: one mutex, a few map steps a request.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "operation.h"

namespace leat::s3lab {

class Statistics {
 public:
  // One answered (or broken off) request; bytes of bodies only.
  void Count(const Target& target, int status, uint64_t bytes_in, uint64_t bytes_out);
  void ConnectionOpened() { ++connections_, ++connections_total_; }
  void ConnectionClosed() { --connections_; }
  void Reset();
  // {"requests", "bytes_in", "bytes_out", "errors", "connections", "connections_total", "operations": {NAME: {...}}}
  nlohmann::json Describe() const;
  // Of the keys in [from, to) that begin with `prefix` (`to` "" is no end), of one bucket or ("") of all: {"keys",
  // "requests", "gets", "gets_of_one_key_max", "bytes_out"}.
  nlohmann::json DescribeKeys(std::string_view bucket, std::string_view prefix, std::string_view from,
                              std::string_view to) const;

 private:
  static constexpr size_t kKeysMax = 2'000'000;  // about 300 MB; beyond it new keys are counted in keys_dropped_ only
  struct Counts {
    uint64_t requests = 0, errors = 0, bytes_in = 0, bytes_out = 0;
  };
  struct KeyCounts {
    uint32_t requests = 0, gets = 0;
    uint64_t bytes_out = 0;
  };

  std::atomic<int64_t> connections_{0};
  std::atomic<uint64_t> connections_total_{0};
  mutable std::mutex mutex_;
  std::array<Counts, kOperations> operations_{};                                            // these: guarded by mutex_
  std::map<std::string, std::map<std::string, KeyCounts, std::less<>>, std::less<>> keys_;  // bucket -> key
  size_t keys_count_ = 0;
  uint64_t keys_dropped_ = 0;
};

}  // namespace leat::s3lab
