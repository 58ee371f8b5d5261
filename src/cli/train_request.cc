// SPDX-License-Identifier: Apache-2.0
#include "cli/train_request.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "cli/accelerate.h"
#include "cli/daemon_client.h"
#include "jobs/job_store.h"
#include "model/repository_url.h"

namespace leat::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t kJobNameMax = 63;

bool StartsWith(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }
bool IsUrl(const std::string& text) { return StartsWith(text, "s3://") || StartsWith(text, "file://"); }

tl::unexpected<Error> Wrong(const std::string& text) { return Fail(ErrorCode::kInvalidArgument, text); }

// Absolute, without "." and "..", without a last slash.
std::string Absolute(const std::string& path, const std::string& working_directory) {
  std::string text = (fs::path(working_directory) / path).lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

// What a flag NAME=VALUE says; NAME is not empty.
Result<std::pair<std::string, std::string>> NameAndValue(const std::string& text, const std::string& flag,
                                                         const std::string& form) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) return Wrong("--" + flag + " " + text + ": write it as " + form);
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

Result<Json> MapOf(const std::vector<std::string>& list, const std::string& flag) {
  Json map = Json::object();
  for (const auto& text : list) {
    LEAT_ASSIGN_OR_RETURN(const auto pair, NameAndValue(text, flag, "--" + flag + " NAME=VALUE"));
    if (map.contains(pair.first)) return Wrong("--" + flag + " " + pair.first + " is given twice");
    map[pair.first] = pair.second;
  }
  return map;
}

// NAME=VALUE where NAME stands alone.
Result<std::vector<std::string>> WithOwnValues(std::vector<std::string> list,
                                               const std::function<const char*(const char* name)>& variable) {
  for (auto& text : list) {
    if (text.find('=') != std::string::npos) continue;
    const char* value = variable(text.c_str());
    if (!value)
      return Wrong("--environment " + text + ": there is no such variable to pass on; set it, or write NAME=VALUE");
    text += std::string("=") + value;
  }
  return list;
}

// "train-2026-01-02-03-04-05-678" of "/code/train.py", as the service's SDK names jobs; in UTC.
std::string DefaultJobName(const std::string& script, int64_t now_ns) {
  std::string time = FormatTimeUtc(now_ns);
  std::replace_if(
      time.begin(), time.end(), [](char c) { return c == 'T' || c == ':'; }, '-');
  if (!time.empty()) time.pop_back();  // Z
  char milliseconds[8];
  std::snprintf(milliseconds, sizeof milliseconds, "-%03d", static_cast<int>(now_ns / 1000000 % 1000));
  time += milliseconds;
  std::string base;
  for (const char c : fs::path(script).stem().string()) {
    const bool fits = std::isalnum(static_cast<unsigned char>(c)) && static_cast<unsigned char>(c) < 128;
    if (fits || (!base.empty() && base.back() != '-')) base += fits ? c : '-';
  }
  base.resize(std::min(base.size(), kJobNameMax - time.size() - 1));
  while (!base.empty() && base.back() == '-') base.pop_back();
  return (base.empty() ? "job" : base) + "-" + time;
}

Json PlainDirectory(const std::string& path) {
  return {{"FileSystemDataSource",
           {{"FileSystemType", "EFS"},
            {"FileSystemAccessMode", "ro"},
            {"FileSystemId", "local"},
            {"DirectoryPath", path}}}};
}

Result<Json> ChannelOf(const std::string& text, const TrainFlags& flags, const std::string& working_directory) {
  LEAT_ASSIGN_OR_RETURN(const auto pair,
                        NameAndValue(text, "input", "--input NAME=DIRECTORY, NAME=s3://bucket/prefix or NAME=fs-ID"));
  const std::string& place = pair.second;
  if (place.empty()) return Wrong("--input " + text + ": says no place behind the =");
  Json channel = {{"ChannelName", pair.first}};
  if (!flags.input_mode.empty() && IsUrl(place)) {
    channel["InputMode"] = flags.input_mode;
    channel["DataSource"] = {
        {"S3DataSource",
         {{"S3DataType", "S3Prefix"}, {"S3Uri", place}, {"S3DataDistributionType", "FullyReplicated"}}}};
  } else if (IsUrl(place)) {
    const auto url = RepositoryUrl::Parse(place);
    if (!url) return Wrong("--input " + text + ": " + url.error().message);
    channel["DataSource"] = MountedSource(place, "/");
  } else if (StartsWith(place, "fs-") && place.find('/') == std::string::npos) {
    channel["DataSource"] = MountedSource(place, "/");
  } else if (StartsWith(place, "fs-") && place.find(":/") == place.find('/') - 1) {
    const size_t colon = place.find(":/");
    channel["DataSource"] = MountedSource(place.substr(0, colon), place.substr(colon + 1));
  } else {
    channel["DataSource"] = PlainDirectory(Absolute(place, working_directory));
  }
  return channel;
}

// Where code comes from, and the program in it.
struct CodePlace {
  std::string source, program;
};

