// SPDX-License-Identifier: Apache-2.0
#include "jobs/host_files.h"

#include "base/file.h"

namespace leat::jobs {

Status MakeVolume(const TrainingJob& job, const Machine& machine, const std::string& volume) {
  for (const char* name : {"/input/config", "/input/data", "/model", "/output/data", "/code", "/checkpoints"}) {
    LEAT_RETURN_IF_ERROR(CreateDirectories(volume + name));
  }
  if (!job.checkpoint_path.empty()) LEAT_RETURN_IF_ERROR(CreateDirectories(volume + "/" + job.checkpoint_path));
  const auto write = [&](const char* name, const Json& value) {
    return WriteFileAtomically(volume + "/input/config/" + name,
                               value.dump(-1, ' ', true, Json::error_handler_t::replace), 0644, false);
  };
  LEAT_RETURN_IF_ERROR(write("hyperparameters.json", job.hyperparameters));
  LEAT_RETURN_IF_ERROR(write("inputdataconfig.json", InputDataConfig(job)));
  return write("resourceconfig.json", ResourceConfig(machine));
}

Result<std::string> PlainDirectory(const std::string& state_directory, const FileSystemSource& source) {
  if (source.file_system_id == "local") return source.directory_path;
  const std::string path = state_directory + "/file-systems.json";
  auto text = ReadFile(path, 1u << 20);
  if (!text && text.error().code == ErrorCode::kNotFound) text = "{}";
  if (!text) return Fail(text.error());
  const Json table = Json::parse(*text, nullptr, false);
  if (!table.is_object()) {
    return Fail(ErrorCode::kInvalidArgument,
                path + " is no JSON object; it should read {\"fs-0123456789abcdef0\": \"/mnt/shared\"}");
  }
  const auto root = table.find(source.file_system_id);
  // A mistyped id must not open the directory of that path on this machine, which may be all of it.
  if (root == table.end() || !root->is_string()) {
    const std::string& id = source.file_system_id;
    return Fail(ErrorCode::kNotFound, "file system " + id + " is not in STATE/file-systems.json: add {\"" + id +
                                          "\": \"/mnt/...\"} to " + path +
                                          ", or give the FileSystemId local for a directory of this machine");
  }
  return root->get<std::string>() + source.directory_path;
}

}  // namespace leat::jobs
