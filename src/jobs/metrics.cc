// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "jobs/metrics.h"

#include <pcre2.h>

#include <cstdlib>

namespace leat::jobs {
namespace {

constexpr uint32_t kMatchLimit = 100000;  // steps a search may take on one line: milliseconds

// "0.5", "-1e-3", "nan", "inf": the whole text, as Python's float() reads it (without underscores).
bool ReadNumber(std::string_view text, double& value) {
  const std::string copy(text);
  char* end = nullptr;
  value = std::strtod(copy.c_str(), &end);
  return !copy.empty() && end == copy.c_str() + copy.size() && copy.find_first_of("xX") == std::string::npos;
}

}  // namespace

struct MetricReader::Compiled {
  std::string name;
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

MetricReader::MetricReader() = default;
MetricReader::~MetricReader() = default;

Result<std::unique_ptr<MetricReader>> MetricReader::Make(const std::vector<MetricDefinition>& definitions) {
  std::unique_ptr<MetricReader> reader(new MetricReader);
  for (size_t i = 0; i < definitions.size(); ++i) {
    auto compiled = std::make_unique<Compiled>();
    compiled->name = definitions[i].name;
    int error = 0;
    PCRE2_SIZE offset = 0;
    const auto& regex = definitions[i].regex;
    compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(), PCRE2_NEVER_BACKSLASH_C,
                                   &error, &offset, nullptr);
    if (!compiled->code) {
      PCRE2_UCHAR message[256];
      pcre2_get_error_message(error, message, sizeof message);
      return Fail(ErrorCode::kInvalidArgument,
                  "AlgorithmSpecification.MetricDefinitions[" + std::to_string(i) + "].Regex = \"" + regex +
                      "\": " + reinterpret_cast<const char*>(message) + " at character " + std::to_string(offset));
    }
    compiled->data = pcre2_match_data_create_from_pattern(compiled->code, nullptr);
    compiled->context = pcre2_match_context_create(nullptr);
    pcre2_set_match_limit(compiled->context, kMatchLimit);
    pcre2_set_depth_limit(compiled->context, kMatchLimit);
    reader->definitions_.push_back(std::move(compiled));
  }
  return reader;
}

void MetricReader::Read(std::string_view line, int64_t at_ns, std::vector<MetricSample>& samples) {
  for (const auto& definition : definitions_) {
    const int groups = pcre2_match(definition->code, reinterpret_cast<PCRE2_SPTR>(line.data()), line.size(), 0, 0,
                                   definition->data, definition->context);
    if (groups < 2) continue;  // no match, no group, or the limit
    const PCRE2_SIZE* at = pcre2_get_ovector_pointer(definition->data);
    if (at[2] == PCRE2_UNSET) continue;
    double value = 0;
    if (ReadNumber(line.substr(at[2], at[3] - at[2]), value)) samples.push_back({definition->name, value, at_ns});
  }
}

}  // namespace leat::jobs
