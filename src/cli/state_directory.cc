// SPDX-License-Identifier: Apache-2.0
#include "cli/state_directory.h"

#include <sys/random.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/memory_budget.h"

namespace leat::cli {
namespace {

using Json = nlohmann::json;

constexpr size_t kNameCharactersMax = 48;
constexpr size_t kSettingsBytesMax = 1u << 16;

// Settings are written by this program only, but a disk may hand back anything: a wrong type is an error, not an
// exception.
template <class T>
bool Take(const Json& object, const char* member, T& value) {
  const auto found = object.find(member);
  if (found == object.end()) return false;
  if constexpr (std::is_same_v<T, std::string>) {
    if (!found->is_string()) return false;
  } else if (!found->is_number_integer()) {
    return false;
  }
  value = found->get<T>();
  return true;
}

Result<Json> LoadObject(const std::string& path) {
  LEAT_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kSettingsBytesMax));
  Json object = Json::parse(text, nullptr, false);
  if (!object.is_object()) return Fail(ErrorCode::kCorrupt, path + " is not valid; remove it to start over");
  return object;
}

}  // namespace

std::string ShortHash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  std::string hex(16, '0');
  for (int i = 15; i >= 0; --i, hash >>= 4) hex[static_cast<size_t>(i)] = "0123456789abcdef"[hash & 15];
  return hex;
}

Result<DaemonSettings> LoadDaemonSettings(const StatePaths& paths) {
  LEAT_ASSIGN_OR_RETURN(const Json object, LoadObject(paths.Settings()));
  DaemonSettings settings;
  if (!Take(object, "capacity_bytes", settings.capacity_bytes) ||
      !Take(object, "next_dataset", settings.next_dataset)) {
    return Fail(ErrorCode::kCorrupt,
                paths.Settings() + " lacks capacity_bytes or next_dataset; remove it to start over");
  }
  if (object.contains("memory_bytes") && !Take(object, "memory_bytes", settings.memory_bytes)) {
    return Fail(ErrorCode::kCorrupt, "memory_bytes in " + paths.Settings() + " is no number; remove it");
  }
  return settings;
}

Status SaveDaemonSettings(const StatePaths& paths, const DaemonSettings& settings) {
  Json object = {{"version", 1}, {"capacity_bytes", settings.capacity_bytes}, {"next_dataset", settings.next_dataset}};
  if (settings.memory_bytes > 0) object["memory_bytes"] = settings.memory_bytes;
  return WriteFileAtomically(paths.Settings(), object.dump(2) + "\n", 0600, true);
}

Result<uint64_t> SettleCapacity(const StatePaths& paths, std::optional<uint64_t> asked) {
  struct statvfs disk {};
  if (statvfs(paths.root.c_str(), &disk) != 0)
    return FailErrno(errno, "asking how large the disk of " + paths.root + " is");
  const uint64_t total = static_cast<uint64_t>(disk.f_blocks) * disk.f_frsize;
  const uint64_t available = static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize;

  auto stored = LoadDaemonSettings(paths);
  if (!stored && stored.error().code != ErrorCode::kNotFound) return Fail(stored.error());
  DaemonSettings settings = stored.value_or(DaemonSettings{});
  if (!stored) {
    // Without the counter, numbers already given out must not be given again: they name shares of the cache.
    for (const auto& known : LoadFileSystems(paths)) {
      settings.next_dataset = std::max(settings.next_dataset, Value(known.dataset) + 1);
    }
  }
  const uint64_t capacity = asked ? *asked : settings.capacity_bytes ? settings.capacity_bytes : available / 2;
  if (capacity > total) {
    return Fail(ErrorCode::kInvalidArgument, "a capacity of " + FormatBytes(capacity) + " is more than the disk of " +
                                                 paths.root + " holds (" + FormatBytes(total) +
                                                 "); pass a smaller --capacity or another --state-dir");
  }
  if (capacity == 0) return Fail(ErrorCode::kNoSpace, "no room is left on the disk of " + paths.root);
  if (!stored || settings.capacity_bytes != capacity) {
    settings.capacity_bytes = capacity;
    LEAT_RETURN_IF_ERROR(SaveDaemonSettings(paths, settings));
  }
  return capacity;
}

Result<uint64_t> SettleMemory(const StatePaths& paths, std::optional<uint64_t> asked, uint64_t usable) {
  LEAT_ASSIGN_OR_RETURN(DaemonSettings settings, LoadDaemonSettings(paths));
  if (asked) {
    LEAT_RETURN_IF_ERROR(CheckMemoryBytes(*asked));
    if (*asked > usable) {
      return Fail(ErrorCode::kInvalidArgument, "--memory " + FormatBytes(*asked) +
                                                   " is more than a process may use here (" + FormatBytes(usable) +
                                                   "); pass less");
    }
    if (settings.memory_bytes != *asked) {
      settings.memory_bytes = *asked;
      LEAT_RETURN_IF_ERROR(SaveDaemonSettings(paths, settings));
    }
    return *asked;
  }
  const uint64_t fallback = DefaultMemoryBytes(usable);
  if (settings.memory_bytes == 0) return fallback;
  if (CheckMemoryBytes(settings.memory_bytes) && settings.memory_bytes <= usable) return settings.memory_bytes;
  LogWarning("the memory of " + FormatBytes(settings.memory_bytes) + " that was set does not fit here, where " +
             FormatBytes(usable) + " may be used; " + FormatBytes(fallback) + " it is");
  return fallback;
}

