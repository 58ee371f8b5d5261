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
                 kHyperparameterValueMax = 2500, kEnvironmentMax = 100, kEnvironmentTextMax = 512, kImageMax = 255;
constexpr int64_t kRuntimeMax = 2419200, kPendingMin = 7200, kRetryAttemptsMax = 30;
constexpr size_t kRoleMax = 2048, kInstanceTypeMax = 64, kTagsMax = 50, kTagKeyMax = 128, kTagValueMax = 256,
                 kSecurityGroupsMax = 5, kSubnetsMax = 16, kNetworkIdMax = 32;
constexpr size_t kKeyBytesMax = 1024;  // of an object in S3, which counts bytes
constexpr size_t kAttributesMax = 16, kAttributeNameMax = 256;
// Leat's own: hosts of a job share this machine.
constexpr int64_t kInstancesMax = 16;

// Accepted because the service's clients send them, though they would change what a job does or leaves behind.
constexpr const char* kUnused[] = {"EnableNetworkIsolation",
                                   "EnableInterContainerTrafficEncryption",
                                   "DebugHookConfig",
                                   "DebugRuleConfigurations",
                                   "TensorBoardOutputConfig",
                                   "ProfilerConfig",
                                   "ProfilerRuleConfigurations",
                                   "ExperimentConfig",
                                   "RemoteDebugConfig",
                                   "ServerlessJobConfig",
                                   "MlflowConfig",
                                   "ModelPackageConfig"};

// Members of the service's contract that nobody below asks for by name.
void AcceptMembers(RequestReader& reader) {
  for (const char* name : kUnused) reader.Accept("", {name});
  reader.Accept("", {"RoleArn", "VpcConfig", "Tags", "EnableManagedSpotTraining", "ProfilerConfig", "InfraCheckConfig",
                     "SessionChainingConfig"});
  reader.Accept("AlgorithmSpecification", {"AlgorithmName", "TrainingImageConfig", "EnableSageMakerMetricsTimeSeries"});
  reader.Accept("InputDataConfig[0].DataSource", {"DatasetSource"});
  reader.Accept("InputDataConfig[0].DataSource.S3DataSource",
                {"AttributeNames", "InstanceGroupNames", "ModelAccessConfig", "HubAccessConfig"});
  reader.Accept("OutputDataConfig", {"KmsKeyId"});
  reader.Accept("ResourceConfig", {"InstanceCount", "VolumeKmsKeyId", "KeepAlivePeriodInSeconds", "InstanceGroups",
                                   "TrainingPlanArn", "InstancePlacementConfig"});
  reader.Accept("StoppingCondition", {"MaxWaitTimeInSeconds"});
}

bool StartsWith(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

bool IsUri(const std::string& uri) {
  if (StartsWith(uri, "s3://")) return uri.size() > 5 && uri[5] != '/';
  return StartsWith(uri, "file:///");
}

// "s3://bucket/key" of "https://bucket.s3.eu-west-1.amazonaws.com/key", "https://s3.amazonaws.com/bucket/key" or
// another endpoint's "https://host/bucket/key"; empty: it is none of them.
std::string S3FormOf(const std::string& uri) {
  const size_t scheme = StartsWith(uri, "https://") ? 8 : StartsWith(uri, "http://") ? 7 : 0;
  const size_t slash = std::min(uri.find('/', scheme), uri.size());
  const std::string host = uri.substr(scheme, slash - scheme);
  const std::string path = uri.substr(std::min(slash + 1, uri.size()));
  if (scheme == 0 || host.empty()) return "";
  const size_t service = std::min(host.find(".s3."), host.find(".s3-"));
  if (service != std::string::npos && service > 0 && host.find(".amazonaws.com") != std::string::npos)
    return "s3://" + host.substr(0, service) + "/" + path;
  return path.empty() || path[0] == '/' ? "" : "s3://" + path;
}

// An S3 URI of the service, or file:///... in its place.
std::string ReadUri(RequestReader& reader, const Json& parent, const std::string& path, const char* name,
                    bool required) {
  const std::string uri = reader.Text(parent, path, name, required, kUriMax);
  if (uri.empty()) return uri;
  if (!IsUri(uri)) {
    const std::string s3 = S3FormOf(uri);
    reader.Problem(RequestReader::Join(path, name), &parent[name],
                   "must be s3://bucket/prefix or file:///directory" + (s3.empty() ? "" : "; here perhaps " + s3));
  } else if (StartsWith(uri, "s3://") && uri.size() - std::min(uri.find('/', 5), uri.size()) > kKeyBytesMax + 1) {
    reader.Problem(RequestReader::Join(path, name), &parent[name], "has more than the 1,024 bytes that a key may have");
  }
  return uri;
}

// As registries take it: no option of a command, no space, and no transport ("docker-archive:/path").
bool IsImageName(const std::string& name) {
  return std::isalnum(static_cast<unsigned char>(name[0])) && name.find(":/") == std::string::npos &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) || c == '.' || c == '-' || c == '_' || c == '/' || c == ':' || c == '@';
         });
}

