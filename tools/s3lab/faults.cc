// SPDX-License-Identifier: Apache-2.0
#include "faults.h"

#include <array>
#include <nlohmann/json.hpp>

namespace leat::s3lab {
namespace {

using Json = nlohmann::json;
using Kind = FaultAction::Kind;

constexpr std::array<std::pair<std::string_view, Kind>, 9> kByName = {{
    {"reset_mid_body", Kind::kResetMidBody},
    {"short_body", Kind::kShortBody},
    {"long_body", Kind::kLongBody},
    {"wrong_content_range", Kind::kWrongContentRange},
    {"ignore_range", Kind::kIgnoreRange},
    {"stall", Kind::kStall},
    {"delay", Kind::kDelay},
    {"flip_bits", Kind::kFlipBits},
    {"trickle", Kind::kTrickle},
}};

bool IsCount(const Json& json) {
  return json.is_number_unsigned() || (json.is_number_integer() && json.get<int64_t>() >= 0);
}

Status RefuseOtherNames(const Json& json, std::initializer_list<std::string_view> allowed, std::string_view where) {
  if (!json.is_object()) return Fail(ErrorCode::kInvalidArgument, std::string(where) + " must be a JSON object");
  for (const auto& [name, value] : json.items())
    if (std::find(allowed.begin(), allowed.end(), name) == allowed.end())
      return Fail(ErrorCode::kInvalidArgument, std::string(where) + " has no \"" + name + "\"");
  return {};
}

}  // namespace

Result<FaultAction> FaultRules::ParseAction(const Json& json) {
  LEAT_RETURN_IF_ERROR(
      RefuseOtherNames(json,
                       {"status", "code", "message", "reset", "deny", "expired_token", "reset_mid_body", "short_body",
                        "long_body", "wrong_content_range", "ignore_range", "stall", "delay", "flip_bits", "trickle"},
                       "action"));
  FaultAction action;
  if (json.contains("status")) {
    action.status = json["status"].get<int>();
    action.code = json.value("code", "ServiceUnavailable");
    action.message = json.value("message", "A fault that the test asked for.");
    return action;
  }
  if (json.size() != 1) return Fail(ErrorCode::kInvalidArgument, "action must name one thing");
  const std::string name = json.begin().key();
  const Json& value = json.begin().value();
  if (value.is_boolean() && !value.get<bool>())
    return Fail(ErrorCode::kInvalidArgument, "action \"" + name + "\" is false");
  if (name == "deny") {
    action.status = 403, action.code = "AccessDenied", action.message = "Access Denied";
    return action;
  }
  if (name == "expired_token") {
    action.status = 400, action.code = "ExpiredToken", action.message = "The provided token has expired.";
    return action;
  }
  if (name == "reset") {
    action.kind = value == "after" ? Kind::kResetAfter : Kind::kReset;
    return action;
  }
  for (const auto& [known, kind] : kByName)
    if (name == known) action.kind = kind;
  if (value.is_object()) {
    LEAT_RETURN_IF_ERROR(
        RefuseOtherNames(value, {"bytes", "ms", "announce", "bytes_per_second", "offset"}, "action " + name));
    for (const char* field : {"bytes", "bytes_per_second", "offset"})
      if (value.contains(field)) action.bytes = value[field].get<uint64_t>();
    action.ms = value.value("ms", uint64_t{0});
    action.announce = value.value("announce", false);
  } else if (IsCount(value)) {
    (name == "delay" ? action.ms : action.bytes.emplace()) = value.get<uint64_t>();
  } else if (!value.is_boolean()) {
    return Fail(ErrorCode::kInvalidArgument, "action \"" + name + "\" takes true, a number or an object");
  }
  if ((action.kind == Kind::kStall || action.kind == Kind::kDelay) && action.ms == 0)
    return Fail(ErrorCode::kInvalidArgument, "action \"" + name + "\" needs ms");
  if (action.kind == Kind::kTrickle && action.bytes.value_or(0) == 0)
    return Fail(ErrorCode::kInvalidArgument, "action \"trickle\" needs bytes_per_second");
  return action;
}

Result<FaultRules::Rule> FaultRules::ParseRule(const Json& json) {
  LEAT_RETURN_IF_ERROR(RefuseOtherNames(json, {"match", "after", "count", "action"}, "a rule"));
  if (!json.contains("action")) return Fail(ErrorCode::kInvalidArgument, "a rule needs an action");
  Rule rule;
  if (json.contains("match")) {
    const Json& match = json["match"];
    LEAT_RETURN_IF_ERROR(RefuseOtherNames(match, {"operation", "bucket", "key", "key_prefix"}, "match"));
    rule.operation = match.value("operation", "");
    rule.bucket = match.value("bucket", "");
    rule.key_prefix = match.value("key_prefix", "");
    rule.has_key = match.contains("key");
    if (rule.has_key) rule.key = match["key"].get<std::string>();
    bool known = rule.operation.empty();
    for (size_t i = 0; i < kOperations; ++i)
      known = known || rule.operation == OperationName(static_cast<Operation>(i));
    if (!known)
      return Fail(ErrorCode::kInvalidArgument,
                  "no operation \"" + rule.operation + "\": write GetObject, ListObjectsV2, ...");
  }
  rule.after = json.value("after", uint64_t{0});
  rule.count = 1;
  if (json.contains("count")) {
    const int64_t count = json["count"].get<int64_t>();
    if (count < 0) {
      rule.count.reset();
    } else {
      rule.count = static_cast<uint64_t>(count);
    }
  }
  LEAT_ASSIGN_OR_RETURN(rule.action, ParseAction(json["action"]));
  rule.text = json.dump();
  return rule;
}

Status FaultRules::Add(const Json& json) {
  std::vector<Rule> added;
  try {
    for (const Json& rule : json.is_array() ? json : Json::array({json})) {
      LEAT_ASSIGN_OR_RETURN(Rule parsed, ParseRule(rule));
      added.push_back(std::move(parsed));
    }
  } catch (const Json::exception& error) {
    return Fail(ErrorCode::kInvalidArgument, error.what());
  }
  const std::lock_guard lock(mutex_);
  for (Rule& rule : added) rules_.push_back(std::move(rule));
  any_ = !rules_.empty();
  return {};
}

void FaultRules::Clear() {
  const std::lock_guard lock(mutex_);
  rules_.clear();
  any_ = false;
}

Json FaultRules::Describe() const {
  const std::lock_guard lock(mutex_);
  Json rules = Json::array();
  for (const Rule& rule : rules_) {
    Json shown = Json::parse(rule.text);
    shown["matched"] = rule.matched;
    shown["fired"] = rule.fired;
    rules.push_back(std::move(shown));
  }
  return Json{{"rules", std::move(rules)}};
}

std::optional<FaultAction> FaultRules::Take(const Target& target) {
  if (!any_.load(std::memory_order_acquire)) return std::nullopt;
  const std::lock_guard lock(mutex_);
  for (Rule& rule : rules_) {
    if ((!rule.operation.empty() && rule.operation != OperationName(target.operation)) ||
        (!rule.bucket.empty() && rule.bucket != target.bucket) || (rule.has_key && rule.key != target.key) ||
        target.key.compare(0, rule.key_prefix.size(), rule.key_prefix) != 0)
      continue;
    ++rule.matched;
    if (rule.matched <= rule.after || (rule.count && rule.fired >= *rule.count)) continue;
    ++rule.fired;
    return rule.action;
  }
  return std::nullopt;
}

}  // namespace leat::s3lab
