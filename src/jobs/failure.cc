// SPDX-License-Identifier: Apache-2.0
#include "jobs/failure.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

namespace leat::jobs {
namespace {

constexpr size_t kCharacterBytesMax = 4;  // in UTF-8

// 128 + n is how a shell, bwrap and the shim tell of signal n.
std::string SignalText(int exit_code) {
  const int number = exit_code - 128;
  const char* name = number > 0 && number < 65 ? sigabbrev_np(number) : nullptr;
  if (!name) return "";
  std::string text = "killed by signal " + std::to_string(number) + " (SIG" + name + ")";
  if (number == SIGKILL) text += "; perhaps out of memory";
  return text;
}

}  // namespace

void LogTail::Add(std::string_view line) {
  if (Trim(line).empty()) return;
  lines_.push_back(CutToCharacters(line, kFailureReasonMax));
  if (lines_.size() > kLinesMax) lines_.pop_front();
}

std::string LogTail::Text(size_t characters_max) const {
  std::string text;
  size_t used = 0;
  for (auto line = lines_.rbegin(); line != lines_.rend(); ++line) {
    const size_t with_line = used + CharacterCount(*line) + (text.empty() ? 0 : 1);
    if (with_line <= characters_max) {
      text = *line + (text.empty() ? "" : "\n") + text;
      used = with_line;
      continue;
    }
    // The very last line says most, so a part of it is better than nothing; an older one is left out.
    if (text.empty()) text = CutToCharacters(*line, characters_max);
    break;
  }
  return text;
}

// A regular file only, so that neither a link nor a pipe leads us elsewhere.
std::string ReadFailureFile(const std::string& path) {
  FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat info {};
  if (!file.valid() || fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return "";
  std::string text(kCharacterBytesMax * kFailureReasonMax, '\0');
  const ssize_t got = pread(file.get(), text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return std::string(Trim(text));
}

std::string AlgorithmError(int exit_code, const std::string& failure_file, const LogTail& log) {
  const std::string end = ", exit code: " + std::to_string(exit_code);
  std::string text = "AlgorithmError: ";
  if (!failure_file.empty()) return CutToCharacters(text + failure_file, kFailureReasonMax - end.size()) + end;
  text += SignalText(exit_code);
  const std::string between = text.back() == ' ' ? "" : "; the end of its log: ";
  const std::string tail = log.Text(kFailureReasonMax - end.size() - text.size() - between.size());
  if (!tail.empty()) text += between + tail;
  return text + end;
}

}  // namespace leat::jobs