bool IsInstanceType(const std::string& name) {
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '-' || c == '_'; });
}

bool IsChannelName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '-' || c == '_';
  });
}

// "s3://bucket/prefix" of "s3://bucket/prefix//"; "s3://bucket" and "file:///" stay as they are.
std::string WithoutLastSlash(std::string uri) {
  const size_t shortest = StartsWith(uri, "s3://") ? 5 : 8;
  while (uri.size() > shortest && uri.back() == '/') uri.pop_back();
  return uri;
}

// Whether `uri` can be one object: it has a key that is no folder.
bool NamesAnObject(const std::string& uri) {
  if (uri.back() == '/') return false;
  return !StartsWith(uri, "s3://") || uri.find('/', 5) != std::string::npos;
}

bool AsksForSomething(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.is_null() && !value.empty();
}

void ReadAttributeNames(RequestReader& reader, const Json& source, const std::string& path, S3Source& s3) {
  const std::string here = RequestReader::Join(path, "AttributeNames");
  const auto names = source.find("AttributeNames");
  const bool is_given = names != source.end() && AsksForSomething(*names);
  if (s3.type != S3DataType::kAugmentedManifest) {
    if (is_given) reader.Problem(here, &*names, "needs S3DataType AugmentedManifestFile; leave it out");
    return;
  }
  if (!is_given) {
    reader.Problem(here, nullptr, "AugmentedManifestFile needs 1 to 16 names, in the order in which they are fed");
    return;
  }
  s3.attribute_names = reader.TextList(source, path, "AttributeNames", kAttributesMax, kAttributeNameMax);
  for (size_t i = 0; i < s3.attribute_names.size(); ++i) {
    if (!s3.attribute_names[i].empty()) continue;
    const Json shown = "";
    reader.Problem(here + "[" + std::to_string(i) + "]", &shown, "must have 1 to 256 characters");
  }
}

S3DataType ReadS3DataType(RequestReader& reader, const Json& source, const std::string& path) {
  const std::string type = reader.Choice(source, path, "S3DataType", true,
                                         {"S3Prefix", "ManifestFile", "AugmentedManifestFile", "Converse"}, "S3Prefix");
  if (type == "Converse") {
    reader.Problem(RequestReader::Join(path, "S3DataType"), &source["S3DataType"],
                   "is for jobs that the service runs without a script; use S3Prefix, ManifestFile or "
                   "AugmentedManifestFile");
  }
  if (type == "ManifestFile") return S3DataType::kManifest;
  return type == "AugmentedManifestFile" ? S3DataType::kAugmentedManifest : S3DataType::kPrefix;
}

