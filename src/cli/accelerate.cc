// SPDX-License-Identifier: Apache-2.0
#include "cli/accelerate.h"

#include <utility>

#include "cli/job_services.h"
#include "jobs/prefix_shape.h"
#include "model/repository_url.h"

namespace leat::cli {
namespace {

using Json = nlohmann::json;

std::string ModeOf(const Json& request, const Json& channel) {
  if (const auto own = channel.find("InputMode"); own != channel.end() && own->is_string()) return *own;
  const auto algorithm = request.find("AlgorithmSpecification");
  if (algorithm == request.end() || !algorithm->is_object()) return "";
  const auto mode = algorithm->find("TrainingInputMode");
  return mode != algorithm->end() && mode->is_string() ? mode->get<std::string>() : "";
}

std::string TextOf(const Json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// The S3Uri of a File mode channel of a prefix, else "".
std::string PrefixOf(const Json& request, const Json& channel) {
  if (!channel.is_object() || ModeOf(request, channel) != "File") return "";
  const auto source = channel.find("DataSource");
  if (source == channel.end() || !source->is_object() || !source->contains("S3DataSource")) return "";
  const Json& s3 = (*source)["S3DataSource"];
  if (!s3.is_object() || source->size() != 1 || TextOf(s3, "S3DataType") != "S3Prefix") return "";
  const std::string uri = TextOf(s3, "S3Uri");
  return uri.starts_with("s3://") || uri.starts_with("file://") ? uri : "";
}

// A definition of a tuning job may list instances of which any may be taken: then it is not known.
bool HasOneHost(const Json& job) {
  if (job.contains("HyperParameterTuningResourceConfig")) return false;
  const auto resources = job.find("ResourceConfig");
  return resources == job.end() || !resources->is_object() || resources->value("InstanceCount", Json(1)) == 1;
}

// Why the channel must be downloaded; "": it need not be.
std::string WhyNot(const Json& request, const Json& channel, const std::string& uri, const FolderTest& names_folder) {
  const Json& s3 = channel["DataSource"]["S3DataSource"];
  if (TextOf(s3, "S3DataDistributionType") == "ShardedByS3Key" && !HasOneHost(request)) {
    return "ShardedByS3Key gives each of several hosts its part, and a mount gives each all";
  }
  if (const auto url = RepositoryUrl::Parse(uri); !url) return url.error().message;
  const bool is_folder = uri.back() == '/' || !uri.starts_with("s3://") || uri.find('/', 5) == std::string::npos;
  if (is_folder) return "";
  const auto answer = names_folder(uri);
  if (!answer) return "whether it names a folder could not be told: " + answer.error().message;
  return *answer ? ""
                 : "it does not name a folder: other keys than those below " + uri + "/ begin with it, or none does";
}

// Of a training job, or of a definition of a tuning job.
void AccelerateJob(Json& job, const FolderTest& names_folder, std::vector<std::string>& warnings) {
  if (!job.is_object() || !job.contains("InputDataConfig") || !job["InputDataConfig"].is_array()) return;
  for (Json& channel : job["InputDataConfig"]) {
    const std::string uri = PrefixOf(job, channel);
    if (uri.empty()) continue;
    if (const std::string why = WhyNot(job, channel, uri, names_folder); !why.empty()) {
      warnings.push_back("channel " + TextOf(channel, "ChannelName") + " is copied as before, " + uri + ": " + why);
      continue;
    }
    channel["DataSource"] = MountedSource(uri, "/");
    channel["InputMode"] = "File";
  }
}

Result<bool> NamesFolder(const std::string& uri) {
  JobRepositories repositories(CallerEnvironment);
  LEAT_ASSIGN_OR_RETURN(const jobs::PrefixShape shape, jobs::ShapeOfPrefix(repositories, uri, {}));
  return shape == jobs::PrefixShape::kFolder;
}

}  // namespace

Json MountedSource(const std::string& id, const std::string& directory) {
  return {{"FileSystemDataSource",
           {{"FileSystemType", "FSxLustre"},
            {"FileSystemAccessMode", "ro"},
            {"FileSystemId", id},
            {"DirectoryPath", directory}}}};
}

AcceleratedRequest AccelerateChannels(Json request, const FolderTest& names_folder) {
  AcceleratedRequest result;
  AccelerateJob(request, names_folder, result.warnings);
  if (request.is_object()) {
    if (request.contains("TrainingJobDefinition"))
      AccelerateJob(request["TrainingJobDefinition"], names_folder, result.warnings);
    if (request.contains("TrainingJobDefinitions") && request["TrainingJobDefinitions"].is_array()) {
      for (Json& definition : request["TrainingJobDefinitions"])
        AccelerateJob(definition, names_folder, result.warnings);
    }
  }
  result.request = std::move(request);
  return result;
}

Json Accelerated(const std::string& verb, Json request) {
  AcceleratedRequest accelerated = AccelerateChannels(std::move(request), NamesFolder);
  for (const auto& warning : accelerated.warnings) ComplainLines(verb, "warning: " + warning);
  return std::move(accelerated.request);
}

}  // namespace leat::cli
