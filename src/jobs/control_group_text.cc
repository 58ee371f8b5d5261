// SPDX-License-Identifier: Apache-2.0
#include "jobs/control_group_text.h"

#include <algorithm>
#include <map>

#include "base/text.h"

namespace leat::jobs {
namespace {

// Of mountinfo: a space is "\040".
std::string UnescapeOctal(std::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 3 < text.size() && is_octal(text[at + 1]) && is_octal(text[at + 2]) &&
        is_octal(text[at + 3])) {
      plain += static_cast<char>(((text[at + 1] - '0') * 8 + (text[at + 2] - '0')) * 8 + (text[at + 3] - '0'));
      at += 3;
    } else {
      plain += text[at];
    }
  }
  return plain;
}

// Controllers -> our group, of /proc/self/cgroup; "" for version 2. A name of several controllers stands for each.
std::map<std::string, std::string> OwnGroups(std::string_view self_cgroup) {
  std::map<std::string, std::string> groups;
  for (const auto& line : Split(self_cgroup, '\n')) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    for (const auto& controller : Split(line.substr(first + 1, second - first - 1), ',')) {
      groups[controller] = line.substr(second + 1);
    }
  }
  return groups;
}

// The directory of `group` in a tree whose `root` is mounted at `mount_point`.
std::optional<std::string> DirectoryOf(const std::string& mount_point, const std::string& root,
                                       const std::string& group) {
  std::string below = group;
  if (root != "/") {
    if (group.compare(0, root.size(), root) != 0) return std::nullopt;
    below = group.substr(root.size());
    if (!below.empty() && below[0] != '/') return std::nullopt;
  }
  while (!below.empty() && below.back() == '/') below.pop_back();
  for (const auto& component : Split(below, '/')) {
    if (component == "..") return std::nullopt;  // outside of the cgroup namespace's root
  }
  return mount_point + below;
}

constexpr std::string_view kControllers[] = {"cpu", "cpuacct", "memory", "blkio"};

double SecondsOf(uint64_t microseconds) { return static_cast<double>(microseconds) / 1e6; }

}  // namespace

std::vector<ControlHierarchy> ControlHierarchies(std::string_view mountinfo, std::string_view self_cgroup) {
  const auto groups = OwnGroups(self_cgroup);
  std::vector<ControlHierarchy> found;
  for (const auto& line : Split(mountinfo, '\n')) {
    const auto words = Split(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (dash - words.begin() < 6 || words.end() - dash < 4) continue;
    const std::string& type = dash[1];
    if (type != "cgroup" && type != "cgroup2") continue;
    ControlHierarchy hierarchy;
    hierarchy.version2 = type == "cgroup2";
    hierarchy.mount_point = UnescapeOctal(words[4]);
    if (!hierarchy.version2) {
      for (const auto& option : Split(dash[3], ',')) {
        if (std::find(std::begin(kControllers), std::end(kControllers), option) != std::end(kControllers)) {
          hierarchy.controllers.push_back(option);
        }
      }
      if (hierarchy.controllers.empty()) continue;
    }
    const auto group = groups.find(hierarchy.version2 ? "" : hierarchy.controllers[0]);
    if (group == groups.end()) continue;
    const auto directory = DirectoryOf(hierarchy.mount_point, UnescapeOctal(words[3]), group->second);
    // One tree can be mounted in several places.
    const bool is_known = std::any_of(found.begin(), found.end(), [&](const ControlHierarchy& other) {
      return other.version2 == hierarchy.version2 && other.controllers == hierarchy.controllers;
    });
    if (!directory || is_known) continue;
    hierarchy.own_group = *directory;
    found.push_back(std::move(hierarchy));
  }
  return found;
}

std::optional<uint64_t> NumberNamed(std::string_view text, std::string_view name) {
  for (const auto& line : Split(text, '\n')) {
    if (line.size() <= name.size() || line.compare(0, name.size(), name) != 0 || line[name.size()] != ' ') continue;
    const auto number = ParseUnsigned(line.substr(name.size() + 1));
    if (number) return *number;
  }
  return std::nullopt;
}

TransferredBytes IoStatBytes(std::string_view text) {
  TransferredBytes bytes;
  for (const auto& line : Split(text, '\n')) {
    for (const auto& word : Split(line, ' ')) {
      if (word.starts_with("rbytes=")) bytes.read += ParseUnsigned(word.substr(7)).value_or(0);
      if (word.starts_with("wbytes=")) bytes.written += ParseUnsigned(word.substr(7)).value_or(0);
    }
  }
  return bytes;
}

TransferredBytes IoServiceBytes(std::string_view text) {
  TransferredBytes bytes;
  for (const auto& line : Split(text, '\n')) {
    const auto words = Split(line, ' ');
    if (words.size() != 3) continue;  // "Total 12" is the sum
    if (words[1] == "Read") bytes.read += ParseUnsigned(words[2]).value_or(0);
    if (words[1] == "Write") bytes.written += ParseUnsigned(words[2]).value_or(0);
  }
  return bytes;
}

std::optional<double> PressureSeconds(std::string_view text) {
  for (const auto& line : Split(text, '\n')) {
    if (!line.starts_with("some ")) continue;
    for (const auto& word : Split(line, ' ')) {
      if (!word.starts_with("total=")) continue;
      const auto total = ParseUnsigned(word.substr(6));
      if (total) return SecondsOf(*total);
    }
  }
  return std::nullopt;
}

Result<std::string> ControlGroupDirectoryName(std::string_view name) {
  const std::string directory = "leat-" + PercentEncode(name, false);
  if (name.empty() || directory.size() > 255) {
    return Fail(ErrorCode::kInvalidArgument,
                "'" + std::string(name) + "' cannot name a control group: it must have 1 to about 200 characters");
  }
  return directory;
}

}  // namespace leat::jobs
