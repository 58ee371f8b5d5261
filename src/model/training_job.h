// SPDX-License-Identifier: Apache-2.0
// A training job as it is asked for: Amazon SageMaker's CreateTrainingJob request, read and checked. Values only; any
// thread.
//
// Every rule that is broken is told at once, each with its JSON path, the value and the rule. Leat needs less than the
// service does (no RoleArn, VpcConfig, ResourceConfig or StoppingCondition) and accepts more: file:// URIs wherever S3
// ones stand, and a repository ("s3://bucket/prefix") or a file system's name as FileSystemId.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/known_members.h"

namespace leat {

struct RequestProblem {
  std::string path;   // "InputDataConfig[0].ChannelName"
  std::string value;  // as JSON, shortened; empty when the member is missing
  std::string rule;
  std::string ToString() const;
};

struct MetricDefinition {
  std::string name;
  std::string regex;
};

enum class S3DataType { kPrefix, kManifest, kAugmentedManifest };
enum class InputMode { kFile, kFastFile, kPipe };

struct S3Source {
  std::string uri;  // "s3://bucket/prefix" or "file:///directory"; of a manifest: the manifest itself
  S3DataType type = S3DataType::kPrefix;
  bool is_sharded = false;                   // ShardedByS3Key: each host gets its part
  std::vector<std::string> attribute_names;  // of an augmented manifest, in the order in which they are fed
};

struct FileSystemSource {
  std::string file_system_id;       // fs-..., a name, or a repository
  std::string directory_path;       // "/..."
  bool is_plain_directory = false;  // FileSystemType EFS: directory_path is a directory of this machine
  bool is_writable = false;         // FileSystemAccessMode rw, of EFS only
};

struct Channel {
  std::string name;
  std::string content_type;
  InputMode input_mode = InputMode::kFile;
  bool is_gzip = false, is_record_io = false;  // Pipe only: what is stored, and how it is fed
  std::optional<int64_t> shuffle_seed;         // ShuffleConfig
  std::optional<S3Source> s3;                  // exactly one of the two
  std::optional<FileSystemSource> file_system;
};

struct TrainingJob {
  std::string name;
  std::map<std::string, std::string> hyperparameters;
  std::map<std::string, std::string> environment;
  std::vector<MetricDefinition> metrics;
  std::vector<Channel> channels;
  std::vector<std::string> entrypoint, arguments;
  std::string output_path;  // without a last slash
  bool compress_artifacts = true;
  std::string instance_type = "local";
  uint32_t instance_count = 1;
  int64_t max_runtime_s = 86400;
  std::optional<int64_t> max_wait_s;  // of a job with EnableManagedSpotTraining: waiting and running together
  uint32_t retry_attempts_max = 0;    // RetryStrategy: after failures that are not the script's
  std::string training_image;         // empty: the script runs on this machine as it is
  bool network_isolation = false;     // EnableNetworkIsolation of a job with an image
  std::string checkpoint_path;        // below /opt/ml, relative to it; empty: no checkpoints are kept
  std::string checkpoint_uri;         // CheckpointConfig.S3Uri, without a last slash
  nlohmann::json request;             // as it came, for Describe
  std::vector<std::string> warnings;  // accepted, but worth telling
};

struct TrainingJobCheck {
  TrainingJob job;  // meaningful when problems is empty
  std::vector<RequestProblem> problems;
  KnownMembers known;
};
TrainingJobCheck CheckTrainingJob(const nlohmann::json& request);

// The problems as one error, one line each; success when there are none.
Status StatusOf(const std::vector<RequestProblem>& problems, const std::string& what);

// Reads members of a request and collects what is wrong with them, and which members are asked for at all. Confined to
// one thread.
class RequestReader {
 public:
  using Json = nlohmann::json;
  void Problem(const std::string& path, const Json* value, const std::string& rule);
  // The member, also when it is null; null if absent.
  const Json* Member(const Json& parent, const std::string& path, const char* name);
  // Members that nothing is made of.
  void Accept(const std::string& path, std::initializer_list<const char*> names);
  // Null and a problem (when required) if absent or of another kind.
  const Json* Object(const Json& parent, const std::string& path, const char* name, bool required);
  const Json* Array(const Json& parent, const std::string& path, const char* name, bool required, size_t items_min,
                    size_t items_max);
  std::string Text(const Json& parent, const std::string& path, const char* name, bool required, size_t characters_max,
                   const std::string& if_absent = "");
  std::string Choice(const Json& parent, const std::string& path, const char* name, bool required,
                     const std::vector<std::string>& choices, const std::string& if_absent);
  std::optional<int64_t> Integer(const Json& parent, const std::string& path, const char* name, bool required,
                                 int64_t min, int64_t max);
  std::map<std::string, std::string> TextMap(const Json& parent, const std::string& path, const char* name,
                                             size_t items_max, size_t key_max, size_t value_max);
  std::vector<std::string> TextList(const Json& parent, const std::string& path, const char* name, size_t items_max,
                                    size_t characters_max);
  // "a" for ("", "a"), "x.a" for ("x", "a").
  static std::string Join(const std::string& path, const std::string& name);

  std::vector<RequestProblem> problems;
  KnownMembers known;

 private:
  // Null if absent or null, which a client may write for a member that it does not set.
  const Json* Given(const Json& parent, const std::string& path, const char* name);
};

// 1 to `characters_max` of [a-zA-Z0-9](-*[a-zA-Z0-9])*: letters and digits, hyphens between them.
bool IsJobName(const std::string& name, size_t characters_max);
// What must hold of metric definitions, and what they are.
std::vector<MetricDefinition> ReadMetricDefinitions(RequestReader& reader, const nlohmann::json& algorithm,
                                                    const std::string& path);

}  // namespace leat
