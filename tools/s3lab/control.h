// SPDX-License-Identifier: Apache-2.0
// The /_s3lab/ requests: statistics, faults and shape, in JSON. Unsigned; the endpoint listens on loopback only. Any
// thread.
#pragma once

#include <string>
#include <string_view>

#include "faults.h"
#include "http_request.h"
#include "response.h"
#include "shape.h"
#include "statistics.h"

namespace leat::s3lab {

inline constexpr std::string_view kControlPath = "/_s3lab/";

class Control {
 public:
  Control(FaultRules& faults, Shape& shape, Statistics& statistics)
      : faults_(faults), shape_(shape), statistics_(statistics) {}
  Response Answer(const HttpRequest& request, std::string_view body);

 private:
  FaultRules& faults_;
  Shape& shape_;
  Statistics& statistics_;
};

}  // namespace leat::s3lab
