// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "jobs/metrics.h"

#include <pcre2.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/text.h"

namespace leat::jobs {
namespace {

constexpr size_t kShownCharactersMax = 80;  // of what is no number, in a warning
constexpr uint32_t kMatchLimit = 100000;    // steps a search may take on one line: milliseconds

// "0.5", " -1e-3 ", "nan", "inf": the whole text but for white space around it, as Python's float() reads it (without
// underscores).
bool ReadNumber(std::string_view text, double& value) {
  const std::string copy(Trim(text));
  char* end = nullptr;
  value = std::strtod(copy.c_str(), &end);
  return !copy.empty() && end == copy.c_str() + copy.size() && copy.find_first_of("xX") == std::string::npos;
}

// Of this thread, so that a busy machine does not spend an expression's time.
std::chrono::nanoseconds ProcessorTime() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace

struct MetricReader::Compiled {
  std::string name, regex;
  std::chrono::nanoseconds spent{0};
  bool has_number = false;
  std::string no_number;  // what was found in the place of the first number; empty: nothing was
  pcre2_code* code = nullptr;
  pcre2_match_data* data = nullptr;
  pcre2_match_context* context = nullptr;
  Compiled() = default;
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

MetricReader::MetricReader(MetricLimits limits) : limits_(limits) {}
MetricReader::~MetricReader() = default;

Result<std::unique_ptr<MetricReader::Compiled>> MetricReader::Compile(const MetricDefinition& definition) {
  auto compiled = std::make_unique<Compiled>();
  compiled->name = definition.name;
  compiled->regex = definition.regex;
  int error = 0;
  PCRE2_SIZE offset = 0;
  const auto& regex = definition.regex;
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(), PCRE2_NEVER_BACKSLASH_C,
                                 &error, &offset, nullptr);
  if (!compiled->code) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(error, message, sizeof message);
    return Fail(ErrorCode::kInvalidArgument,
                std::string(reinterpret_cast<const char*>(message)) + " at character " + std::to_string(offset));
  }
  uint32_t groups = 0;
  pcre2_pattern_info(compiled->code, PCRE2_INFO_CAPTURECOUNT, &groups);
  if (groups == 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "has no capture group; put the number in parentheses, as in loss=([0-9.]+)");
  }
  compiled->data = pcre2_match_data_create_from_pattern(compiled->code, nullptr);
  compiled->context = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(compiled->context, kMatchLimit);
  pcre2_set_depth_limit(compiled->context, kMatchLimit);
  return compiled;
}

std::vector<RequestProblem> MetricReader::Check(const std::vector<MetricDefinition>& definitions) {
  std::vector<RequestProblem> problems;
  for (size_t i = 0; i < definitions.size(); ++i) {
    if (const auto compiled = Compile(definitions[i]); !compiled) {
      problems.push_back({"AlgorithmSpecification.MetricDefinitions[" + std::to_string(i) + "].Regex",
                          "\"" + definitions[i].regex + "\"", compiled.error().message});
    }
  }
  return problems;
}

Result<std::unique_ptr<MetricReader>> MetricReader::Make(const std::vector<MetricDefinition>& definitions,
                                                         MetricLimits limits) {
  LEAT_RETURN_IF_ERROR(StatusOf(Check(definitions), "the request"));
  std::unique_ptr<MetricReader> reader(new MetricReader(limits));
  for (const auto& definition : definitions) {
    LEAT_ASSIGN_OR_RETURN(auto compiled, Compile(definition));
    reader->definitions_.push_back(std::move(compiled));
  }
  return reader;
}

void MetricReader::Read(std::string_view line, int64_t at_ns, std::vector<MetricSample>& samples) {
  if (definitions_.empty()) return;
  line = line.substr(0, limits_.line_bytes_max);
  const auto now = std::chrono::steady_clock::now();
  if (first_line_ == std::chrono::steady_clock::time_point{}) first_line_ = now;
  const auto budget = limits_.search_time +
                      std::chrono::duration_cast<std::chrono::nanoseconds>((now - first_line_) * limits_.search_share);
  auto began = ProcessorTime();
  for (auto& definition : definitions_) {
    if (!definition) continue;  // dropped
    const int groups = pcre2_match(definition->code, reinterpret_cast<PCRE2_SPTR>(line.data()), line.size(), 0, 0,
                                   definition->data, definition->context);
    if (groups >= 2) {  // else no match, or the limit
      const PCRE2_SIZE* at = pcre2_get_ovector_pointer(definition->data);
      double value = 0;
      const std::string_view text = at[2] == PCRE2_UNSET ? "" : line.substr(at[2], at[3] - at[2]);
      if (ReadNumber(text, value)) {
        samples.push_back({definition->name, value, at_ns});
        definition->has_number = true;
      } else if (!definition->has_number && definition->no_number.empty()) {
        definition->no_number = CutToCharacters(text, kShownCharactersMax);
      }
    }
    const auto ended = ProcessorTime();
    definition->spent += ended - began;
    began = ended;
    if (definition->spent <= budget) continue;
    warnings_.push_back("metric " + definition->name + " is read no longer: its regular expression \"" +
                        definition->regex + "\" takes too long on this log; make it simpler, without nested repeats");
    definition.reset();
  }
}

std::vector<std::string> MetricReader::NeverNumbers(const std::vector<MetricSample>& samples) const {
  std::vector<std::string> warnings;
  for (const auto& definition : definitions_) {
    if (!definition || definition->has_number || definition->no_number.empty()) continue;
    if (std::ranges::any_of(samples, [&](const auto& sample) { return sample.name == definition->name; })) continue;
    warnings.push_back("metric " + definition->name + " has no value: its regular expression matched, but its group " +
                       "never held a number; the first time it held '" + definition->no_number + "'");
  }
  return warnings;
}

std::vector<std::string> MetricReader::TakeWarnings() { return std::exchange(warnings_, {}); }

}  // namespace leat::jobs
