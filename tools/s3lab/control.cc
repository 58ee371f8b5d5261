// SPDX-License-Identifier: Apache-2.0
#include "control.h"

#include <nlohmann/json.hpp>

namespace leat::s3lab {
namespace {

using Json = nlohmann::json;

Response JsonResponse(int status, const Json& json) {
  Response response;
  response.status = status;
  response.AddHeader("Content-Type", "application/json");
  response.text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  return response;
}

}  // namespace

Response Control::Answer(const HttpRequest& request, std::string_view body) {
  const std::string_view path = std::string_view(request.raw_path).substr(kControlPath.size());
  const auto parameter = [&](std::string_view name) {
    const std::string* value = request.Query(name);
    return value == nullptr ? std::string() : *value;
  };
  const bool get = request.method == "GET", post = request.method == "POST";
  Json json;
  if (post && (path == "faults" || path == "shape")) {
    json = Json::parse(body, nullptr, false);
    if (json.is_discarded()) return JsonResponse(400, {{"error", "the body is not JSON"}});
  }
  if (path == "stats" && get) {
    if (request.query.empty()) return JsonResponse(200, statistics_.Describe());
    return JsonResponse(
        200, statistics_.DescribeKeys(parameter("bucket"), parameter("prefix"), parameter("from"), parameter("to")));
  }
  if (path == "stats/reset" && post) {
    statistics_.Reset();
    return JsonResponse(200, Json::object());
  }
  if (path == "faults" && request.method == "DELETE") {
    faults_.Clear();
    return JsonResponse(200, faults_.Describe());
  }
  if (path == "faults" && (get || post)) {
    if (post) {
      if (const Status added = faults_.Add(json); !added) return JsonResponse(400, {{"error", added.error().message}});
    }
    return JsonResponse(200, faults_.Describe());
  }
  if (path == "shape" && (get || post)) {
    if (post) {
      if (const Status changed = shape_.Change(json); !changed)
        return JsonResponse(400, {{"error", changed.error().message}});
    }
    return JsonResponse(200, shape_.Describe());
  }
  return JsonResponse(
      404, {{"error", "no such control request: GET stats, POST stats/reset, GET/POST/DELETE faults, GET/POST shape"}});
}

}  // namespace leat::s3lab
