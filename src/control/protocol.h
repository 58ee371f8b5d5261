// SPDX-License-Identifier: Apache-2.0
// The words of the control protocol. A request is {"verb": ..., ...}; its answer is any number of {"progress": {...}}
// lines, then {"ok": true, "result": {...}} or {"ok": false, "error": {"code": "not_found", "message": "..."}}.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"

namespace leat::control {

using Json = nlohmann::json;

Json AnswerOf(const Result<Json>& result);
// The final line of an answer as a result; kProtocol when it is none.
Result<Json> ResultOf(const Json& answer);

// "not_found" -> kNotFound; a code that this version does not know is kInternal.
ErrorCode ErrorCodeFromName(std::string_view name);

// Members of a request: kInvalidArgument names the member when it is missing (unless a default is given) or of another
// type.
Result<std::string> StringMember(const Json& object, const std::string& name);
Result<std::string> StringMember(const Json& object, const std::string& name, const std::string& if_absent);
Result<bool> BoolMember(const Json& object, const std::string& name, bool if_absent);
Result<uint64_t> UnsignedMember(const Json& object, const std::string& name, uint64_t if_absent);

}  // namespace leat::control
