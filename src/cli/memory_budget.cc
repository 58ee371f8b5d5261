// SPDX-License-Identifier: Apache-2.0
#include "cli/memory_budget.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/text.h"

namespace leat::cli {
namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr size_t kFileBytesMax = 1u << 20;
constexpr uint64_t kUsableShare = 8;
constexpr uint64_t kDefaultBytesMax = 512 * kMiB;

std::vector<std::string> LinesOf(const std::string& path) {
  return Split(ReadFile(path, kFileBytesMax).value_or(""), '\n');
}

std::vector<std::string> WordsOf(const std::string& line) {
  std::vector<std::string> words = Split(line, ' ');
  std::erase(words, "");
  return words;
}

std::optional<uint64_t> MachineMemory(const std::string& root) {
  for (const std::string& line : LinesOf(root + "/proc/meminfo")) {
    const auto words = WordsOf(line);
    if (words.size() < 2 || words[0] != "MemTotal:") continue;
    if (const auto kibibytes = ParseUnsigned(words[1])) return *kibibytes * 1024;
  }
  return std::nullopt;
}

bool HasWord(std::string_view list, std::string_view word) {
  const auto words = Split(list, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

// A mounted hierarchy of control groups that may limit memory.
struct Hierarchy {
  bool version2 = false;
  std::string top;         // the group that is seen at the mountpoint
  std::string mountpoint;  // absolute
};

// A line of mountinfo: "36 35 98:0 /top /mountpoint options [optional...] - type source super-options".
std::optional<Hierarchy> HierarchyOf(const std::string& line) {
  const auto words = WordsOf(line);
  const auto dash = std::find(words.begin(), words.end(), "-");
  if (dash - words.begin() < 6 || words.end() - dash < 4) return std::nullopt;
  const bool version2 = dash[1] == "cgroup2";
  if (!version2 && !(dash[1] == "cgroup" && HasWord(dash[3], "memory"))) return std::nullopt;
  return Hierarchy{version2, words[3], words[4]};
}

// The group's path in /proc/self/cgroup: "0::/path" of version 2, "4:memory:/path" of version 1.
std::optional<std::string> GroupIn(const std::string& root, bool version2) {
  for (const std::string& line : LinesOf(root + "/proc/self/cgroup")) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (version2 ? controllers.empty() : HasWord(controllers, "memory")) return line.substr(second + 1);
  }
  return std::nullopt;
}

// From the group up to the top that is seen here; a container may show the host's path of a group that it has as "/".
uint64_t SmallestLimit(const std::string& root, const Hierarchy& hierarchy, std::string group) {
  uint64_t smallest = UINT64_MAX;
  if (hierarchy.top != "/" && group.rfind(hierarchy.top, 0) == 0) group.erase(0, hierarchy.top.size());
  for (;;) {
    while (!group.empty() && group.back() == '/') group.pop_back();
    const std::string file = hierarchy.version2 ? "memory.max" : "memory.limit_in_bytes";
    const auto text = ReadFile(root + hierarchy.mountpoint + group + "/" + file, 64);
    // Version 2 says "max" where there is no limit, version 1 a number near 2^63.
    if (text) smallest = std::min(smallest, ParseUnsigned(Trim(*text)).value_or(UINT64_MAX));
    if (group.empty()) return smallest;
    group.erase(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
}

}  // namespace

MemoryBudget DivideMemory(uint64_t total) {
  MemoryBudget budget;
  budget.total = total;
  // Caches grow with the budget as long as that brings something; the rest of it is for data.
  budget.databases = std::min(total / 5, 96 * kMiB);
  budget.inodes = std::min(total / 20, 24 * kMiB);
  budget.extents = std::min(total / 20, 16 * kMiB);
  budget.rest = std::clamp(total / 8, 28 * kMiB, 64 * kMiB);
  budget.data = total - budget.databases - budget.inodes - budget.extents - budget.rest;
  return budget;
}

uint64_t DefaultMemoryBytes(uint64_t usable) {
  return std::clamp(usable / kUsableShare, kMemoryBytesMin, kDefaultBytesMax);
}

Status CheckMemoryBytes(uint64_t bytes) {
  if (bytes >= kMemoryBytesMin) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "--memory " + FormatBytes(bytes) + " is too little: pass " + FormatBytes(kMemoryBytesMin) + " or more");
}

uint64_t UsableMemory(const std::string& root) {
  auto usable = MachineMemory(root);
  for (const std::string& line : LinesOf(root + "/proc/self/mountinfo")) {
    const auto hierarchy = HierarchyOf(line);
    if (!hierarchy) continue;
    if (const auto group = GroupIn(root, hierarchy->version2)) {
      const uint64_t limit = SmallestLimit(root, *hierarchy, *group);
      if (limit != UINT64_MAX) usable = std::min(usable.value_or(UINT64_MAX), limit);
    }
  }
  return usable.value_or(kMemoryBytesMin);
}

}  // namespace leat::cli