Result<CodePlace> CodeOf(const TrainFlags& flags, const std::string& working_directory) {
  if (flags.source_dir.empty()) {
    const fs::path script = Absolute(flags.script, working_directory);
    return CodePlace{script.parent_path().string(), script.filename().string()};
  }
  const std::string source = IsUrl(flags.source_dir) ? flags.source_dir : Absolute(flags.source_dir, working_directory);
  if (flags.script[0] != '/') {
    const std::string program = fs::path(flags.script).lexically_normal().string();
    if (program == ".." || StartsWith(program, "../")) {
      return Wrong("--script " + flags.script + " leads out of --source-dir " + flags.source_dir +
                   ": give its path in it");
    }
    return CodePlace{source, program};
  }
  const std::string script = Absolute(flags.script, working_directory);
  if (!StartsWith(script, (source + "/").c_str())) {
    return Wrong("--script " + flags.script + " does not lie in --source-dir " + flags.source_dir +
                 ": give its path in it");
  }
  return CodePlace{source, script.substr(source.size() + 1)};
}

std::string UrlOf(const std::string& place, const std::string& working_directory) {
  return IsUrl(place) ? place : "file://" + Absolute(place, working_directory);
}

Result<Json> HyperParametersOf(const TrainFlags& flags, const std::string& working_directory) {
  LEAT_ASSIGN_OR_RETURN(Json map, MapOf(flags.hyperparameters, "hyperparameter"));
  LEAT_ASSIGN_OR_RETURN(const CodePlace code, CodeOf(flags, working_directory));
  for (const auto& [name, value] :
       {std::pair("sagemaker_program", code.program), std::pair("sagemaker_submit_directory", code.source)}) {
    if (map.contains(name)) return Wrong(std::string("--hyperparameter ") + name + " is set by --script; leave it out");
    map[name] = value;
  }
  return map;
}

Result<Json> AlgorithmOf(const TrainFlags& flags) {
  Json algorithm = {{"TrainingInputMode", "File"}};
  if (!flags.image.empty()) algorithm["TrainingImage"] = flags.image;
  for (const auto& text : flags.metrics) {
    LEAT_ASSIGN_OR_RETURN(const auto pair, NameAndValue(text, "metric", "--metric 'NAME=REGEX', one group in REGEX"));
    algorithm["MetricDefinitions"].push_back({{"Name", pair.first}, {"Regex", pair.second}});
  }
  return algorithm;
}

Status CheckExists(const std::string& flag, const std::string& path, bool is_directory, const std::string& hint) {
  std::error_code error;
  const auto what = fs::status(path, error);
  if (is_directory ? fs::is_directory(what) : fs::is_regular_file(what)) return {};
  const std::string kind = is_directory ? "directory" : "file";
  return Fail(fs::exists(what) ? ErrorCode::kInvalidArgument : ErrorCode::kNotFound,
              flag + ": " + path + " is no " + kind + hint);
}

}  // namespace

bool TrainFlags::HasRequest() const {
  for (const auto* text :
       {&script, &source_dir, &image, &output, &name, &input_mode, &instance_type, &checkpoint_uri}) {
    if (!text->empty()) return true;
  }
  for (const auto* list : {&hyperparameters, &inputs, &metrics, &environment}) {
    if (!list->empty()) return true;
  }
  return instance_count || max_runtime_s;
}

void AddTrainRequestOptions(CLI::App& verb, TrainFlags& flags) {
  const auto list = [&](const char* name, std::vector<std::string>& values, const char* form, const char* help) {
    verb.add_option(name, values, help)
        ->type_name(form)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->group("Instead of JOB.json");
  };
  const auto one = [&](const char* name, auto& value, const char* form, const char* help) {
    return verb.add_option(name, value, help)->type_name(form)->group("Instead of JOB.json");
  };
  one("--script", flags.script, "PATH", "what runs, .py or .sh; its directory is copied to /opt/ml/code");
  one("--source-dir", flags.source_dir, "DIR|s3://...", "copy this instead; --script is a path in it");
  one("--image", flags.image, "IMAGE", "run in a container of it, by podman: a SageMaker training image or your own");
  list("--hyperparameter", flags.hyperparameters, "NAME=VALUE", "becomes --NAME VALUE of the script; may be repeated");
  list("--input", flags.inputs, "NAME=PLACE",
       "a channel, /opt/ml/input/data/NAME: a directory, s3://bucket/prefix or fs-ID[:/dir]; may be repeated");
  one("--input-mode", flags.input_mode, "MODE",
      "File (copy first), FastFile or Pipe for s3:// and file:// inputs, which are mounted otherwise")
      ->check(CLI::IsMember({"File", "FastFile", "Pipe"}));
  one("--output", flags.output, "s3://...|DIR", "where the model goes (STATE/output)");
  one("--name", flags.name, "NAME", "of the job (the script's and the time)");
  list("--metric", flags.metrics, "NAME=REGEX", "REGEX's group is a value wherever a line matches; may be repeated");
  list("--environment", flags.environment, "NAME[=VALUE]",
       "a variable of the script's; without a value, yours is passed on; may be repeated");
  one("--instance-type", flags.instance_type, "TYPE", "what the job is told of CPUs and GPUs (local)");
  one("--instance-count", flags.instance_count, "N", "hosts, all on this machine (1)");
  one("--max-runtime", flags.max_runtime_s, "SECONDS", "stop the job then (86400)");
  one("--checkpoint-uri", flags.checkpoint_uri, "s3://...|DIR", "keep /opt/ml/checkpoints there, and begin with it");
  verb.add_flag("--print-request", flags.print_request, "print the CreateTrainingJob request and run nothing");
}

