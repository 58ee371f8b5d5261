// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_lines.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace leat::cli {
namespace {

constexpr size_t kPieceBytes = 65536;

}  // namespace

Result<std::unique_ptr<PlanLines>> PlanLines::Open(const std::string& file) {
  const bool standard_input = file == "-";
  const std::string name = standard_input ? "standard input" : file;
  FileDescriptor opened(standard_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                       : open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!opened.valid()) return FailErrno(errno, "cannot read the plan " + name);
  return std::make_unique<PlanLines>(std::move(opened), name);
}

Result<bool> PlanLines::Fill() {
  piece_.resize(kPieceBytes);
  next_ = 0;
  for (;;) {
    const ssize_t got = read(file_.get(), piece_.data(), piece_.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno(errno, "cannot read the plan " + name_);
    piece_.resize(static_cast<size_t>(got));
    return got > 0;
  }
}

Result<std::optional<PlanLine>> PlanLines::Next() {
  if (peeked_) return std::exchange(peeked_, std::nullopt);
  PlanLine line;
  for (;;) {
    bool at_end = false;
    if (next_ == piece_.size()) {
      LEAT_ASSIGN_OR_RETURN(const bool more, Fill());
      at_end = !more;
    }
    const size_t newline = piece_.find('\n', next_);
    const size_t end = newline == std::string::npos ? piece_.size() : newline;
    const size_t room = kLineBytesMax - line.text.size();
    line.too_long = line.too_long || end - next_ > room;
    line.text.append(piece_, next_, std::min(end - next_, room));
    next_ = end;
    if (newline == std::string::npos && !at_end) continue;
    if (newline != std::string::npos) ++next_;
    line.number = ++number_;
    if (!line.text.empty()) return std::optional(std::move(line));
    if (at_end) return std::optional<PlanLine>();
  }
}

Result<std::optional<PlanLine>> PlanLines::Peek() {
  if (!peeked_) {
    LEAT_ASSIGN_OR_RETURN(peeked_, Next());
  }
  return peeked_;
}

std::vector<std::string> MountRoots(const std::string& mountpoint, const std::string& path,
                                    const std::string& relative) {
  std::vector<std::string> roots = {mountpoint};
  const std::string tail = relative.empty() ? "" : "/" + relative;
  if (path.ends_with(tail)) {
    std::string root = path.substr(0, path.size() - tail.size());
    if (root != mountpoint && !root.empty()) roots.push_back(std::move(root));
  }
  return roots;
}

Result<std::string> PathOnMount(const PlanLine& line, const std::vector<std::string>& roots) {
  if (line.too_long) return Fail(ErrorCode::kInvalidArgument, "too long for a path");
  std::string_view path = line.text;
  if (path[0] != '/') {
    while (path.starts_with("./")) path.remove_prefix(2);  // as find writes it
    return std::string(path);
  }
  for (const std::string& root : roots) {
    if (path.size() > root.size() && path.starts_with(root) && path[root.size()] == '/') {
      return std::string(path.substr(root.size() + 1));
    }
  }
  return Fail(ErrorCode::kInvalidArgument, "not below " + roots[0] + ": " + line.text);
}

}  // namespace leat::cli
