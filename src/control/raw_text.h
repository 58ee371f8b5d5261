// SPDX-License-Identifier: Apache-2.0
// Any bytes in JSON text, which holds Unicode only: a file's name may be no UTF-8, and must reach the other side as it
// is. A byte that is not part of valid UTF-8 travels as the private character U+10FF00 + byte; such a character that a
// text holds by itself travels as its four bytes. Pure functions; any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace leat::control {

// Valid UTF-8, whatever `text` is; UnescapeRawBytes gives it back.
std::string EscapeRawBytes(std::string_view text);
std::string UnescapeRawBytes(std::string_view text);

// `value` as one line of JSON, its texts escaped; names of members that are no UTF-8 are replaced, since none is.
std::string DumpWithRawBytes(const nlohmann::json& value);
// The texts of a parsed value, unescaped in place.
void UnescapeTexts(nlohmann::json& value);

}  // namespace leat::control