std::vector<FileSystemSettings> LoadFileSystems(const StatePaths& paths) {
  std::set<std::string> ids;
  std::error_code error;
  for (std::filesystem::directory_iterator it(paths.FileSystems(), error), end; !error && it != end;
       it.increment(error)) {
    ids.insert(it->path().filename().string());
  }
  std::vector<FileSystemSettings> all;
  for (const std::string& id : ids) {
    const std::string path = paths.FileSystem(id) + "/settings.json";
    auto object = LoadObject(path);
    if (!object) {
      LogWarning("file system " + id + " is left out: " + object.error().message);
      continue;
    }
    FileSystemSettings settings;
    uint32_t dataset = 0;
    if (!Take(*object, "id", settings.id) || settings.id != id || !Take(*object, "name", settings.name) ||
        !Take(*object, "repository", settings.repository) || !Take(*object, "endpoint", settings.endpoint) ||
        !Take(*object, "dataset", dataset)) {
      LogWarning("file system " + id + " is left out: " + path + " lacks a member");
      continue;
    }
    settings.dataset = DatasetId{dataset};
    Take(*object, "created_ns", settings.created_ns);
    Take(*object, "last_use_ns", settings.last_use_ns);
    all.push_back(std::move(settings));
  }
  return all;
}

Status SaveFileSystem(const StatePaths& paths, const FileSystemSettings& settings) {
  LEAT_RETURN_IF_ERROR(CreateDirectories(paths.FileSystem(settings.id), 0700));
  const Json object = {{"version", 1},
                       {"id", settings.id},
                       {"name", settings.name},
                       {"repository", settings.repository},
                       {"endpoint", settings.endpoint},
                       {"dataset", Value(settings.dataset)},
                       {"created_ns", settings.created_ns},
                       {"last_use_ns", settings.last_use_ns}};
  return WriteFileAtomically(paths.FileSystem(settings.id) + "/settings.json",
                             object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n", 0600, true);
}

std::string NewFileSystemId() {
  unsigned char random[9];
  for (size_t got = 0; got < sizeof random;) {
    const ssize_t count = getrandom(random + got, sizeof random - got, 0);
    if (count > 0) got += static_cast<size_t>(count);
  }
  std::string id = "fs-";
  for (const unsigned char byte : random) {
    id += "0123456789abcdef"[byte >> 4];
    id += "0123456789abcdef"[byte & 15];
  }
  id.resize(3 + 17);
  return id;
}

std::string DefaultName(const RepositoryUrl& repository, const std::string& endpoint) {
  const bool s3 = repository.kind == RepositoryUrl::Kind::kS3;
  std::string_view whole_path = repository.path;
  const std::string source =
      s3 ? repository.bucket + "/" + repository.prefix : std::string(whole_path.substr(whole_path.rfind('/') + 1));
  std::string name;
  bool exact = true;
  for (const char c : source) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (plain) {
      name += c;
    } else {
      name += '-';
      exact = exact && c == '/';
    }
  }
  while (!name.empty() && (name.back() == '-' || name.back() == '.')) name.pop_back();
  while (!name.empty() && (name.front() == '-' || name.front() == '.')) name.erase(0, 1);
  if (name.empty() || name.size() > kNameCharactersMax - 7 || !exact) {
    name = name.substr(0, kNameCharactersMax - 7);
    name += (name.empty() ? "" : "-") + ShortHash(endpoint + " " + repository.ToString()).substr(0, 6);
  }
  return name;
}

Status CheckName(const std::string& name) {
  const bool fits = !name.empty() && name.size() <= kNameCharactersMax && name.front() != '.' && name.front() != '-' &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                             c == '_' || c == '-';
                    });
  if (fits) return {};
  return Fail(ErrorCode::kInvalidArgument, "'" + EscapeForDisplay(name) +
                                               "' cannot be a file system's name: use 1 to " +
                                               std::to_string(kNameCharactersMax) +
                                               " letters, digits, '.', '_' and '-', starting with a letter or digit");
}

Result<ResolvedFileSystem> ResolveFileSystem(const std::vector<FileSystemSettings>& known,
                                             const RepositoryUrl& repository, const std::string& endpoint,
                                             const std::string& name) {
  const std::string canonical = repository.ToString();
  const auto same = [&](const FileSystemSettings& candidate) {
    return candidate.repository == canonical && candidate.endpoint == endpoint;
  };
  std::vector<std::string> names = {name};
  if (name.empty()) {
    names = {DefaultName(repository, endpoint)};
    names.push_back(names[0] + "-" + ShortHash(endpoint + " " + canonical).substr(0, 6));
  } else {
    LEAT_RETURN_IF_ERROR(CheckName(name));
  }
  for (const std::string& wanted : names) {
    for (const auto& candidate : known) {
      if (candidate.name == wanted && same(candidate)) return ResolvedFileSystem{candidate, false};
    }
  }
  for (const std::string& wanted : names) {
    const auto taken =
        std::find_if(known.begin(), known.end(), [&](const auto& other) { return other.name == wanted; });
    if (taken == known.end()) {
      FileSystemSettings fresh;
      fresh.id = NewFileSystemId();
      fresh.name = wanted;
      fresh.repository = canonical;
      fresh.endpoint = endpoint;
      fresh.created_ns =
          std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
              .count();
      return ResolvedFileSystem{std::move(fresh), true};
    }
    if (!name.empty()) {
      return Fail(ErrorCode::kExists, "the name " + name + " belongs to " + taken->id + " (" + taken->repository +
                                          "); choose another --name");
    }
  }
  return Fail(ErrorCode::kExists, "no free name for " + canonical + "; pass --name");
}

}  // namespace leat::cli
