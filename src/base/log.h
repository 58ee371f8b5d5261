// SPDX-License-Identifier: Apache-2.0
// The log of a long-running process: one line an event, time stamped, control characters escaped (a key or a server's
// text can hold any byte). Any thread. Goes to standard error until LogToFile is called.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace leat {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

void Log(LogLevel level, std::string_view message);
inline void LogInfo(std::string_view message) { Log(LogLevel::kInfo, message); }
inline void LogWarning(std::string_view message) { Log(LogLevel::kWarning, message); }
inline void LogError(std::string_view message) { Log(LogLevel::kError, message); }

void SetLogLevel(LogLevel lowest);
// Appends to `path`, rotated at 16 MiB, three files kept. Fails when the file cannot be opened.
Status LogToFile(const std::string& path);

// `text` with every byte outside printable ASCII and valid UTF-8 written as \xNN: fit for a terminal or a log line.
std::string EscapeForDisplay(std::string_view text);

}  // namespace leat
