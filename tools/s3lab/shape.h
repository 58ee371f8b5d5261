// SPDX-License-Identifier: Apache-2.0
// How slow the endpoint plays: first-byte latency, slow requests, bandwidth of a connection, request rate. Changes at
// run time. Thread-safe: one mutex.
#pragma once

#include <cstdint>
#include <mutex>
#include <nlohmann/json_fwd.hpp>

#include "base/random.h"
#include "base/result.h"

namespace leat::s3lab {

struct ShapeSettings {
  double latency_ms = 0;        // median of a log-normal first-byte delay; 0 is none
  double latency_sigma = 0.25;  // of its logarithm
  double slow_percent = 0;      // this share of requests waits slow_ms instead
  double slow_ms = 0;
  uint64_t bandwidth_bytes_per_s = 0;  // of one connection's answers; 0 is no limit
  double rate_per_s = 0;               // requests beyond it get 503 SlowDown; 0 is no limit
};

class Shape {
 public:
  Shape(const ShapeSettings& settings, uint64_t seed) : settings_(settings), random_(seed) {}
  ShapeSettings settings() const;
  // {"latency_ms": 30, "latency_sigma": 0.5, "slow_percent": 1, "slow_ms": 2000, "bandwidth": 90000000, "rate": 3500}:
  // those given change, the others stay.
  Status Change(const nlohmann::json& json);
  nlohmann::json Describe() const;
  // False when this request is beyond the rate.
  bool Admit(int64_t now_ns);
  // How long until the first byte of the next answer.
  int64_t FirstByteDelayNs();

 private:
  mutable std::mutex mutex_;
  ShapeSettings settings_;  // these three: guarded by mutex_
  Random random_;
  double tokens_ = 0;
  int64_t refilled_ns_ = 0;
};

}  // namespace leat::s3lab
