// SPDX-License-Identifier: Apache-2.0
#include "shape.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace leat::s3lab {
namespace {
using Json = nlohmann::json;
constexpr double kBurstSeconds = 0.1;  // a rate limit passes this much at once after a pause
constexpr double kTwoPi = 6.283185307179586;
}  // namespace

ShapeSettings Shape::settings() const {
  const std::lock_guard lock(mutex_);
  return settings_;
}

Status Shape::Change(const Json& json) {
  if (!json.is_object()) return Fail(ErrorCode::kInvalidArgument, "a shape is a JSON object");
  const std::lock_guard lock(mutex_);
  ShapeSettings changed = settings_;
  for (const auto& [name, value] : json.items()) {
    double* field = name == "latency_ms"      ? &changed.latency_ms
                    : name == "latency_sigma" ? &changed.latency_sigma
                    : name == "slow_percent"  ? &changed.slow_percent
                    : name == "slow_ms"       ? &changed.slow_ms
                    : name == "rate"          ? &changed.rate_per_s
                                              : nullptr;
    if (!value.is_number() || value.get<double>() < 0)
      return Fail(ErrorCode::kInvalidArgument, name + " must be a number, 0 or more");
    if (field != nullptr) {
      *field = value.get<double>();
    } else if (name == "bandwidth") {
      changed.bandwidth_bytes_per_s = value.get<uint64_t>();
    } else {
      return Fail(ErrorCode::kInvalidArgument, "a shape has no \"" + name + "\"");
    }
  }
  settings_ = changed;
  return {};
}

Json Shape::Describe() const {
  const ShapeSettings now = settings();
  return Json{{"latency_ms", now.latency_ms},           {"latency_sigma", now.latency_sigma},
              {"slow_percent", now.slow_percent},       {"slow_ms", now.slow_ms},
              {"bandwidth", now.bandwidth_bytes_per_s}, {"rate", now.rate_per_s}};
}

bool Shape::Admit(int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (settings_.rate_per_s <= 0) return true;
  const double burst = std::max(1.0, settings_.rate_per_s * kBurstSeconds);
  tokens_ = std::min(burst, tokens_ + static_cast<double>(now_ns - refilled_ns_) * 1e-9 * settings_.rate_per_s);
  refilled_ns_ = now_ns;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

int64_t Shape::FirstByteDelayNs() {
  const std::lock_guard lock(mutex_);
  if (settings_.slow_percent > 0 && random_.Unit() * 100 < settings_.slow_percent)
    return static_cast<int64_t>(settings_.slow_ms * 1e6);
  if (settings_.latency_ms <= 0) return 0;
  // Box and Muller, with 1 - Unit() in (0, 1].
  const double normal = std::sqrt(-2 * std::log(1 - random_.Unit())) * std::cos(kTwoPi * random_.Unit());
  return static_cast<int64_t>(settings_.latency_ms * std::exp(settings_.latency_sigma * normal) * 1e6);
}

}  // namespace leat::s3lab
