// SPDX-License-Identifier: Apache-2.0
#include "jobs/launch.h"

#include "jobs/container.h"
#include "jobs/machine.h"
#include "jobs/sandbox.h"

namespace leat::jobs {
namespace {

Result<Launch> PrepareContainer(const TrainingJob& job, const Machine& machine, const LaunchPlace& place,
                                const TrainerProgram& program, const std::vector<std::string>& environment,
                                const std::map<std::string, std::string>& given) {
  Machine contained = machine;
  contained.visible_gpus.reset();  // it has those GPUs and no others, and counts them from 0
  auto contract = ContractEnvironment(job, contained, {}, program.name);
  contract.insert(given.begin(), given.end());
  ContainerView view;
  view.name = place.container;
  view.volume = place.volume;
  view.read_only = place.read_only;
  view.writable = place.writable;
  view.limits = ContainerLimitsHere();
  view.environment = ContainerEnvironment(environment, contract);
  const std::string profile = place.directory + "/seccomp.json";
  LEAT_ASSIGN_OR_RETURN(const bool has_profile, WriteSeccompProfile(profile));
  if (has_profile) view.seccomp_profile = profile;
  Launch launch;
  LEAT_ASSIGN_OR_RETURN(launch.command.arguments, ContainerArguments(job, machine, view));
  launch.command.environment = PodmanEnvironment(environment, view.environment);
  launch.command.directory = "/";
  launch.text = "podman, for the image " + job.training_image;
  return launch;
}

}  // namespace

Status CheckLaunch(const TrainingJob& job, bool sandbox, const std::vector<std::string>& environment) {
  if (job.training_image.empty() && sandbox) return CheckSandbox();
  if (job.training_image.empty()) {
    if (job.instance_count == 1) return {};
    return Fail(
        ErrorCode::kInvalidArgument,
        "--no-sandbox does not go with ResourceConfig.InstanceCount " + std::to_string(job.instance_count) +
            ": the names of the hosts (algo-1, ...) resolve in the sandbox only; leave it out, or use one host");
  }
  if (sandbox) return CheckContainers(environment);
  return Fail(ErrorCode::kInvalidArgument,
              "--no-sandbox does not go with TrainingImage: a container has /opt/ml of its own; leave one of them out");
}

Result<std::vector<Machine>> MachinesOf(const TrainingJob& job, const std::string& state_directory,
                                        const std::vector<std::string>& environment, std::vector<Machine> given,
                                        std::vector<std::string>& warnings) {
  std::vector<std::string> names;
  for (uint32_t i = 0; i < job.instance_count; ++i) names.push_back(HostName(i));
  if (given.empty()) {
    LEAT_ASSIGN_OR_RETURN(const Json table, ReadInstanceTypes(state_directory));
    const Hardware hardware = CountHardware(environment, warnings);
    given.push_back(FitMachine(job.instance_type, hardware, table, warnings));
  }
  while (given.size() < job.instance_count) given.push_back(given.back());
  for (uint32_t i = 0; i < job.instance_count; ++i) {
    given[i].hosts = names;
    given[i].current_host = names[i];
  }
  return given;
}

Result<Launch> PrepareLaunch(const TrainingJob& job, const Machine& machine, const LaunchPlace& place,
                             const TrainerProgram& program, bool sandbox, const std::vector<std::string>& environment,
                             const std::map<std::string, std::string>& given) {
  if (!job.training_image.empty()) return PrepareContainer(job, machine, place, program, environment, given);
  ContractPaths paths;
  if (!sandbox) paths.base = place.volume;
  auto contract = ContractEnvironment(job, machine, paths, program.name);
  contract.insert(given.begin(), given.end());
  Launch launch;
  TrainerCommand& command = launch.command;
  command.arguments = program.arguments;
  command.environment = TrainerEnvironment(environment, contract, paths);
  command.directory = place.volume + "/code";
  launch.text = program.arguments[0] + " in " + command.directory;
  if (!sandbox) return launch;
  LEAT_ASSIGN_OR_RETURN(launch.filter, OpenTerminalFilter());
  command.inherited_fd = launch.filter.get();
  SandboxView view{place.volume, place.read_only, place.writable, paths.Code(), "", AwsDirectories(environment)};
  const std::string hosts = place.directory + "/hosts";
  LEAT_ASSIGN_OR_RETURN(const bool has_hosts, WriteHostsFile(hosts, machine.hosts));
  if (has_hosts) view.hosts_file = hosts;
  command.arguments = SandboxArguments(view, launch.filter.valid() ? kInheritedFd : -1, program.arguments);
  command.in_sandbox = true;
  return launch;
}

}  // namespace leat::jobs
