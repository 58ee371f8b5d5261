// SPDX-License-Identifier: Apache-2.0
// Faults on order: rules that match requests and say how the answer goes wrong. Each counts how often it fired, so that
// a test can fail when its fault was never reached. Thread-safe: one mutex; no rule costs one atomic load.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "operation.h"

namespace leat::s3lab {

struct FaultAction {
  enum class Kind {
    kStatus,             // an error answer instead of the operation
    kReset,              // a connection reset instead of the operation
    kResetAfter,         // the operation is done, its answer is a connection reset
    kResetMidBody,       // a reset after `bytes` of the body
    kShortBody,          // the connection closes after `bytes` of the body; with `announce`, Content-Length says so
    kLongBody,           // `bytes` more than there are; with `announce`, Content-Length says so
    kWrongContentRange,  // a 206 whose Content-Range names other bytes than it has
    kIgnoreRange,        // 200 and the whole object
    kStall,              // a pause of `ms` after `bytes` of the body
    kDelay,              // `ms` before the first byte
    kFlipBits,           // one bit of the body flipped, at `bytes` or in the middle
    kTrickle,            // the body at `bytes` a second
  };
  Kind kind = Kind::kStatus;
  int status = 503;
  std::string code, message;
  std::optional<uint64_t> bytes;
  uint64_t ms = 0;
  bool announce = false;
};

class FaultRules {
 public:
  // One rule {"match": {"operation", "bucket", "key", "key_prefix"}, "after": N, "count": N, "action": {NAME: ...}} or
  // an array of them, added after those that are there. Fails, naming what is wrong, and adds nothing.
  Status Add(const nlohmann::json& rules);
  void Clear();
  nlohmann::json Describe() const;  // {"rules": [{..., "matched": N, "fired": N}]}
  // The action of the first rule that this request sets off; counts it.
  std::optional<FaultAction> Take(const Target& target);

 private:
  struct Rule {
    std::string operation, bucket, key, key_prefix, text;
    bool has_key = false;
    uint64_t after = 0;
    std::optional<uint64_t> count;  // nullopt: without end
    FaultAction action;
    uint64_t matched = 0, fired = 0;
  };
  static Result<Rule> ParseRule(const nlohmann::json& json);
  static Result<FaultAction> ParseAction(const nlohmann::json& json);

  std::atomic<bool> any_{false};
  mutable std::mutex mutex_;
  std::vector<Rule> rules_;  // guarded by mutex_
};

}  // namespace leat::s3lab
