// SPDX-License-Identifier: Apache-2.0
#include "jobs/machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "jobs/trainer_process.h"

namespace leat::jobs {
namespace {

unsigned CountCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

// Lines of `nvidia-smi --list-gpus` that name one; 0 without the program or when it fails.
unsigned CountGpus() {
  TrainerCommand command;
  command.arguments = {"nvidia-smi", "--list-gpus"};
  if (const char* path = getenv("PATH")) command.environment.push_back(std::string("PATH=") + path);
  auto process = TrainerProcess::Start(command);
  if (!process) return 0;
  std::string output;
  char buffer[4096];
  for (ssize_t got; (got = read((*process)->output_fd(), buffer, sizeof buffer)) > 0;) {
    if (output.size() < (1u << 16)) output.append(buffer, static_cast<size_t>(got));
  }
  if ((*process)->Wait() != 0) return 0;
  unsigned gpus = 0;
  for (size_t at = 0; (at = output.find("GPU ", at)) != std::string::npos; ++at) {
    if (at == 0 || output[at - 1] == '\n') ++gpus;
  }
  return gpus;
}

}  // namespace

Result<Machine> ChooseMachine(const std::string& instance_type, const std::string& state_directory,
                              std::vector<std::string>& warnings) {
  Machine machine{instance_type, CountCpus(), CountGpus()};
  const std::string path = state_directory + "/instance-types.json";
  const auto text = ReadFile(path, 1u << 20);
  if (!text) {
    if (text.error().code == ErrorCode::kNotFound) return machine;
    return Fail(text.error());
  }
  const Json table = Json::parse(*text, nullptr, false);
  if (!table.is_object()) {
    return Fail(ErrorCode::kInvalidArgument,
                path + " is no JSON object; it should read {\"ml.g5.xlarge\": {\"cpus\": 4, \"gpus\": 1}}");
  }
  const auto entry = table.find(instance_type);
  if (entry == table.end() || !entry->is_object()) return machine;
  const auto choose = [&](const char* name, unsigned& has) {
    const auto wanted = entry->find(name);
    if (wanted == entry->end() || !wanted->is_number_unsigned()) return;
    const auto count = wanted->get<uint64_t>();
    if (count > has) {
      warnings.push_back(instance_type + " has " + std::to_string(count) + " " + name + ", this machine " +
                         std::to_string(has) + ": the job gets those");
    }
    has = static_cast<unsigned>(std::min<uint64_t>(count, has));
  };
  choose("cpus", machine.cpus);
  choose("gpus", machine.gpus);
  machine.cpus = std::max(1u, machine.cpus);
  return machine;
}

}  // namespace leat::jobs
