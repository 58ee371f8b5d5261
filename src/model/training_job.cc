// SPDX-License-Identifier: Apache-2.0
#include "model/training_job.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

namespace leat {
namespace {

using Json = nlohmann::json;

// Limits of the service's model (Amazon SageMaker API Reference, CreateTrainingJob).
constexpr size_t kNameMax = 63, kUriMax = 1024, kPathMax = 4096, kChannelsMax = 20, kMetricsMax = 40,
                 kArgumentsMax = 100, kArgumentMax = 256, kHyperparametersMax = 100, kHyperparameterKeyMax = 256,
                 kHyperparameterValueMax = 2500, kEnvironmentMax = 100, kEnvironmentTextMax = 512;
constexpr int64_t kRuntimeMax = 2419200;

// Accepted because the service's clients send them; nothing here needs them.
const std::set<std::string> kKnownMembers = {"TrainingJobName",
                                             "RoleArn",
                                             "HyperParameters",
                                             "AlgorithmSpecification",
                                             "InputDataConfig",
                                             "OutputDataConfig",
                                             "ResourceConfig",
                                             "VpcConfig",
                                             "StoppingCondition",
                                             "Tags",
                                             "Environment",
                                             "EnableNetworkIsolation",
                                             "EnableInterContainerTrafficEncryption",
                                             "EnableManagedSpotTraining",
                                             "CheckpointConfig",
                                             "RetryStrategy",
                                             "DebugHookConfig",
                                             "DebugRuleConfigurations",
                                             "TensorBoardOutputConfig",
                                             "ProfilerConfig",
                                             "ProfilerRuleConfigurations",
                                             "ExperimentConfig",
                                             "RemoteDebugConfig",
                                             "InfraCheckConfig",
                                             "SessionChainingConfig",
                                             "ServerlessJobConfig",
                                             "MlflowConfig",
                                             "ModelPackageConfig"};

// Of those, the ones that would change what a job does or leaves behind.
constexpr const char* kUnused[] = {"EnableNetworkIsolation",    "EnableInterContainerTrafficEncryption",
                                   "EnableManagedSpotTraining", "RetryStrategy",
                                   "DebugHookConfig",           "DebugRuleConfigurations",
                                   "TensorBoardOutputConfig",   "ProfilerRuleConfigurations",
                                   "ExperimentConfig",          "RemoteDebugConfig",
                                   "ServerlessJobConfig",       "MlflowConfig",
                                   "ModelPackageConfig"};

bool StartsWith(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

bool IsUri(const std::string& uri) {
  if (StartsWith(uri, "s3://")) return uri.size() > 5 && uri[5] != '/';
  return StartsWith(uri, "file:///");
}

bool IsChannelName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '-' || c == '_';
  });
}

void ReadS3Source(RequestReader& reader, const Json& source, const std::string& path, Channel& channel) {
  const std::string type = reader.Choice(source, path, "S3DataType", true,
                                         {"S3Prefix", "ManifestFile", "AugmentedManifestFile", "Converse"}, "");
  if (!type.empty() && type != "S3Prefix") {
    reader.Problem(RequestReader::Join(path, "S3DataType"), &source["S3DataType"],
                   "comes in a later version of Leat; use S3Prefix");
  }
  const std::string uri = reader.Text(source, path, "S3Uri", true, kUriMax);
  if (!uri.empty() && !IsUri(uri)) {
    reader.Problem(RequestReader::Join(path, "S3Uri"), &source["S3Uri"],
                   "must be s3://bucket/prefix or file:///directory");
  }
  reader.Choice(source, path, "S3DataDistributionType", false, {"FullyReplicated", "ShardedByS3Key"},
                "FullyReplicated");
  channel.s3 = S3Source{uri};
}

void ReadFileSystemSource(RequestReader& reader, const Json& source, const std::string& path, Channel& channel) {
  FileSystemSource file_system;
  const std::string type = reader.Choice(source, path, "FileSystemType", true, {"FSxLustre", "EFS"}, "FSxLustre");
  file_system.is_plain_directory = type == "EFS";
  file_system.file_system_id = reader.Text(source, path, "FileSystemId", true, kUriMax);
  file_system.directory_path = reader.Text(source, path, "DirectoryPath", true, kPathMax);
  const std::string mode = reader.Choice(source, path, "FileSystemAccessMode", true, {"ro", "rw"}, "ro");
  if (mode == "rw") {
    reader.Problem(RequestReader::Join(path, "FileSystemAccessMode"), &source["FileSystemAccessMode"],
                   "file systems are read-only in this version of Leat; use ro, and write to /opt/ml/model or "
                   "/opt/ml/output/data");
  }
  const std::string& directory = file_system.directory_path;
  if (!directory.empty() && directory[0] != '/') {
    reader.Problem(RequestReader::Join(path, "DirectoryPath"), &source["DirectoryPath"], "must begin with /");
  }
  if (("/" + directory + "/").find("/../") != std::string::npos) {
    reader.Problem(RequestReader::Join(path, "DirectoryPath"), &source["DirectoryPath"], "must not hold '..'");
  }
  channel.file_system = file_system;
}

