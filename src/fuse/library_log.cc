// SPDX-License-Identifier: Apache-2.0
#include "fuse/library_log.h"

#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "fuse/libfuse.h"

namespace leat::fuse {
namespace {

constexpr size_t kKeptBytesMax = 2000;

std::mutex mutex;
std::string messages;  // under mutex

void Keep(fuse_log_level level, const char* format, va_list arguments) {
  char text[512];
  std::vsnprintf(text, sizeof(text), format, arguments);
  const std::string line(Trim(text));
  Log(level <= FUSE_LOG_ERR ? LogLevel::kWarning : LogLevel::kDebug, "libfuse: " + line);
  if (level > FUSE_LOG_WARNING) return;
  std::lock_guard lock(mutex);
  if (messages.size() > kKeptBytesMax) return;
  if (!messages.empty()) messages += "; ";
  messages += line;
}

}  // namespace

void CaptureLibraryLog() { fuse_set_log_func(&Keep); }

std::string TakeLibraryMessages() {
  std::lock_guard lock(mutex);
  return std::exchange(messages, {});
}

}  // namespace leat::fuse
