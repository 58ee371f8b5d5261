// SPDX-License-Identifier: Apache-2.0
// Why a script failed, in the form of SageMaker's FailureReason: "AlgorithmError: <text>, exit code: N". The text is
// what the script wrote to /opt/ml/output/failure; without that the signal that killed it and the end of its log.
// Values; confined to one thread.
#pragma once

#include <deque>
#include <string>
#include <string_view>

namespace leat::jobs {

inline constexpr size_t kFailureReasonMax = 1024;  // characters; the service's limit

// The last lines of a log.
class LogTail {
 public:
  static constexpr size_t kLinesMax = 20;
  void Add(std::string_view line);
  // The newest lines that fit, oldest of them first, a line each.
  std::string Text(size_t characters_max) const;

 private:
  std::deque<std::string> lines_;
};

// The start of a file that the script wrote; empty without one.
std::string ReadFailureFile(const std::string& path);

std::string AlgorithmError(int exit_code, const std::string& failure_file, const LogTail& log);

}  // namespace leat::jobs