Channel ReadChannel(RequestReader& reader, const Json& value, const std::string& path, const std::string& default_mode,
                    std::set<std::string>& names) {
  Channel channel;
  if (!value.is_object()) {
    reader.Problem(path, &value, "must be an object");
    return channel;
  }
  channel.name = reader.Text(value, path, "ChannelName", true, 64);
  if (!channel.name.empty() && !IsChannelName(channel.name)) {
    reader.Problem(path + ".ChannelName", &value["ChannelName"], "must match [A-Za-z0-9.-_]+ and name a directory");
  }
  if (!channel.name.empty() && !names.insert(channel.name).second) {
    reader.Problem(path + ".ChannelName", &value["ChannelName"], "must be unique in the job");
  }
  channel.content_type = reader.Text(value, path, "ContentType", false, 256);
  const std::string mode = reader.Choice(value, path, "InputMode", false, {"File", "FastFile", "Pipe"}, default_mode);
  if (reader.Choice(value, path, "CompressionType", false, {"None", "Gzip"}, "None") != "None") {
    reader.Problem(path + ".CompressionType", &value["CompressionType"],
                   "needs Pipe mode, which comes in a later version of Leat");
  }
  if (reader.Choice(value, path, "RecordWrapperType", false, {"None", "RecordIO"}, "None") != "None") {
    reader.Problem(path + ".RecordWrapperType", &value["RecordWrapperType"],
                   "needs Pipe mode, which comes in a later version of Leat");
  }
  const Json* source = reader.Object(value, path, "DataSource", true);
  if (!source) return channel;
  const std::string source_path = path + ".DataSource";
  const Json* s3 = reader.Object(*source, source_path, "S3DataSource", false);
  const Json* file_system = reader.Object(*source, source_path, "FileSystemDataSource", false);
  if ((s3 != nullptr) == (file_system != nullptr)) {
    reader.Problem(source_path, source, "must have exactly one of S3DataSource and FileSystemDataSource");
    return channel;
  }
  if (s3) ReadS3Source(reader, *s3, source_path + ".S3DataSource", channel);
  if (file_system) ReadFileSystemSource(reader, *file_system, source_path + ".FileSystemDataSource", channel);
  if (mode != "File") {
    const Json shown = mode;
    reader.Problem(
        path + ".InputMode", &shown,
        "comes in a later version of Leat; use File, or a FileSystemDataSource whose FileSystemId is the bucket's "
        "s3:// URL, which reads on demand");
  }
  return channel;
}

void ReadAlgorithm(RequestReader& reader, const Json& request, TrainingJob& job, std::string& input_mode) {
  const Json* algorithm = reader.Object(request, "", "AlgorithmSpecification", true);
  if (!algorithm) return;
  const std::string path = "AlgorithmSpecification";
  input_mode = reader.Choice(*algorithm, path, "TrainingInputMode", true, {"File", "FastFile", "Pipe"}, "File");
  for (const char* name : {"TrainingImage", "AlgorithmName"}) {
    if (algorithm->contains(name) && !(*algorithm)[name].is_null()) {
      reader.Problem(
          path + "." + name, &(*algorithm)[name],
          "containers come in a later version of Leat; leave it out and the script runs with this machine's python3");
    }
  }
  job.entrypoint = reader.TextList(*algorithm, path, "ContainerEntrypoint", kArgumentsMax, kArgumentMax);
  job.arguments = reader.TextList(*algorithm, path, "ContainerArguments", kArgumentsMax, kArgumentMax);
  job.metrics = ReadMetricDefinitions(reader, *algorithm, path);
  const bool has_program = job.hyperparameters.count("sagemaker_program") || job.environment.count("SAGEMAKER_PROGRAM");
  if (!has_program && job.entrypoint.empty()) {
    reader.Problem(path, algorithm,
                   "says nothing to run: set the hyperparameters sagemaker_program and sagemaker_submit_directory, or "
                   "ContainerEntrypoint");
  }
  if (has_program && !job.entrypoint.empty()) {
    job.warnings.push_back("sagemaker_program is set, so ContainerEntrypoint is not used");
  }
}

