// SPDX-License-Identifier: Apache-2.0
#include "jobs/contract.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <set>

#include "base/text.h"

namespace leat::jobs {
namespace {

const std::set<std::string> kReserved = {"_tuning_objective_metric", "default_user_module_name"};

constexpr const char* kRegionNames[] = {"AWS_REGION", "AWS_DEFAULT_REGION", "SAGEMAKER_REGION"};

// Secrets of the caller, and what would lead an AWS client to them.
const std::set<std::string> kWithheld = {"AWS_ACCESS_KEY_ID",
                                         "AWS_SECRET_ACCESS_KEY",
                                         "AWS_SESSION_TOKEN",
                                         "AWS_SECURITY_TOKEN",
                                         "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                         "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                         "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                         "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                         "AWS_WEB_IDENTITY_TOKEN_FILE",
                                         "AWS_SHARED_CREDENTIALS_FILE",
                                         "AWS_CONFIG_FILE",
                                         "AWS_BEARER_TOKEN_BEDROCK",
                                         "AWS_DEFAULT_PROFILE",
                                         "AWS_PROFILE"};

// What of the caller's a script is given: what programs need to run as they do in the caller's shell. Anything else may
// be a secret, whatever it is called.
bool IsForScripts(const std::string& name, const std::string& value) {
  static const std::set<std::string> names = {"PATH",
                                              "HOME",
                                              "USER",
                                              "LOGNAME",
                                              "SHELL",
                                              "LANG",
                                              "LANGUAGE",
                                              "TZ",
                                              "TMPDIR",
                                              "TERM",
                                              "LD_LIBRARY_PATH",
                                              "VIRTUAL_ENV",
                                              "SSL_CERT_FILE",
                                              "SSL_CERT_DIR",
                                              "REQUESTS_CA_BUNDLE",
                                              "CURL_CA_BUNDLE",
                                              "AWS_CA_BUNDLE",
                                              "AWS_REGION",
                                              "AWS_DEFAULT_REGION",
                                              "SAGEMAKER_REGION",
                                              "S3_ENDPOINT_URL",
                                              "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                                              "AWS_USE_DUALSTACK_ENDPOINT",
                                              "AWS_USE_FIPS_ENDPOINT"};
  static constexpr const char* kStarts[] = {"LC_",    "PYTHON",          "CUDA", "NVIDIA", "NCCL_", "OMP_",
                                            "MKL_",   "OPENBLAS_",       "KMP_", "GOMP_",  "TORCH", "PYTORCH",
                                            "CONDA_", "AWS_ENDPOINT_URL"};
  static const std::set<std::string> proxies = {"http_proxy", "https_proxy", "no_proxy", "all_proxy"};
  // user:password@host
  if (proxies.contains(ToLower(name)) || name.find("ENDPOINT_URL") != std::string::npos)
    return value.find('@') == std::string::npos;
  return names.contains(name) ||
         std::ranges::any_of(kStarts, [&](const char* start) { return name.starts_with(start); });
}

// repr(float): shortest digits that read back as the same number, exponents below -4 and from 16 on.
std::string PythonFloat(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string text(buffer, end);
  std::string sign;
  if (text[0] == '-') {
    sign = "-";
    text.erase(0, 1);
  }
  const size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  std::string digits = text.substr(0, e);
  if (const size_t dot = digits.find('.'); dot != std::string::npos) digits.erase(dot, 1);
  if (exponent < -4 || exponent >= 16) {
    char tail[16];
    std::snprintf(tail, sizeof tail, "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    return sign + digits.substr(0, 1) + (digits.size() > 1 ? "." + digits.substr(1) : "") + tail;
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string PythonQuoted(const std::string& text) {
  const bool has_single = text.find('\'') != std::string::npos, has_double = text.find('"') != std::string::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == quote || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(byte));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + quote;
}

// The toolkit's environment form: text as it is, None empty, anything else compact JSON in ASCII with sorted keys.
std::string EnvironmentText(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "";
  return value.is_number_float() ? PythonFloat(value.get<double>())
                                 : value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

// A number where it is one, as the toolkit reads it.
Json LogLevel(const std::string& text) {
  const Json value = Json::parse(text, nullptr, false);
  return value.is_number() ? value : Json(text);
}

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

std::string PythonRepresentation(const Json& value) {
  if (value.is_string()) return PythonQuoted(value.get<std::string>());
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_number_float()) return PythonFloat(value.get<double>());
  std::string out;
  if (value.is_array()) {
    for (const auto& item : value) out += (out.empty() ? "" : ", ") + PythonRepresentation(item);
    return "[" + out + "]";
  }
  if (value.is_object()) {
    for (const auto& [key, item] : value.items()) {
      out += (out.empty() ? "" : ", ") + PythonQuoted(key) + ": " + PythonRepresentation(item);
    }
    return "{" + out + "}";
  }
  return value.dump();
}

std::string PythonText(const Json& value) {
  return value.is_string() ? value.get<std::string>() : PythonRepresentation(value);
}

Json ScriptHyperparameters(const std::map<std::string, std::string>& hyperparameters) {
  Json script = Json::object();
  for (const auto& [name, text] : hyperparameters) {
    if (name.rfind("sagemaker_", 0) == 0 || kReserved.count(name)) continue;
    Json value = Json::parse(text, nullptr, false);
    // A whole number beyond 64 bits is one in Python; its text says it exactly.
    const bool too_wide = value.is_number_float() && text.find_first_of(".eE") == std::string::npos;
    script[name] = value.is_discarded() || too_wide ? Json(text) : std::move(value);
  }
  return script;
}

std::vector<std::string> ScriptArguments(const Json& script_hyperparameters) {
  std::vector<std::string> arguments;
  for (const auto& [name, value] : script_hyperparameters.items()) {
    arguments.push_back((name.size() == 1 ? "-" : "--") + name);
    if (value.is_null()) {
      arguments.emplace_back();
    } else if (value.is_object()) {
      std::string pairs;
      for (const auto& [key, item] : value.items()) pairs += (pairs.empty() ? "" : ",") + key + "=" + PythonText(item);
      arguments.push_back(pairs);
    } else {
      arguments.push_back(PythonText(value));
    }
  }
  return arguments;
}

std::string PlainValue(const std::string& value) {
  const Json parsed = Json::parse(value, nullptr, false);
  return parsed.is_string() ? parsed.get<std::string>() : value;
}

Json ResourceConfig(const Machine& machine) {
  const Json hosts = machine.hosts;
  return {{"current_group_name", "homogeneousCluster"},
          {"current_host", machine.current_host},
          {"current_instance_type", machine.instance_type},
          {"hosts", hosts},
          {"instance_groups", Json::array({{{"hosts", hosts},
                                            {"instance_group_name", "homogeneousCluster"},
                                            {"instance_type", machine.instance_type}}})},
          {"network_interface_name", "lo"}};
}

Json InputDataConfig(const TrainingJob& job) {
  Json config = Json::object();
  for (const auto& channel : job.channels) {
    const bool is_pipe = channel.input_mode == InputMode::kPipe;
    const char* mode = is_pipe ? "Pipe" : channel.input_mode == InputMode::kFastFile ? "FastFile" : "File";
    const bool is_sharded = channel.s3 && channel.s3->is_sharded;
    Json entry = {{"TrainingInputMode", channel.file_system ? "File" : mode},
                  {"S3DistributionType", is_sharded ? "ShardedByS3Key" : "FullyReplicated"},
                  {"RecordWrapperType", channel.is_record_io ? "RecordIO" : "None"}};
    if (!channel.content_type.empty()) entry["ContentType"] = channel.content_type;
    config[channel.name] = std::move(entry);
  }
  return config;
}

std::string TrainingJobArn(const std::string& name) {
  return "arn:aws:sagemaker:local:000000000000:training-job/" + ToLower(name);
}

std::map<std::string, std::string> ContractEnvironment(const TrainingJob& job, const Machine& machine,
                                                       const ContractPaths& paths, const std::string& program) {
  const Json hyperparameters = ScriptHyperparameters(job.hyperparameters);
  const Json resources = ResourceConfig(machine);
  const Json inputs = InputDataConfig(job);
  const std::string& base = paths.base;
  Json framework = Json::object();
  std::string log_level = "20", module_directory = paths.Code();
  static const std::set<std::string> toolkits_own = {
      "sagemaker_program",  "sagemaker_submit_directory",    "sagemaker_enable_cloudwatch_metrics",
      "sagemaker_region",   "sagemaker_container_log_level", "sagemaker_job_name",
      "sagemaker_s3_output"};
  for (const auto& [name, text] : job.hyperparameters) {
    if (name == "sagemaker_container_log_level") log_level = PlainValue(text);
    if (name == "sagemaker_submit_directory") module_directory = PlainValue(text);
    if (name.rfind("sagemaker_", 0) != 0 || toolkits_own.count(name)) continue;
    const Json value = Json::parse(text, nullptr, false);
    framework[name] = value.is_discarded() ? Json(text) : value;
  }
  Json channels = Json::array(), channel_directories = Json::object();
  for (const auto& [name, entry] : inputs.items()) {
    channels.push_back(name);
    channel_directories[name] = paths.Channel(name);
  }
  const std::string module = EndsWith(program, ".py") ? program.substr(0, program.size() - 3) : program;
  const Json hosts = resources["hosts"], groups = resources["instance_groups"];
  Json training = {{"additional_framework_parameters", framework},
                   {"channel_input_dirs", channel_directories},
                   {"current_host", machine.current_host},
                   {"current_instance_group", "homogeneousCluster"},
                   {"current_instance_group_hosts", hosts},
                   {"current_instance_type", machine.instance_type},
                   {"distribution_hosts", hosts},
                   {"distribution_instance_groups", Json::array()},
                   {"framework_module", nullptr},
                   {"hosts", hosts},
                   {"hyperparameters", hyperparameters},
                   {"input_config_dir", base + "/input/config"},
                   {"input_data_config", inputs},
                   {"input_dir", base + "/input"},
                   {"instance_groups", Json::array({"homogeneousCluster"})},
                   {"instance_groups_dict", {{"homogeneousCluster", groups[0]}}},
                   {"is_hetero", false},
                   {"is_master", machine.current_host == machine.hosts[0]},
                   {"job_name", job.name},
                   {"is_modelparallel_enabled", false},
                   {"is_smddpmprun_installed", false},
                   {"is_smddprun_installed", false},
                   {"log_level", LogLevel(log_level)},
                   {"master_hostname", machine.hosts[0]},
                   {"model_dir", base + "/model"},
                   {"module_dir", module_directory},
                   {"module_name", module},
                   {"network_interface_name", "lo"},
                   {"num_cpus", machine.cpus},
                   {"num_gpus", machine.gpus},
                   {"num_neurons", 0},
                   {"output_data_dir", base + "/output/data"},
                   {"output_dir", base + "/output"},
                   {"output_intermediate_dir", base + "/output/intermediate"},
                   {"resource_config", resources},
                   {"topology", nullptr},
                   {"user_entry_point", program}};
  std::map<std::string, std::string> environment = {
      {"TRAINING_JOB_NAME", job.name},
      {"TRAINING_JOB_ARN", TrainingJobArn(job.name)},
      {"SM_MODEL_DIR", base + "/model"},
      {"SM_OUTPUT_DIR", base + "/output"},
      {"SM_OUTPUT_DATA_DIR", base + "/output/data"},
      {"SM_OUTPUT_INTERMEDIATE_DIR", base + "/output/intermediate"},
      {"SM_INPUT_DIR", base + "/input"},
      {"SM_INPUT_CONFIG_DIR", base + "/input/config"},
      {"SM_CHANNELS", EnvironmentText(channels)},
      {"SM_HPS", EnvironmentText(hyperparameters)},
      {"SM_USER_ARGS", EnvironmentText(ScriptArguments(hyperparameters))},
      {"SM_HOSTS", EnvironmentText(hosts)},
      {"SM_CURRENT_HOST", machine.current_host},
      {"SM_CURRENT_INSTANCE_TYPE", machine.instance_type},
      {"SM_CURRENT_INSTANCE_GROUP", "homogeneousCluster"},
      {"SM_CURRENT_INSTANCE_GROUP_HOSTS", EnvironmentText(hosts)},
      {"SM_INSTANCE_GROUPS", "[\"homogeneousCluster\"]"},
      {"SM_INSTANCE_GROUPS_DICT", EnvironmentText(training["instance_groups_dict"])},
      {"SM_DISTRIBUTION_INSTANCE_GROUPS", "[]"},
      {"SM_IS_HETERO", "false"},
      {"SM_NETWORK_INTERFACE_NAME", "lo"},
      {"SM_NUM_CPUS", std::to_string(machine.cpus)},
      {"SM_NUM_GPUS", std::to_string(machine.gpus)},
      {"SM_NUM_NEURONS", "0"},
      {"SM_MODULE_NAME", module},
      {"SM_MODULE_DIR", module_directory},
      {"SM_USER_ENTRY_POINT", program},
      {"SM_FRAMEWORK_MODULE", ""},
      {"SM_FRAMEWORK_PARAMS", EnvironmentText(framework)},
      {"SM_LOG_LEVEL", log_level},
      {"SM_RESOURCE_CONFIG", EnvironmentText(resources)},
      {"SM_INPUT_DATA_CONFIG", EnvironmentText(inputs)},
      {"SM_TRAINING_ENV", EnvironmentText(training)}};
  for (const auto& [name, directory] : channel_directories.items()) {
    environment["SM_CHANNEL_" + Upper(name)] = directory.get<std::string>();
  }
  for (const auto& [name, value] : hyperparameters.items()) {
    if (name.find('=') == std::string::npos) environment["SM_HP_" + Upper(name)] = EnvironmentText(value);
  }
  environment["SAGEMAKER_JOB_NAME"] = job.name;
  environment["CURRENT_HOST"] = machine.current_host;
  // What torch.distributed's env:// and the service's framework images go by. MASTER_PORT is the supervisor's to give.
  if (machine.hosts.size() > 1) environment["MASTER_ADDR"] = machine.hosts[0];
  if (const auto region = job.hyperparameters.find("sagemaker_region"); region != job.hyperparameters.end()) {
    for (const char* name : kRegionNames) environment[name] = PlainValue(region->second);
  }
  if (machine.visible_gpus) {
    environment["CUDA_VISIBLE_DEVICES"] = *machine.visible_gpus;
    environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID";  // nvidia-smi's, which the indices are of
  }
  if (base != "/opt/ml") environment["SAGEMAKER_BASE_DIR"] = base;
  // Where an AWS client would find credentials that nobody has given the script.
  environment["AWS_SHARED_CREDENTIALS_FILE"] = "/dev/null";
  environment["AWS_CONFIG_FILE"] = "/dev/null";
  environment["AWS_EC2_METADATA_DISABLED"] = "true";
  for (const auto& [name, value] : job.environment) environment[name] = value;
  return environment;
}

std::string HostName(uint32_t host) { return "algo-" + std::to_string(host + 1); }

std::vector<std::string> WithoutCredentials(const std::vector<std::string>& variables) {
  std::vector<std::string> kept;
  for (const auto& entry : variables) {
    if (!kWithheld.count(entry.substr(0, entry.find('=')))) kept.push_back(entry);
  }
  return kept;
}

std::vector<std::string> TrainerEnvironment(const std::vector<std::string>& caller,
                                            const std::map<std::string, std::string>& contract,
                                            const ContractPaths& paths) {
  std::map<std::string, std::string> environment;
  for (const auto& entry : caller) {
    const size_t equals = entry.find('=');
    if (equals == std::string::npos) continue;
    const std::string name = entry.substr(0, equals);
    std::string value = entry.substr(equals + 1);
    if (IsForScripts(name, value)) environment[name] = std::move(value);
  }
  // Lines must reach the log, and the metrics, as they are printed.
  environment["PYTHONUNBUFFERED"] = "1";
  const std::string search_path = environment["PYTHONPATH"];
  environment["PYTHONPATH"] = paths.Code() + (search_path.empty() ? "" : ":" + search_path);
  std::string region;
  for (const char* name : kRegionNames) {
    if (region.empty()) region = environment[name];
  }
  for (const char* name : kRegionNames) {
    if (environment[name].empty()) environment[name] = region;
    if (region.empty()) environment.erase(name);
  }
  for (const auto& [name, value] : contract) environment[name] = value;
  // The toolkit's name for it.
  if (const auto endpoint = environment.find("AWS_ENDPOINT_URL_S3"); endpoint != environment.end())
    environment.try_emplace("S3_ENDPOINT_URL", endpoint->second);
  std::vector<std::string> list;
  for (const auto& [name, value] : environment) list.push_back(name + "=" + value);
  return list;
}

}  // namespace leat::jobs
