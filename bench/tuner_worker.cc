// SPDX-License-Identifier: Apache-2.0
// tuner_bench_worker: Leat's Bayesian search as a process, for bench/tuner. A JSON object a line on standard input:
// first
// {"space": ParameterRanges as CreateHyperParameterTuningJob has them, "seed": N, "maximize": false}, then {"ask": 1},
// answered by {"trial": N, "parameters": {name: value}}, and {"tell": N, "value": X}, not answered. A value that is
// null is a trial that failed.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "model/tuning_job.h"
#include "search/search.h"

namespace leat::bench {
namespace {

using Json = nlohmann::json;

Result<search::Study> ReadStudy(const Json& line) {
  RequestReader reader;
  search::Study study;
  study.ranges = ReadParameterRanges(reader, line.at("space"), "space");
  LEAT_RETURN_IF_ERROR(StatusOf(reader.problems, "the space"));
  study.maximize = line.value("maximize", false);
  return study;
}

Status Answer(const Json& line, uint64_t seed, search::Study& study) {
  if (line.contains("ask")) {
    LEAT_ASSIGN_OR_RETURN(const auto suggestions, search::Suggest(study, 1, seed));
    std::cout << Json{{"trial", study.trials.size()}, {"parameters", suggestions[0].parameters}}.dump() << std::endl;
    study.trials.push_back(suggestions[0]);
    return {};
  }
  const auto number = line.at("tell").get<size_t>();
  if (number >= study.trials.size()) return Fail(ErrorCode::kInvalidArgument, "no trial " + std::to_string(number));
  search::Trial& trial = study.trials[number];
  const Json& value = line.at("value");
  trial.state = value.is_null() ? search::Trial::State::kFailed : search::Trial::State::kCompleted;
  if (value.is_number()) trial.objective = value.get<double>();
  return {};
}

Status Run() {
  std::string text;
  if (!std::getline(std::cin, text)) return Fail(ErrorCode::kInvalidArgument, "no first line with the space");
  const Json first = Json::parse(text);
  LEAT_ASSIGN_OR_RETURN(search::Study study, ReadStudy(first));
  const auto seed = first.value("seed", uint64_t{0});
  while (std::getline(std::cin, text)) LEAT_RETURN_IF_ERROR(Answer(Json::parse(text), seed, study));
  return {};
}

}  // namespace
}  // namespace leat::bench

int main() {
  std::string message;
  try {
    const leat::Status status = leat::bench::Run();
    if (status) return 0;
    message = status.error().message;
  } catch (const nlohmann::json::exception& error) {
    message = error.what();
  }
  std::fprintf(stderr, "tuner_bench_worker: %s\n", message.c_str());
  return 1;
}