void ReadOutputAndResources(RequestReader& reader, const Json& request, TrainingJob& job) {
  if (const Json* output = reader.Object(request, "", "OutputDataConfig", true)) {
    job.output_path = reader.Text(*output, "OutputDataConfig", "S3OutputPath", true, kUriMax);
    if (!job.output_path.empty() && !IsUri(job.output_path)) {
      reader.Problem("OutputDataConfig.S3OutputPath", &(*output)["S3OutputPath"],
                     "must be s3://bucket/prefix or file:///directory");
    }
    while (job.output_path.size() > 8 && job.output_path.back() == '/') job.output_path.pop_back();
    job.compress_artifacts =
        reader.Choice(*output, "OutputDataConfig", "CompressionType", false, {"GZIP", "NONE"}, "GZIP") == "GZIP";
  }
  if (const Json* resources = reader.Object(request, "", "ResourceConfig", false)) {
    job.instance_type = reader.Text(*resources, "ResourceConfig", "InstanceType", false, 64, "local");
    const auto count = reader.Integer(*resources, "ResourceConfig", "InstanceCount", false, 1, INT32_MAX);
    if (count.value_or(1) > 1) {
      reader.Problem("ResourceConfig.InstanceCount", &(*resources)["InstanceCount"],
                     "several hosts come in a later version of Leat; use 1");
    }
    if (resources->contains("InstanceGroups")) {
      reader.Problem("ResourceConfig.InstanceGroups", &(*resources)["InstanceGroups"],
                     "heterogeneous clusters come in a later version of Leat; use InstanceType and InstanceCount 1");
    }
  }
  if (const Json* stopping = reader.Object(request, "", "StoppingCondition", false)) {
    job.max_runtime_s =
        reader.Integer(*stopping, "StoppingCondition", "MaxRuntimeInSeconds", false, 1, kRuntimeMax).value_or(86400);
  }
}

bool AsksForSomething(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.is_null() && !value.empty();
}

void WarnOfUnused(const Json& request, TrainingJob& job) {
  std::string names;
  const auto add = [&](const std::string& name) { names += (names.empty() ? "" : ", ") + name; };
  for (const char* name : kUnused) {
    if (request.contains(name) && AsksForSomething(request[name])) add(name);
  }
  const auto add_member = [&](const char* parent, const char* name) {
    const auto found = request.find(parent);
    if (found == request.end() || !found->is_object() || !found->contains(name)) return;
    const Json& value = (*found)[name];
    if (AsksForSomething(value) && value != 0) add(std::string(parent) + "." + name);
  };
  add_member("OutputDataConfig", "KmsKeyId");
  add_member("ResourceConfig", "KeepAlivePeriodInSeconds");
  if (const auto channels = request.find("InputDataConfig"); channels != request.end() && channels->is_array()) {
    for (size_t i = 0; i < channels->size(); ++i) {
      const Json& channel = (*channels)[i];
      if (channel.is_object() && channel.contains("ShuffleConfig")) {
        add("InputDataConfig[" + std::to_string(i) + "].ShuffleConfig");
      }
    }
  }
  if (!names.empty()) job.warnings.push_back("accepted, but not used in this version of Leat: " + names);
  for (const auto& [name, value] : job.hyperparameters) {
    const std::string end = "_enabled";
    const bool enables = StartsWith(name, "sagemaker_") && name.size() > end.size() &&
                         name.compare(name.size() - end.size(), end.size(), end) == 0;
    if (enables && value == "true") {
      job.warnings.push_back(name +
                             " is not used in this version of Leat: the script is started once, directly, and "
                             "not by a distributed launcher");
    }
  }
}

