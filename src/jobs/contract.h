// SPDX-License-Identifier: Apache-2.0
// What a training script is given, as the SageMaker training toolkit gives it: arguments, SM_* variables, and the files
// in input/config. Pure; any thread. Source: github.com/aws/sagemaker-training-toolkit, and observed output of the
// service.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "jobs/event.h"
#include "model/training_job.h"

namespace leat::jobs {

struct Machine {  // what the job may use
  std::string instance_type = "local";
  unsigned cpus = 1, gpus = 0;
  std::optional<std::string> visible_gpus;  // CUDA_VISIBLE_DEVICES, where the job gets fewer GPUs than there are
  uint64_t memory_bytes = 0;                // of a host; 0: not limited
  bool is_limited = false;                  // to `cpus`: the job is counted, others rely on the rest
  std::vector<std::string> hosts = {"algo-1"};
  std::string current_host = "algo-1";
};

// Where the script finds things: "/opt/ml" in the sandbox, the job's directory without one.
struct ContractPaths {
  std::string base = "/opt/ml";
  std::string Code() const { return base + "/code"; }
  std::string Channel(const std::string& name) const { return base + "/input/data/" + name; }
};

// str(value) and repr(value) of Python for a value that json.loads gave.
std::string PythonText(const Json& value);
std::string PythonRepresentation(const Json& value);

// The script's own hyperparameters, each value json.loads-ed where that works; reserved names left out.
Json ScriptHyperparameters(const std::map<std::string, std::string>& hyperparameters);
// --name value ..., sorted by name; -n for one-character names.
std::vector<std::string> ScriptArguments(const Json& script_hyperparameters);
// A hyperparameter that may be JSON-quoted ("\"train.py\"") or plain.
std::string PlainValue(const std::string& value);

Json ResourceConfig(const Machine& machine);
Json InputDataConfig(const TrainingJob& job);
std::string TrainingJobArn(const std::string& name);

// SM_*, what the platform and the toolkit set beside them (TRAINING_JOB_NAME, AWS_REGION, ...), what leads AWS clients
// away from credentials of files and of the machine, and the job's Environment (which has the last word).
std::map<std::string, std::string> ContractEnvironment(const TrainingJob& job, const Machine& machine,
                                                       const ContractPaths& paths, const std::string& program);
// "algo-1" is the host 0.
std::string HostName(uint32_t host);
// `variables` (NAME=value) without the credentials that no training script is given.
std::vector<std::string> WithoutCredentials(const std::vector<std::string>& variables);
// Of `caller` (NAME=value) what programs need (paths, language, Python, CUDA, proxies without a password, ...), for of
// the rest any may be a secret, and then `contract`. The region is the contract's, else the caller's, under every name
// that is read for it.
std::vector<std::string> TrainerEnvironment(const std::vector<std::string>& caller,
                                            const std::map<std::string, std::string>& contract,
                                            const ContractPaths& paths);

}  // namespace leat::jobs