void ReadS3Source(RequestReader& reader, const Json& source, const std::string& path, Channel& channel) {
  S3Source s3;
  s3.type = ReadS3DataType(reader, source, path);
  s3.uri = ReadUri(reader, source, path, "S3Uri", true);
  if (IsUri(s3.uri) && s3.type != S3DataType::kPrefix && !NamesAnObject(s3.uri)) {
    reader.Problem(RequestReader::Join(path, "S3Uri"), &source["S3Uri"],
                   "must name the manifest itself: s3://bucket/key or file:///path");
  }
  s3.is_sharded = reader.Choice(source, path, "S3DataDistributionType", false, {"FullyReplicated", "ShardedByS3Key"},
                                "FullyReplicated") == "ShardedByS3Key";
  ReadAttributeNames(reader, source, path, s3);
  channel.s3 = std::move(s3);
}

void ReadFileSystemSource(RequestReader& reader, const Json& source, const std::string& path, Channel& channel) {
  FileSystemSource file_system;
  const std::string type = reader.Choice(source, path, "FileSystemType", true, {"FSxLustre", "EFS"}, "FSxLustre");
  file_system.is_plain_directory = type == "EFS";
  file_system.file_system_id = reader.Text(source, path, "FileSystemId", true, kUriMax);
  file_system.directory_path = reader.Text(source, path, "DirectoryPath", true, kPathMax);
  const std::string mode = reader.Choice(source, path, "FileSystemAccessMode", true, {"ro", "rw"}, "ro");
  file_system.is_writable = mode == "rw";
  if (file_system.is_writable && !file_system.is_plain_directory) {
    reader.Problem(RequestReader::Join(path, "FileSystemAccessMode"), &source["FileSystemAccessMode"],
                   "writable mounts do not exist yet, file systems are read-only; use ro, and write to /opt/ml/model "
                   "or /opt/ml/output/data");
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

InputMode ModeOf(const std::string& name) {
  if (name == "Pipe") return InputMode::kPipe;
  return name == "FastFile" ? InputMode::kFastFile : InputMode::kFile;
}

// What of a channel goes together with what.
void CheckChannel(RequestReader& reader, const Json& value, const std::string& path, const std::string& mode,
                  const Channel& channel) {
  const Json mode_shown = mode;
  const bool is_pipe = channel.input_mode == InputMode::kPipe;
  if (channel.is_gzip && !is_pipe) {
    reader.Problem(path + ".CompressionType", &value["CompressionType"],
                   "needs InputMode Pipe; files come as they are stored");
  }
  if (channel.is_record_io && !is_pipe) {
    reader.Problem(path + ".RecordWrapperType", &value["RecordWrapperType"],
                   "needs InputMode Pipe; files come as they are stored");
  }
  if (channel.s3 && channel.s3->type == S3DataType::kAugmentedManifest && !is_pipe) {
    reader.Problem(path + ".InputMode", &mode_shown, "must be Pipe for an AugmentedManifestFile");
  }
  if (channel.s3 && channel.s3->type == S3DataType::kManifest && channel.input_mode == InputMode::kFastFile) {
    reader.Problem(path + ".InputMode", &mode_shown, "FastFile needs S3DataType S3Prefix; use File or Pipe");
  }
  if (channel.file_system && channel.input_mode != InputMode::kFile) {
    reader.Problem(path + ".InputMode", &mode_shown,
                   "a FileSystemDataSource needs File; set it on the channel (a file system reads on demand already)");
  }
}

std::optional<int64_t> ReadShuffleSeed(RequestReader& reader, const Json& value, const std::string& path) {
  const Json* shuffle = reader.Object(value, path, "ShuffleConfig", false);
  if (!shuffle) return std::nullopt;
  return reader.Integer(*shuffle, path + ".ShuffleConfig", "Seed", true, INT64_MIN, INT64_MAX);
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
  channel.input_mode = ModeOf(mode);
  channel.is_gzip = reader.Choice(value, path, "CompressionType", false, {"None", "Gzip"}, "None") == "Gzip";
  channel.is_record_io = reader.Choice(value, path, "RecordWrapperType", false, {"None", "RecordIO"}, "None") != "None";
  channel.shuffle_seed = ReadShuffleSeed(reader, value, path);
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
  CheckChannel(reader, value, path, mode, channel);
  return channel;
}

// The FIFOs of a Pipe channel lie beside the other channels' directories, so their names must differ.
void CheckPipeNames(RequestReader& reader, const std::vector<Channel>& channels) {
  for (size_t i = 0; i < channels.size(); ++i) {
    for (const auto& pipe : channels) {
      const std::string start = pipe.name + "_";
      const std::string& name = channels[i].name;
      if (pipe.input_mode != InputMode::kPipe || pipe.name.empty() || !StartsWith(name, start.c_str())) continue;
      const bool is_epoch =
          name.size() > start.size() && std::all_of(name.begin() + static_cast<std::ptrdiff_t>(start.size()),
                                                    name.end(), [](unsigned char c) { return std::isdigit(c); });
      const Json shown = name;
      if (is_epoch) {
        reader.Problem("InputDataConfig[" + std::to_string(i) + "].ChannelName", &shown,
                       "is the name of a pipe of the channel " + pipe.name + "; rename one of the two");
      }
    }
  }
}

void ReadChannels(RequestReader& reader, const Json& request, const std::string& default_mode, TrainingJob& job) {
  const Json* channels = reader.Array(request, "", "InputDataConfig", false, 1, kChannelsMax);
  if (!channels) return;
  std::set<std::string> names;
  for (size_t i = 0; i < channels->size(); ++i) {
    job.channels.push_back(
        ReadChannel(reader, (*channels)[i], "InputDataConfig[" + std::to_string(i) + "]", default_mode, names));
  }
  CheckPipeNames(reader, job.channels);
}

void ReadAlgorithm(RequestReader& reader, const Json& request, TrainingJob& job, std::string& input_mode) {
  const Json* algorithm = reader.Object(request, "", "AlgorithmSpecification", true);
  if (!algorithm) return;
  const std::string path = "AlgorithmSpecification";
  input_mode = reader.Choice(*algorithm, path, "TrainingInputMode", true, {"File", "FastFile", "Pipe"}, "File");
  job.training_image = reader.Text(*algorithm, path, "TrainingImage", false, kImageMax);
  const std::string& image = job.training_image;
  if (!image.empty() && !IsImageName(image)) {
    reader.Problem(
        path + ".TrainingImage", &(*algorithm)["TrainingImage"],
        "must be an image as podman names it: localhost/trainer:1, registry.example/team/trainer@sha256:...");
  }
  if (const auto name = algorithm->find("AlgorithmName"); name != algorithm->end() && !name->is_null()) {
    reader.Problem(path + ".AlgorithmName", &*name,
                   "algorithms of the service and its marketplace are not here; use TrainingImage, or leave it out "
                   "and the script runs with this machine's python3");
  }
  job.entrypoint = reader.TextList(*algorithm, path, "ContainerEntrypoint", kArgumentsMax, kArgumentMax);
  job.arguments = reader.TextList(*algorithm, path, "ContainerArguments", kArgumentsMax, kArgumentMax);
  job.metrics = ReadMetricDefinitions(reader, *algorithm, path);
  const bool has_program = job.hyperparameters.count("sagemaker_program") || job.environment.count("SAGEMAKER_PROGRAM");
  if (image.empty() && !has_program && job.entrypoint.empty()) {
    reader.Problem(path, algorithm,
                   "says nothing to run: set the hyperparameters sagemaker_program and sagemaker_submit_directory, or "
                   "ContainerEntrypoint, or TrainingImage");
  }
  if (image.empty() && has_program && !job.entrypoint.empty()) {
    job.warnings.push_back("sagemaker_program is set, so ContainerEntrypoint is not used");
  }
}

void ReadOutput(RequestReader& reader, const Json& request, TrainingJob& job) {
  const Json* output = reader.Object(request, "", "OutputDataConfig", true);
  if (!output) return;
  job.output_path = WithoutLastSlash(ReadUri(reader, *output, "OutputDataConfig", "S3OutputPath", true));
  job.compress_artifacts =
      reader.Choice(*output, "OutputDataConfig", "CompressionType", false, {"GZIP", "NONE"}, "GZIP") == "GZIP";
}

void ReadResources(RequestReader& reader, const Json& request, TrainingJob& job) {
  const Json* resources = reader.Object(request, "", "ResourceConfig", false);
  if (!resources) return;
  job.instance_type = reader.Text(*resources, "ResourceConfig", "InstanceType", false, kInstanceTypeMax, "local");
  if (!IsInstanceType(job.instance_type)) {
    reader.Problem("ResourceConfig.InstanceType", &(*resources)["InstanceType"],
                   "must be one of the service's, as ml.g5.xlarge, local, or a name in STATE/instance-types.json, of "
                   "letters, digits and .-_");
  }
  (void)reader.Integer(*resources, "ResourceConfig", "VolumeSizeInGB", false, 1, INT32_MAX);
  RequestReader count;
  job.instance_count = static_cast<uint32_t>(
      count.Integer(*resources, "ResourceConfig", "InstanceCount", false, 1, kInstancesMax).value_or(1));
  for (auto& problem : count.problems) {
    problem.rule += ": the hosts of a job share this machine";
    reader.problems.push_back(std::move(problem));
  }
  if (resources->contains("InstanceGroups")) {
    reader.Problem(
        "ResourceConfig.InstanceGroups", &(*resources)["InstanceGroups"],
        "heterogeneous clusters are not supported, all hosts of a job are this machine; use InstanceType and "
        "InstanceCount");
  }
  for (size_t i = 0; i < job.channels.size(); ++i) {
    const Channel& channel = job.channels[i];
    if (job.instance_count < 2 || !channel.s3 || !channel.s3->is_sharded) continue;
    const Json shown = "ShardedByS3Key";
    if (channel.input_mode == InputMode::kFastFile) {
      reader.Problem("InputDataConfig[" + std::to_string(i) + "].DataSource.S3DataSource.S3DataDistributionType",
                     &shown, "needs InputMode File or Pipe where there are several hosts");
    }
  }
}

// StoppingCondition, and what needs it: managed spot training.
void ReadStopping(RequestReader& reader, const Json& request, TrainingJob& job) {
  bool is_spot = false;
  if (const auto spot = request.find("EnableManagedSpotTraining"); spot != request.end() && !spot->is_null()) {
    if (!spot->is_boolean()) reader.Problem("EnableManagedSpotTraining", &*spot, "must be true or false");
    is_spot = spot->is_boolean() && spot->get<bool>();
  }
  const Json* stopping = reader.Object(request, "", "StoppingCondition", false);
  if (stopping) {
    job.max_runtime_s = reader.Integer(*stopping, "StoppingCondition", "MaxRuntimeInSeconds", false, 1, kRuntimeMax)
                            .value_or(job.max_runtime_s);
    (void)reader.Integer(*stopping, "StoppingCondition", "MaxPendingTimeInSeconds", false, kPendingMin, kRuntimeMax);
  }
  const std::string path = "StoppingCondition.MaxWaitTimeInSeconds";
  const bool has_wait =
      stopping && stopping->contains("MaxWaitTimeInSeconds") && !(*stopping)["MaxWaitTimeInSeconds"].is_null();
  if (!is_spot) {
    if (has_wait) {
      (void)reader.Integer(*stopping, "StoppingCondition", "MaxWaitTimeInSeconds", false, 1, INT32_MAX);
      job.warnings.push_back(path + " is used with EnableManagedSpotTraining only, and ignored");
    }
    return;
  }
  if (!has_wait) {
    reader.Problem(path, nullptr,
                   "EnableManagedSpotTraining needs it: the seconds that the job may wait and run together, at least "
                   "MaxRuntimeInSeconds");
    return;
  }
  job.max_wait_s = reader.Integer(*stopping, "StoppingCondition", "MaxWaitTimeInSeconds", true, 1, INT32_MAX);
  if (job.max_wait_s && *job.max_wait_s < job.max_runtime_s) {
    reader.Problem(path, &(*stopping)["MaxWaitTimeInSeconds"],
                   "must be at least MaxRuntimeInSeconds (" + std::to_string(job.max_runtime_s) +
                       "): it covers waiting and running together");
  }
}

void ReadRetries(RequestReader& reader, const Json& request, TrainingJob& job) {
  const Json* strategy = reader.Object(request, "", "RetryStrategy", false);
  if (!strategy) return;
  job.retry_attempts_max = static_cast<uint32_t>(
      reader.Integer(*strategy, "RetryStrategy", "MaximumRetryAttempts", true, 1, kRetryAttemptsMax).value_or(0));
}

void ReadTags(RequestReader& reader, const Json& request) {
  const Json* tags = reader.Array(request, "", "Tags", false, 0, kTagsMax);
  for (size_t i = 0; tags && i < tags->size(); ++i) {
    const Json& tag = (*tags)[i];
    const std::string path = "Tags[" + std::to_string(i) + "]";
    if (!tag.is_object()) {
      reader.Problem(path, &tag, "must be an object with Key and Value");
      continue;
    }
    (void)reader.Text(tag, path, "Key", true, kTagKeyMax);
    (void)reader.Text(tag, path, "Value", false, kTagValueMax);
  }
}

// What says who the job is and where it runs, at the service; the same request shall be right in both places.
void ReadServiceMembers(RequestReader& reader, const Json& request) {
  (void)reader.Text(request, "", "RoleArn", false, kRoleMax);
  ReadTags(reader, request);
  if (const Json* vpc = reader.Object(request, "", "VpcConfig", false)) {
    (void)reader.TextList(*vpc, "VpcConfig", "SecurityGroupIds", kSecurityGroupsMax, kNetworkIdMax);
    (void)reader.TextList(*vpc, "VpcConfig", "Subnets", kSubnetsMax, kNetworkIdMax);
  }
  const auto algorithm = request.find("AlgorithmSpecification");
  if (algorithm == request.end() || !algorithm->is_object()) return;
  const std::string path = "AlgorithmSpecification";
  if (const Json* image = reader.Object(*algorithm, path, "TrainingImageConfig", false)) {
    const std::string here = path + ".TrainingImageConfig";
    (void)reader.Choice(*image, here, "TrainingRepositoryAccessMode", true, {"Platform", "Vpc"}, "Platform");
    (void)reader.Object(*image, here, "TrainingRepositoryAuthConfig", false);
  }
}

// Only a container has a network of its own. Its hosts would have to share one.
void ReadIsolation(RequestReader& reader, const Json& request, TrainingJob& job) {
  const auto isolation = request.find("EnableNetworkIsolation");
  if (isolation == request.end() || job.training_image.empty()) return;
  job.network_isolation = isolation->is_boolean() && isolation->get<bool>();
  if (!isolation->is_boolean() && !isolation->is_null()) {
    reader.Problem("EnableNetworkIsolation", &*isolation, "must be true or false");
  } else if (job.network_isolation && job.instance_count > 1) {
    reader.Problem("EnableNetworkIsolation", &*isolation,
                   "is for InstanceCount 1: hosts of a job could not reach one another");
  }
}

void WarnOfUnused(const Json& request, TrainingJob& job) {
  std::string names;
  const auto add = [&](const std::string& name) { names += (names.empty() ? "" : ", ") + name; };
  for (const char* name : kUnused) {
    const bool is_used = job.network_isolation && std::string(name) == "EnableNetworkIsolation";
    if (request.contains(name) && AsksForSomething(request[name]) && !is_used) add(name);
  }
  const auto add_member = [&](const char* parent, const char* name) {
    const auto found = request.find(parent);
    if (found == request.end() || !found->is_object() || !found->contains(name)) return;
    const Json& value = (*found)[name];
    if (AsksForSomething(value) && value != 0) add(std::string(parent) + "." + name);
  };
  add_member("AlgorithmSpecification", "TrainingImageConfig");
  add_member("OutputDataConfig", "KmsKeyId");
  add_member("ResourceConfig", "KeepAlivePeriodInSeconds");
  add_member("StoppingCondition", "MaxPendingTimeInSeconds");
  if (const auto channels = request.find("InputDataConfig"); channels != request.end() && channels->is_array()) {
    for (size_t i = 0; i < channels->size(); ++i) {
      const Json& channel = (*channels)[i];
      // It decides what a host of several gets, and in which order a pipe gives it.
      const bool has_effect = i < job.channels.size() && job.channels[i].s3 &&
                              (job.channels[i].input_mode == InputMode::kPipe || job.channels[i].s3->is_sharded);
      if (channel.is_object() && channel.contains("ShuffleConfig") && !has_effect) {
        add("InputDataConfig[" + std::to_string(i) + "].ShuffleConfig");
      }
    }
  }
  if (!names.empty()) job.warnings.push_back("accepted, but not used in this version of Leat: " + names);
  for (const auto& [name, value] : job.hyperparameters) {
    if (name.find('=') != std::string::npos)
      job.warnings.push_back("the hyperparameter " + name + " has no SM_HP_ variable, whose name cannot hold a '='");
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
  const std::string uri = ReadUri(reader, *config, "CheckpointConfig", "S3Uri", false);
  const std::string local =
      reader.Text(*config, "CheckpointConfig", "LocalPath", false, kPathMax, "/opt/ml/checkpoints");
  std::string path = std::filesystem::path(local).lexically_normal().string();
  while (!path.empty() && path.back() == '/') path.pop_back();
  const std::string base = "/opt/ml/";
  const std::string below = StartsWith(path, base.c_str()) ? path.substr(base.size()) : "";
  // What the contract gives another meaning cannot be moved away at the end.
  static const std::set<std::string> taken = {"model", "code", "output", "output/data"};
  if (below.empty() || below == "input" || StartsWith(below, "input/") || taken.count(below)) {
    const Json shown = local;
    reader.Problem(
        "CheckpointConfig.LocalPath", &shown,
        "must be a directory below /opt/ml of the checkpoints' own, for no other is kept in step with S3; use "
        "/opt/ml/checkpoints, or make the script's path a link to it");
    return;
  }
  job.checkpoint_path = below;
  job.checkpoint_uri = WithoutLastSlash(uri);
  if (!uri.empty()) return;
  job.warnings.push_back("CheckpointConfig has no S3Uri: what the script leaves in " + path +
                         " is kept in the job's directory, and no other job begins with it");
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
  AcceptMembers(reader);
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
  ReadChannels(reader, request, input_mode, job);
  ReadOutput(reader, request, job);
  ReadResources(reader, request, job);
  ReadStopping(reader, request, job);
  ReadRetries(reader, request, job);
  ReadCheckpoints(reader, request, job);
  ReadIsolation(reader, request, job);
  ReadServiceMembers(reader, request);
  for (auto& warning : reader.known.WarningsOf(request, "CreateTrainingJob"))
    job.warnings.push_back(std::move(warning));
  WarnOfUnused(request, job);
  check.problems = std::move(reader.problems);
  check.known = std::move(reader.known);
  return check;
}

}  // namespace leat
