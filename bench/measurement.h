// SPDX-License-Identifier: Apache-2.0
// What the tools of bench/ share: time and processor time of what is measured, the result, and the exit status.
// Stateless but for Stopwatch, which is confined to one thread.
//
//   Stopwatch watch;
//   ...what is measured...
//   const Measured measured = watch.Stop();
#pragma once

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/result.h"

namespace leat::bench {

using Json = nlohmann::ordered_json;  // members stay in the order in which a reader wants them

struct Measured {
  double seconds = 0;
  double user_seconds = 0;  // of this whole process, all threads
  double system_seconds = 0;

  Measured& operator+=(const Measured& other) {
    seconds += other.seconds;
    user_seconds += other.user_seconds;
    system_seconds += other.system_seconds;
    return *this;
  }
};

class Stopwatch {
 public:
  Stopwatch() : usage_(Usage()), start_(std::chrono::steady_clock::now()) {}
  std::chrono::steady_clock::time_point start() const { return start_; }
  Measured Stop() const {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
    const rusage now = Usage();
    return {elapsed.count(), Seconds(now.ru_utime) - Seconds(usage_.ru_utime),
            Seconds(now.ru_stime) - Seconds(usage_.ru_stime)};
  }

 private:
  static rusage Usage() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage;
  }
  static double Seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  }

  const rusage usage_;
  const std::chrono::steady_clock::time_point start_;
};

inline double PerSecond(uint64_t amount, double seconds) {
  return seconds > 0 ? static_cast<double>(amount) / seconds : 0;
}

// Status of a program: 2 for what the caller must write in another way, 1 for any other failure.
inline int ExitStatus(const Error& error) { return error.code == ErrorCode::kInvalidArgument ? 2 : 1; }

// Nothing when the program is to go on, else its exit status.
inline std::optional<int> ParseArguments(CLI::App& app, int argc, char** argv) {
  app.footer(
      "Exit status: 0 done, 1 something could not be read, 2 wrong usage. The result is one JSON object on\n"
      "standard output; errors are lines on standard error.");
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    std::fprintf(stderr, "%s: %s (%s --help tells more)\n", app.get_name().c_str(), error.what(),
                 app.get_name().c_str());
    return 2;
  }
}

// Prints the result, to which `errors` and `first_error` are added; gives the exit status.
inline int Report(const std::string& program, Json result, uint64_t errors, const std::string& first_error) {
  result["errors"] = errors;
  result["first_error"] = errors > 0 ? Json(first_error) : Json(nullptr);
  // A path or a server's message need not be UTF-8.
  std::printf("%s\n", result.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  if (std::fflush(stdout) != 0) {
    std::fprintf(stderr, "%s: cannot write the result: standard output takes no more\n", program.c_str());
    return 1;
  }
  if (errors == 0) return 0;
  std::fprintf(stderr, "%s: %llu failed, the first: %s\n", program.c_str(), static_cast<unsigned long long>(errors),
               first_error.c_str());
  return 1;
}

// For a failure that leaves nothing to report.
inline int Refuse(const std::string& program, const Error& error) {
  std::fprintf(stderr, "%s: %s\n", program.c_str(), error.message.c_str());
  return ExitStatus(error);
}

}  // namespace leat::bench