void ReadCheckpoints(RequestReader& reader, const Json& request, TrainingJob& job) {
  const Json* config = reader.Object(request, "", "CheckpointConfig", false);
  if (!config) return;
  const std::string local =
      reader.Text(*config, "CheckpointConfig", "LocalPath", false, kPathMax, "/opt/ml/checkpoints");
  std::string path = std::filesystem::path(local).lexically_normal().string();
  while (!path.empty() && path.back() == '/') path.pop_back();
  const std::string base = "/opt/ml/";
  const std::string below = StartsWith(path, base.c_str()) ? path.substr(base.size()) : "";
  // What the contract gives another meaning cannot be moved away at the end.
  static const std::set<std::string> taken = {"model", "code", "output", "output/data"};
  if (below.empty() || below == "input" || StartsWith(below, "input/") || taken.count(below)) {
    job.warnings.push_back(
        "CheckpointConfig.LocalPath " + local +
        " is no directory below /opt/ml of the checkpoints' own: it is not made, and what is written "
        "there is not kept with the job; use /opt/ml/checkpoints");
    return;
  }
  job.checkpoint_path = below;
  job.warnings.push_back(
      "CheckpointConfig: copying checkpoints from and to S3 comes in a later version of Leat; what the script leaves "
      "in " +
      path + " is kept in the job's directory");
}

}  // namespace

bool IsJobName(const std::string& name, size_t characters_max) {
  if (name.empty() || name.size() > characters_max || name.front() == '-' || name.back() == '-') return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) || c == '-'; });
}

std::vector<MetricDefinition> ReadMetricDefinitions(RequestReader& reader, const Json& algorithm,
                                                    const std::string& path) {
  std::vector<MetricDefinition> metrics;
  const Json* definitions = reader.Array(algorithm, path, "MetricDefinitions", false, 0, kMetricsMax);
  if (!definitions) return metrics;
  for (size_t i = 0; i < definitions->size(); ++i) {
    const std::string here = path + ".MetricDefinitions[" + std::to_string(i) + "]";
    if (!(*definitions)[i].is_object()) {
      reader.Problem(here, &(*definitions)[i], "must be an object with Name and Regex");
      continue;
    }
    MetricDefinition metric{reader.Text((*definitions)[i], here, "Name", true, 255),
                            reader.Text((*definitions)[i], here, "Regex", true, 500)};
    const bool repeated =
        std::any_of(metrics.begin(), metrics.end(), [&](const auto& other) { return other.name == metric.name; });
    if (repeated && !metric.name.empty()) reader.Problem(here + ".Name", &(*definitions)[i]["Name"], "must be unique");
    metrics.push_back(std::move(metric));
  }
  return metrics;
}

TrainingJobCheck CheckTrainingJob(const Json& request) {
  TrainingJobCheck check;
  RequestReader reader;
  TrainingJob& job = check.job;
  if (!request.is_object()) {
    reader.Problem("request", &request, "must be an object: a CreateTrainingJob request");
    check.problems = std::move(reader.problems);
    return check;
  }
  job.request = request;
  for (const auto& [name, value] : request.items()) {
    if (!kKnownMembers.count(name))
      job.warnings.push_back("'" + name + "' is no member of CreateTrainingJob and is ignored");
  }
  job.name = reader.Text(request, "", "TrainingJobName", true, 1024);
  if (!job.name.empty() && !IsJobName(job.name, kNameMax)) {
    reader.Problem("TrainingJobName", &request["TrainingJobName"],
                   "must have 1 to 63 letters, digits and hyphens, with no hyphen at either end");
  }
  job.hyperparameters = reader.TextMap(request, "", "HyperParameters", kHyperparametersMax, kHyperparameterKeyMax,
                                       kHyperparameterValueMax);
  job.environment =
      reader.TextMap(request, "", "Environment", kEnvironmentMax, kEnvironmentTextMax, kEnvironmentTextMax);
  for (const auto& [name, value] : job.environment) {
    const bool well_formed =
        !std::isdigit(static_cast<unsigned char>(name[0])) &&
        std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) || c == '_'; });
    const Json shown = name;
    if (!well_formed) reader.Problem("Environment", &shown, "the key must match [a-zA-Z_][a-zA-Z0-9_]*");
  }
  std::string input_mode = "File";
  ReadAlgorithm(reader, request, job, input_mode);
  if (const Json* channels = reader.Array(request, "", "InputDataConfig", false, 1, kChannelsMax)) {
    std::set<std::string> names;
    for (size_t i = 0; i < channels->size(); ++i) {
      job.channels.push_back(
          ReadChannel(reader, (*channels)[i], "InputDataConfig[" + std::to_string(i) + "]", input_mode, names));
    }
  }
  ReadOutputAndResources(reader, request, job);
  ReadCheckpoints(reader, request, job);
  WarnOfUnused(request, job);
  check.problems = std::move(reader.problems);
  return check;
}

}  // namespace leat
