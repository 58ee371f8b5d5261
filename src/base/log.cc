// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/text.h"

namespace leat {
namespace {

std::shared_ptr<spdlog::logger> MakeLogger(spdlog::sink_ptr sink) {
  auto logger = std::make_shared<spdlog::logger>("leat", std::move(sink));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  logger->flush_on(spdlog::level::info);
  return logger;
}

std::shared_ptr<spdlog::logger>& Logger() {
  static auto logger = MakeLogger(std::make_shared<spdlog::sinks::stderr_sink_mt>());
  return logger;
}

spdlog::level::level_enum Level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

void Log(LogLevel level, std::string_view message) {
  if (Logger()->should_log(Level(level))) Logger()->log(Level(level), EscapeForDisplay(message));
}

void SetLogLevel(LogLevel lowest) { Logger()->set_level(Level(lowest)); }

Status LogToFile(const std::string& path) {
  constexpr size_t kFileBytesMax = 16u << 20;
  constexpr size_t kFilesMax = 3;
  try {
    auto level = Logger()->level();
    Logger() = MakeLogger(std::make_shared<spdlog::sinks::rotating_file_sink_mt>(path, kFileBytesMax, kFilesMax));
    Logger()->set_level(level);
  } catch (const spdlog::spdlog_ex& error) {
    return Fail(ErrorCode::kIo, std::string("cannot open the log file: ") + error.what());
  }
  return {};
}

std::string EscapeForDisplay(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const size_t length = Utf8SequenceLength(text.substr(i));
    if (length > 1 || (length == 1 && byte >= 0x20 && byte != 0x7f)) {
      out.append(text.substr(i, length));
      i += length;
      continue;
    }
    out += "\\x";
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
    ++i;
  }
  return out;
}

}  // namespace leat
