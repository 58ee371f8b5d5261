// SPDX-License-Identifier: Apache-2.0
#include "posix/process_table.h"

#include <string>
#include <vector>

#include "base/file.h"
#include "base/text.h"

namespace leat::posix {
namespace {

constexpr size_t kTextBytesMax = 1u << 16;
// Of the fields after the name in proc_pid_stat(5), which begin with number 3.
constexpr size_t kParentField = 4 - 3, kStartField = 22 - 3;

std::string PathOf(int id, const char* file) { return "/proc/" + std::to_string(id) + "/" + file; }

}  // namespace

std::optional<env::Process> ParseProcess(std::string_view stat) {
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos || name_end + 2 > stat.size()) return std::nullopt;
  const std::vector<std::string> fields = Split(Trim(stat.substr(name_end + 2)), ' ');
  if (fields.size() <= kStartField) return std::nullopt;
  const auto parent = ParseUnsigned(fields[kParentField]);
  const auto start = ParseUnsigned(fields[kStartField]);
  if (!parent || !start) return std::nullopt;
  return env::Process{static_cast<int>(*parent), *start};
}

std::optional<env::Process> ProcessTable::Find(int id) const {
  const auto stat = ReadFile(PathOf(id, "stat"), kTextBytesMax);
  return stat ? ParseProcess(*stat) : std::nullopt;
}

std::optional<int> ProcessTable::ProcessOf(int thread) const {
  constexpr std::string_view kLabel = "\nTgid:";
  const auto status = ReadFile(PathOf(thread, "status"), kTextBytesMax);
  const size_t at = status ? status->find(kLabel) : std::string::npos;
  if (at == std::string::npos) return std::nullopt;
  const size_t from = at + kLabel.size();
  const auto process = ParseUnsigned(Trim(std::string_view(*status).substr(from, status->find('\n', from) - from)));
  if (!process) return std::nullopt;
  return static_cast<int>(*process);
}

}  // namespace leat::posix
