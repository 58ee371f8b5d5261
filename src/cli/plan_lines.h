// SPDX-License-Identifier: Apache-2.0
// PlanLines: a restore plan as it is written: a path a line, in the order of need, empty lines passed over; whatever
// else a line holds is a file's name, "#" and spaces too. Read a piece at a time, so that a plan may be of any length.
// Threads: confined to one. Ownership: owns the open file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace leat::cli {

struct PlanLine {
  uint64_t number = 0;  // the first is 1
  std::string text;     // not empty; cut when it was too long
  bool too_long = false;
};

class PlanLines {
 public:
  static constexpr size_t kLineBytesMax = 16384;  // a path has 4,096 at most

  // "-": standard input.
  static Result<std::unique_ptr<PlanLines>> Open(const std::string& file);
  explicit PlanLines(FileDescriptor file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

  // The next line that is not empty; none at the end.
  Result<std::optional<PlanLine>> Next();
  Result<std::optional<PlanLine>> Peek();            // Next gives it again
  const std::string& name() const { return name_; }  // for messages

 private:
  Result<bool> Fill();  // false: the end

  FileDescriptor file_;
  const std::string name_;
  std::string piece_;  // read, from next_ on not yet looked at
  size_t next_ = 0;
  uint64_t number_ = 0;
  std::optional<PlanLine> peeked_;
};

// The texts that a mount's root goes by: its mountpoint, and the beginning of `path` (absolute) when that leads to
// `relative` on it by way of a symlink.
std::vector<std::string> MountRoots(const std::string& mountpoint, const std::string& path,
                                    const std::string& relative);

// The line's path relative to the mount. kInvalidArgument: it is too long, or absolute and below none of `roots`.
Result<std::string> PathOnMount(const PlanLine& line, const std::vector<std::string>& roots);

}  // namespace leat::cli