Result<Json> TrainRequest(const TrainFlags& flags, const TrainSurroundings& surroundings) {
  const std::string& here = surroundings.working_directory;
  if (flags.script.empty())
    return Wrong("--script is missing: the .py or .sh file to run (or give a JOB.json instead)");
  if (flags.script.back() == '/') return Wrong("--script " + flags.script + " names a directory: give the file to run");
  Json request = {
      {"TrainingJobName", flags.name.empty() ? DefaultJobName(flags.script, surroundings.now_ns) : flags.name}};
  LEAT_ASSIGN_OR_RETURN(request["HyperParameters"], HyperParametersOf(flags, here));
  LEAT_ASSIGN_OR_RETURN(request["AlgorithmSpecification"], AlgorithmOf(flags));
  bool has_url = false;
  for (const auto& text : flags.inputs) {
    LEAT_ASSIGN_OR_RETURN(Json channel, ChannelOf(text, flags, here));
    has_url = has_url || channel.contains("InputMode");
    request["InputDataConfig"].push_back(std::move(channel));
  }
  if (!flags.input_mode.empty() && !has_url) {
    return Wrong("--input-mode " + flags.input_mode +
                 " is for inputs of s3:// and file:// URLs, and there is none; directories and file systems are read "
                 "where they are");
  }
  const std::string output = flags.output.empty() ? surroundings.state_directory + "/output" : flags.output;
  request["OutputDataConfig"] = {{"S3OutputPath", UrlOf(output, here)}};
  request["ResourceConfig"] = {{"InstanceType", flags.instance_type.empty() ? "local" : flags.instance_type},
                               {"InstanceCount", flags.instance_count.value_or(1)}};
  if (flags.max_runtime_s) request["StoppingCondition"] = {{"MaxRuntimeInSeconds", *flags.max_runtime_s}};
  if (!flags.checkpoint_uri.empty()) request["CheckpointConfig"] = {{"S3Uri", UrlOf(flags.checkpoint_uri, here)}};
  if (!flags.environment.empty()) {
    LEAT_ASSIGN_OR_RETURN(const auto given, WithOwnValues(flags.environment, surroundings.variable));
    LEAT_ASSIGN_OR_RETURN(request["Environment"], MapOf(given, "environment"));
  }
  return request;
}

Status CheckLocalPaths(const TrainFlags& flags, const TrainSurroundings& surroundings) {
  const std::string& here = surroundings.working_directory;
  LEAT_ASSIGN_OR_RETURN(const CodePlace code, CodeOf(flags, here));
  if (!IsUrl(code.source)) {
    std::error_code error;
    // An archive is looked into when the job starts.
    if (!fs::is_regular_file(code.source, error)) {
      LEAT_RETURN_IF_ERROR(CheckExists("--source-dir", code.source, true, " and no archive"));
      LEAT_RETURN_IF_ERROR(CheckExists("--script", code.source + "/" + code.program, false,
                                       flags.source_dir.empty() ? "" : "; with --source-dir it is a path in that"));
    }
  }
  for (const auto& text : flags.inputs) {
    LEAT_ASSIGN_OR_RETURN(const Json channel, ChannelOf(text, flags, here));
    const Json source = channel["DataSource"].value("FileSystemDataSource", Json::object());
    if (source.value("FileSystemType", "") != "EFS") continue;
    LEAT_RETURN_IF_ERROR(CheckExists("--input " + text, source.value("DirectoryPath", ""), true,
                                     "; an input is a directory, an s3:// URL or a file system's fs-... id"));
  }
  return {};
}

Result<Json> ReadTrainRequest(const JobArguments& arguments, const TrainFlags& flags) {
  Json request;
  if (!arguments.request_path.empty()) {
    if (flags.HasRequest()) {
      return Wrong("a request is given twice: " + arguments.request_path +
                   " holds all of it, so leave out --script and the flags that go with it, or the file");
    }
    LEAT_ASSIGN_OR_RETURN(request, ReadRequest(arguments.request_path));
  } else {
    if (!flags.HasRequest())
      return Wrong("nothing to run is given: leat train JOB.json, or leat train --script FILE.py");
    std::error_code error;
    const TrainSurroundings surroundings{arguments.StateDirectory(), fs::current_path(error).string(),
                                         jobs::WallTimeNs(), [](const char* name) { return std::getenv(name); }};
    if (error) return Fail(ErrorCode::kIo, "the current directory cannot be told: " + error.message());
    LEAT_ASSIGN_OR_RETURN(request, TrainRequest(flags, surroundings));
    LEAT_RETURN_IF_ERROR(CheckLocalPaths(flags, surroundings));
  }
  return request;
}

}  // namespace leat::cli
