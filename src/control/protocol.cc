// SPDX-License-Identifier: Apache-2.0
#include "control/protocol.h"

namespace leat::control {
namespace {

tl::unexpected<Error> WrongMember(const std::string& name, const char* kind) {
  return Fail(ErrorCode::kInvalidArgument, "the request's \"" + name + "\" must be " + kind);
}

}  // namespace

Json AnswerOf(const Result<Json>& result) {
  if (result) return {{"ok", true}, {"result", *result}};
  return {{"ok", false},
          {"error", {{"code", ErrorCodeName(result.error().code)}, {"message", result.error().message}}}};
}

Result<Json> ResultOf(const Json& answer) {
  const auto ok = answer.find("ok");
  if (ok == answer.end() || !ok->is_boolean()) return Fail(ErrorCode::kProtocol, "the daemon's answer has no \"ok\"");
  if (ok->get<bool>()) return answer.value("result", Json::object());
  const auto error = answer.find("error");
  if (error == answer.end() || !error->is_object())
    return Fail(ErrorCode::kProtocol, "the daemon's answer has no error");
  const auto code = StringMember(*error, "code");
  const auto message = StringMember(*error, "message");
  if (!code || !message) return Fail(ErrorCode::kProtocol, "the daemon's error has no code or message");
  return Fail(ErrorCodeFromName(*code), *message);
}

ErrorCode ErrorCodeFromName(std::string_view name) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    if (ErrorCodeName(static_cast<ErrorCode>(code)) == name) return static_cast<ErrorCode>(code);
  }
  return ErrorCode::kInternal;
}

Result<std::string> StringMember(const Json& object, const std::string& name) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_string()) return WrongMember(name, "a string");
  return member->get<std::string>();
}

Result<std::string> StringMember(const Json& object, const std::string& name, const std::string& if_absent) {
  if (!object.contains(name)) return if_absent;
  return StringMember(object, name);
}

Result<bool> BoolMember(const Json& object, const std::string& name, bool if_absent) {
  const auto member = object.find(name);
  if (member == object.end()) return if_absent;
  if (!member->is_boolean()) return WrongMember(name, "true or false");
  return member->get<bool>();
}

Result<uint64_t> UnsignedMember(const Json& object, const std::string& name, uint64_t if_absent) {
  const auto member = object.find(name);
  if (member == object.end()) return if_absent;
  if (member->is_number_integer() && (member->is_number_unsigned() || member->get<int64_t>() >= 0)) {
    return member->get<uint64_t>();
  }
  return WrongMember(name, "a whole number, not negative");
}

}  // namespace leat::control
