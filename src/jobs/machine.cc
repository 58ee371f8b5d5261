// SPDX-License-Identifier: Apache-2.0
#include "jobs/machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/file.h"
#include "base/text.h"
#include "jobs/trainer_process.h"

namespace leat::jobs {
namespace {

// A driver that hangs holds nvidia-smi in the kernel; the job goes on without GPUs, and says so.
constexpr std::chrono::milliseconds kCountGpusDeadline{10000};

struct Family {
  const char* name;
  std::vector<std::pair<unsigned, unsigned>> gpus;  // {N of "Nxlarge", GPUs}; sizes not named have none
};

// Amazon EC2's instance types, as far as the service offers them. "Nxlarge" has 4 N processors.
const std::vector<Family>& Families() {
  static const std::vector<Family> families = {
      {"m4", {}},
      {"m5", {}},
      {"m6i", {}},
      {"m7i", {}},
      {"c4", {}},
      {"c5", {}},
      {"c5n", {}},
      {"c6i", {}},
      {"c7i", {}},
      {"r5", {}},
      {"r5d", {}},
      {"r7i", {}},
      {"t3", {}},
      {"p2", {{1, 1}, {8, 8}, {16, 16}}},
      {"p3", {{2, 1}, {8, 4}, {16, 8}}},
      {"p3dn", {{24, 8}}},
      {"p4d", {{24, 8}}},
      {"p4de", {{24, 8}}},
      {"p5", {{4, 1}, {48, 8}}},
      {"p5e", {{48, 8}}},
      {"p5en", {{48, 8}}},
      {"g4dn", {{1, 1}, {2, 1}, {4, 1}, {8, 1}, {12, 4}, {16, 1}}},
      {"g5", {{1, 1}, {2, 1}, {4, 1}, {8, 1}, {12, 4}, {16, 1}, {24, 4}, {48, 8}}},
      {"g6", {{1, 1}, {2, 1}, {4, 1}, {8, 1}, {12, 4}, {16, 1}, {24, 4}, {48, 8}}},
      {"g6e", {{1, 1}, {2, 1}, {4, 1}, {8, 1}, {12, 4}, {16, 1}, {24, 4}, {48, 8}}}};
  return families;
}

unsigned CountCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

// Lines of `nvidia-smi --list-gpus` that name one, "GPU 0: Some Name (UUID: GPU-...)"; none without the program or when
// it fails. Indented ones name MIG devices.
void ListGpus(const std::vector<std::string>& environment, Hardware& hardware, std::vector<std::string>& warnings) {
  TrainerCommand command;
  command.arguments = {"nvidia-smi", "--list-gpus"};
  for (const auto& entry : environment) {
    if (entry.rfind("PATH=", 0) == 0) command.environment.push_back(entry);
  }
  const auto ran = RunProgram(command, kCountGpusDeadline);
  if (!ran && ran.error().code == ErrorCode::kTimedOut) {
    warnings.push_back(ran.error().message + ": SM_NUM_GPUS is 0; see whether nvidia-smi --list-gpus ends by hand");
  }
  if (!ran || ran->exit_code != 0) return;
  for (const auto& line : Split(ran->text, '\n')) {
    if (!line.starts_with("GPU ")) continue;
    ++hardware.gpus;
    const size_t begin = line.find("GPU-");
    if (begin != std::string::npos) hardware.uuids.push_back(line.substr(begin, line.find(')', begin) - begin));
  }
  if (hardware.uuids.size() != hardware.gpus) hardware.uuids.clear();
}

// Of an entry of instance-types.json; 0: it does not say.
uint64_t MemoryOf(const Json& entry) {
  const auto memory = entry.find("memory_gib");
  if (memory == entry.end() || !memory->is_number() || *memory <= 0) return 0;
  return static_cast<uint64_t>(std::min(memory->get<double>(), 1e9) * (1u << 30));
}

// What a name in CUDA_VISIBLE_DEVICES means; absent: nothing that there is.
std::optional<std::string> DeviceOf(const Hardware& hardware, const std::string& name) {
  if (const auto index = ParseUnsigned(name)) {
    if (*index >= hardware.gpus) return std::nullopt;
    return std::to_string(*index);
  }
  if (name.starts_with("MIG-")) return name;
  if (!name.starts_with("GPU-")) return std::nullopt;
  if (hardware.uuids.empty()) return name;
  std::optional<std::string> device;
  for (size_t i = 0; i < hardware.uuids.size(); ++i) {
    if (!hardware.uuids[i].starts_with(name)) continue;
    if (device) return std::nullopt;  // it may be either
    device = std::to_string(i);
  }
  return device;
}

}  // namespace

std::optional<InstanceSize> SizeOfInstanceType(const std::string& instance_type) {
  const auto parts = Split(instance_type, '.');
  if (parts.size() != 3 || parts[0] != "ml") return std::nullopt;
  const auto& families = Families();
  const auto family =
      std::find_if(families.begin(), families.end(), [&](const Family& one) { return parts[1] == one.name; });
  if (family == families.end()) return std::nullopt;
  if (parts[2] == "medium" || parts[2] == "large") return InstanceSize{2, 0};
  const size_t digits = parts[2].find("xlarge");
  if (digits == std::string::npos || parts[2].substr(digits) != "xlarge") return std::nullopt;
  const auto count = digits == 0 ? Result<uint64_t>(1) : ParseUnsigned(parts[2].substr(0, digits));
  if (!count || *count == 0 || *count > 100) return std::nullopt;
  const auto multiple = static_cast<unsigned>(*count);
  // The one that is no multiple of four.
  InstanceSize size{instance_type == "ml.c4.8xlarge" ? 36 : 4 * multiple, 0};
  for (const auto& [of, gpus] : family->gpus) {
    if (of == multiple) size.gpus = gpus;
  }
  return size;
}

Machine FitMachine(const std::string& instance_type, const Hardware& hardware, const Json& table,
                   std::vector<std::string>& warnings) {
  Machine machine;
  machine.instance_type = instance_type;
  machine.cpus = hardware.cpus;
  const std::vector<std::string> devices = DevicesOf(hardware);
  const auto gpus = static_cast<unsigned>(devices.size());
  machine.gpus = gpus;
  const auto choose = [&](const char* name, uint64_t wanted, unsigned& has) {
    if (wanted > has) {
      warnings.push_back(instance_type + " has " + std::to_string(wanted) + " " + name + ", this machine " +
                         std::to_string(has) + ": the job gets those");
    }
    has = static_cast<unsigned>(std::min<uint64_t>(wanted, has));
  };
  Json wanted = Json::object();
  if (const auto size = SizeOfInstanceType(instance_type)) wanted = {{"cpus", size->cpus}, {"gpus", size->gpus}};
  if (const auto entry = table.find(instance_type); entry != table.end() && entry->is_object()) wanted.update(*entry);
  for (const auto& [name, has] : {std::pair("cpus", &machine.cpus), std::pair("gpus", &machine.gpus)}) {
    const auto count = wanted.find(name);
    if (count != wanted.end() && count->is_number_integer() && *count >= 0) choose(name, count->get<uint64_t>(), *has);
  }
  machine.cpus = std::max(1u, machine.cpus);
  machine.memory_bytes = MemoryOf(wanted);
  if (machine.gpus < gpus) {
    std::string visible;
    for (unsigned i = 0; i < machine.gpus; ++i) visible += (i ? "," : "") + devices[i];
    machine.visible_gpus = visible;
    warnings.push_back(instance_type + " has " + std::to_string(machine.gpus) + " gpus, this machine " +
                       std::to_string(gpus) + ": the job sees the first " + std::to_string(machine.gpus) +
                       " (instance-types.json in the state directory changes what a type has)");
  }
  return machine;
}

std::vector<std::string> DevicesOf(const Hardware& hardware) {
  std::vector<std::string> devices;
  if (hardware.gpus == 0) return devices;
  if (!hardware.visible_gpus) {
    for (unsigned i = 0; i < hardware.gpus; ++i) devices.push_back(std::to_string(i));
    return devices;
  }
  for (const auto& name : Split(*hardware.visible_gpus, ',')) {
    const auto device = DeviceOf(hardware, std::string(Trim(name)));
    if (!device) break;
    if (std::ranges::find(devices, *device) == devices.end()) devices.push_back(*device);
  }
  return devices;
}

Hardware CountHardware(const std::vector<std::string>& environment, std::vector<std::string>& warnings) {
  Hardware hardware;
  hardware.cpus = CountCpus();
  ListGpus(environment, hardware, warnings);
  for (const auto& entry : environment) {
    if (entry.rfind("CUDA_VISIBLE_DEVICES=", 0) == 0) hardware.visible_gpus = entry.substr(entry.find('=') + 1);
  }
  return hardware;
}

Result<Json> ReadInstanceTypes(const std::string& state_directory) {
  const std::string path = state_directory + "/instance-types.json";
  const auto text = ReadFile(path, 1u << 20);
  if (!text && text.error().code == ErrorCode::kNotFound) return Json::object();
  if (!text) return Fail(text.error());
  Json table = Json::parse(*text, nullptr, false);
  if (table.is_object()) return table;
  return Fail(ErrorCode::kInvalidArgument,
              path + " is no JSON object; it should read {\"ml.g5.xlarge\": {\"cpus\": 4, \"gpus\": 1}}");
}

std::optional<InstanceSize> CountedSize(const std::string& instance_type, const Json& table) {
  auto size = SizeOfInstanceType(instance_type);
  const auto entry = table.find(instance_type);
  if (entry == table.end() || !entry->is_object()) return size;
  if (!size) size = InstanceSize{};
  for (const auto& [name, has] : {std::pair("cpus", &size->cpus), std::pair("gpus", &size->gpus)}) {
    const auto count = entry->find(name);
    if (count != entry->end() && count->is_number_integer() && *count >= 0) *has = count->get<unsigned>();
  }
  size->memory_bytes = MemoryOf(*entry);
  return size;
}

}  // namespace leat::jobs
