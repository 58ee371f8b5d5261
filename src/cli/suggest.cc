// SPDX-License-Identifier: Apache-2.0
#include "cli/suggest.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/job_services.h"
#include "cli/verbs.h"
#include "search/search.h"

namespace leat::cli {
namespace {

constexpr size_t kTrialsMax = 100'000;
constexpr uint32_t kCountMax = 1000;

struct Arguments {
  std::string study;
  uint32_t count = 1;
  std::vector<std::string> tells;
  std::vector<uint32_t> failures;
  bool show_best = false;
};

struct StudyFile {
  Json json;
  search::Study study;
  uint64_t seed = 0;
};

const char* StatusText(search::Trial::State state) {
  switch (state) {
    case search::Trial::State::kCompleted:
      return "Completed";
    case search::Trial::State::kFailed:
      return "Failed";
    case search::Trial::State::kPending:
      return "Pending";
  }
  return "";
}

void ReadTrial(RequestReader& reader, const Json& json, const std::string& path, search::Study& study) {
  search::Trial trial;
  if (!json.is_object()) {
    reader.Problem(path, &json, "must be an object");
    return;
  }
  for (const auto& [name, value] : reader.TextMap(json, path, "HyperParameters", 100, 256, 2500))
    trial.parameters[name] = value;
  const std::string status = reader.Choice(json, path, "Status", true, {"Completed", "Failed", "Pending"}, "Pending");
  if (status == "Failed") trial.state = search::Trial::State::kFailed;
  if (status == "Completed") {
    trial.state = search::Trial::State::kCompleted;
    const Json* value = reader.Member(json, path, "Value");
    if (!value || !value->is_number()) {
      reader.Problem(path + ".Value", value, "must be a number");
    } else {
      trial.objective = value->get<double>();
    }
  }
  trial.restart = static_cast<uint32_t>(reader.Integer(json, path, "Restart", false, 0, UINT32_MAX).value_or(0));
  study.trials.push_back(std::move(trial));
}

Result<StudyFile> ReadStudy(const std::string& path) {
  StudyFile file;
  LEAT_ASSIGN_OR_RETURN(file.json, ReadRequest(path));
  RequestReader reader;
  if (!file.json.is_object()) return Fail(ErrorCode::kInvalidArgument, path + " must hold a JSON object");
  const std::string strategy =
      reader.Choice(file.json, "", "Strategy", false, {"Bayesian", "Random", "Grid"}, "Bayesian");
  using Strategy = search::Study::Strategy;
  file.study.strategy = strategy == "Random" ? Strategy::kRandom
                        : strategy == "Grid" ? Strategy::kGrid
                                             : Strategy::kBayesian;
  file.seed = static_cast<uint64_t>(reader.Integer(file.json, "", "RandomSeed", false, 0, INT64_MAX).value_or(0));
  if (const Json* objective = reader.Object(file.json, "", "Objective", true)) {
    file.study.maximize =
        reader.Choice(*objective, "Objective", "Type", true, {"Maximize", "Minimize"}, "Maximize") == "Maximize";
  }
  if (const Json* ranges = reader.Object(file.json, "", "ParameterRanges", true))
    file.study.ranges = ReadParameterRanges(reader, *ranges, "ParameterRanges");
  if (const Json* trials = reader.Array(file.json, "", "Trials", false, 0, kTrialsMax)) {
    for (size_t i = 0; i < trials->size(); ++i)
      ReadTrial(reader, (*trials)[i], "Trials[" + std::to_string(i) + "]", file.study);
  }
  LEAT_RETURN_IF_ERROR(StatusOf(reader.problems, path));
  // As suggestions and the words of the service have them.
  reader.Accept("Trials[0]", {"Trial", "Value"});
  reader.Accept("Objective", {"MetricName"});
  for (const auto& warning : reader.known.WarningsOf(file.json, "a study"))
    std::fprintf(stderr, "leat suggest: warning: %s: %s\n", path.c_str(), EscapeForDisplay(warning).c_str());
  return file;
}

// What else stands in the file stays there, as do its mode and owner.
Status WriteStudy(const std::string& path, StudyFile& file) {
  struct stat before {};
  if (stat(path.c_str(), &before) != 0) return FailErrno(errno, path);
  Json& trials = file.json["Trials"];
  if (!trials.is_array()) trials = Json::array();
  for (size_t i = 0; i < file.study.trials.size(); ++i) {
    const search::Trial& trial = file.study.trials[i];
    if (i == trials.size()) trials.push_back({{"HyperParameters", trial.parameters}});
    if (trial.restart > 0) trials[i]["Restart"] = trial.restart;
    trials[i]["Status"] = StatusText(trial.state);
    if (trial.state == search::Trial::State::kCompleted) trials[i]["Value"] = trial.objective;
  }
  LEAT_RETURN_IF_ERROR(WriteFileAtomically(path, file.json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n",
                                           before.st_mode & 0777, true));
  // Only root can give it back to another.
  if (chown(path.c_str(), before.st_uid, before.st_gid) != 0 && geteuid() == 0) return FailErrno(errno, path);
  return {};
}

Json TrialJson(const search::Study& study, size_t index) {
  const search::Trial& trial = study.trials[index];
  Json json = {{"Trial", index + 1}, {"HyperParameters", trial.parameters}, {"Status", StatusText(trial.state)}};
  if (trial.state == search::Trial::State::kCompleted) json["Value"] = trial.objective;
  return json;
}

// The trial of that number, from 1, which is pending.
Result<search::Trial*> PendingTrial(search::Study& study, uint64_t number) {
  if (number == 0 || number > study.trials.size()) {
    return Fail(ErrorCode::kNotFound, "there is no trial " + std::to_string(number) + "; the study has " +
                                          std::to_string(study.trials.size()));
  }
  search::Trial& trial = study.trials[number - 1];
  if (trial.state != search::Trial::State::kPending)
    return Fail(ErrorCode::kInvalidArgument, "trial " + std::to_string(number) + " has been told already");
  return &trial;
}

// "NUMBER=VALUE". A value that is no finite number makes the trial a failed one, as a diverged training is.
Status Tell(search::Study& study, const std::string& text) {
  const size_t equals = text.find('=');
  const auto number = ParseUnsigned(text.substr(0, equals));
  double value = 0;
  const char* const end = text.data() + text.size();
  const char* const begin = equals == std::string::npos ? end : text.data() + equals + 1;
  const auto [read_to, error] = std::from_chars(begin, end, value);
  if (!number || begin == end || read_to != end || error == std::errc::invalid_argument)
    return Fail(ErrorCode::kInvalidArgument, "--tell takes TRIAL=VALUE, as in --tell 3=0.25, not " + text);
  LEAT_ASSIGN_OR_RETURN(search::Trial* const trial, PendingTrial(study, *number));
  if (error == std::errc::result_out_of_range) value = std::strtod(begin, nullptr);  // 0 or infinite
  const bool is_number = std::isfinite(value);
  trial->state = is_number ? search::Trial::State::kCompleted : search::Trial::State::kFailed;
  trial->objective = is_number ? value : std::nan("");
  return {};
}

std::optional<size_t> BestOf(const search::Study& study) {
  std::optional<size_t> best;
  for (size_t i = 0; i < study.trials.size(); ++i) {
    const auto& trial = study.trials[i];
    if (trial.state != search::Trial::State::kCompleted) continue;
    const bool is_better = !best || (study.maximize ? trial.objective > study.trials[*best].objective
                                                    : trial.objective < study.trials[*best].objective);
    if (is_better) best = i;
  }
  return best;
}

Status Suggest(const Arguments& arguments) {
  std::error_code error;
  // Of the file itself, so that two names of it have one lock, and a link stays one.
  const std::string path = std::filesystem::canonical(arguments.study, error).string();
  if (error)
    return Fail(ErrorCode::kNotFound, arguments.study + ": " + error.message() + "; a study begins as --help says");
  if (arguments.show_best) {  // files change all at once
    LEAT_ASSIGN_OR_RETURN(const StudyFile file, ReadStudy(path));
    const auto best = BestOf(file.study);
    if (!best) return Fail(ErrorCode::kNotFound, path + " has no trial with a value yet");
    std::printf("%s\n", TrialJson(file.study, *best).dump().c_str());
    return {};
  }
  const FileDescriptor lock(open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock.valid()) return FailErrno(errno, path + ".lock");
  while (flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return FailErrno(errno, "locking " + path + ".lock");
  }
  LEAT_ASSIGN_OR_RETURN(StudyFile file, ReadStudy(path));
  if (!arguments.tells.empty() || !arguments.failures.empty()) {
    for (const auto& text : arguments.tells) LEAT_RETURN_IF_ERROR(Tell(file.study, text));
    for (const uint32_t number : arguments.failures) {
      LEAT_ASSIGN_OR_RETURN(search::Trial* const trial, PendingTrial(file.study, number));
      trial->state = search::Trial::State::kFailed;
    }
    return WriteStudy(path, file);
  }
  const size_t first = file.study.trials.size();
  LEAT_ASSIGN_OR_RETURN(const auto suggestions, search::Suggest(file.study, arguments.count, file.seed));
  for (const auto& suggestion : suggestions) file.study.trials.push_back(suggestion);
  // Before anybody hears of them: what was suggested once is never lost, nor suggested to another.
  LEAT_RETURN_IF_ERROR(WriteStudy(path, file));
  for (size_t i = first; i < file.study.trials.size(); ++i)
    std::printf("%s\n", TrialJson(file.study, i).dump().c_str());
  return {};
}

int RunSuggest(const Arguments& arguments) {
  const Status status = Suggest(arguments);
  if (status) return 0;
  ComplainLines("suggest", status.error().message);
  return status.error().code == ErrorCode::kInvalidArgument ? 2 : 1;
}

}  // namespace

void AddSuggestCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("suggest", "Hyperparameters to try next, for a program of yours");
  verb->add_option("--study", arguments->study, "the study: ranges and trials, a JSON file")
      ->required()
      ->type_name("FILE");
  CLI::Option* count = verb->add_option("--count", arguments->count, "so many (1), each a line of JSON")
                           ->check(CLI::Range(1u, kCountMax));
  CLI::Option* tell = verb->add_option("--tell", arguments->tells, "a trial's result; may be repeated")
                          ->type_name("TRIAL=VALUE")
                          ->expected(1)
                          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
                          ->excludes(count);
  CLI::Option* fail = verb->add_option("--fail", arguments->failures, "a trial that has none; may be repeated")
                          ->type_name("TRIAL")
                          ->expected(1)
                          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
                          ->excludes(count);
  verb->add_flag("--best", arguments->show_best, "the best trial so far")
      ->excludes(count)
      ->excludes(tell)
      ->excludes(fail);
  verb->footer(
      "FILE begins as {\"ParameterRanges\": {...}, \"Objective\": {\"Type\": \"Minimize\"}}, in\n"
      "the words of CreateHyperParameterTuningJob.\n"
      "Example:\n  leat suggest --study study.json\n  leat suggest --study study.json --tell 1=0.25");
  verb->callback([arguments, &exit_code] { exit_code = RunCaught("suggest", [&] { return RunSuggest(*arguments); }); });
}

}  // namespace leat::cli
