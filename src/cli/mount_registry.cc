// SPDX-License-Identifier: Apache-2.0
#include "cli/mount_registry.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/state_directory.h"
#include "control/raw_text.h"

namespace leat::cli {
namespace {

using Json = nlohmann::json;

constexpr char kRootDirectory[] = "/run/leat/mounts";

std::string OwnDirectory() {
  if (geteuid() == 0) return kRootDirectory;
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime && runtime[0] == '/') {
    return std::string(runtime) + "/leat/mounts";
  }
  return "/tmp/leat-" + std::to_string(geteuid()) + "/mounts";
}

// /tmp is everybody's: what is there counts only when it belongs to this user or to root.
bool Trusted(const std::string& path) {
  struct stat status {};
  return lstat(path.c_str(), &status) == 0 && (status.st_uid == geteuid() || status.st_uid == 0) &&
         !S_ISLNK(status.st_mode);
}

std::string EntryPath(const std::string& directory, const std::string& mountpoint) {
  return directory + "/" + ShortHash(mountpoint) + ".json";
}

std::optional<RegisteredMount> ReadEntry(const std::string& path) {
  if (!Trusted(path)) return std::nullopt;
  auto text = ReadFile(path, 1u << 16);
  if (!text) return std::nullopt;
  Json object = Json::parse(*text, nullptr, false);
  control::UnescapeTexts(object);
  const auto member = [&](const char* name) {
    return object.is_object() && object.contains(name) && object[name].is_string() ? object[name].get<std::string>()
                                                                                   : "";
  };
  RegisteredMount mount{member("mountpoint"), member("file_system"), member("state_directory")};
  if (mount.mountpoint.empty() || mount.state_directory.empty()) return std::nullopt;
  return mount;
}

std::vector<std::string> Directories() {
  std::vector<std::string> directories = {OwnDirectory()};
  if (directories[0] != kRootDirectory) directories.push_back(kRootDirectory);
  std::erase_if(directories, [](const std::string& directory) { return !Trusted(directory); });
  return directories;
}

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string UnescapeOctal(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

// The longest of `mountpoints` that contains `path`.
std::optional<LocatedPath> Enclosing(const std::vector<std::string>& mountpoints, const std::string& path) {
  std::optional<LocatedPath> best;
  for (const std::string& mountpoint : mountpoints) {
    const bool inside =
        path == mountpoint || (path.size() > mountpoint.size() && path.compare(0, mountpoint.size(), mountpoint) == 0 &&
                               path[mountpoint.size()] == '/');
    if (!inside || (best && best->mountpoint.size() > mountpoint.size())) continue;
    best = LocatedPath{mountpoint, path == mountpoint ? "" : path.substr(mountpoint.size() + 1)};
  }
  return best;
}

}  // namespace

Status RegisterMount(const RegisteredMount& mount) { return RegisterMountIn(OwnDirectory(), mount); }

Status RegisterMountIn(const std::string& directory, const RegisteredMount& mount) {
  LEAT_RETURN_IF_ERROR(CreateDirectories(directory, 0755));
  if (!Trusted(directory)) return Fail(ErrorCode::kDenied, directory + " belongs to another user");
  // The daemon's umask hides what it makes.
  const std::string parent = directory.substr(0, directory.rfind('/'));
  for (const std::string& path : {parent, directory}) {
    if (chmod(path.c_str(), 0755) != 0) return FailErrno(errno, "chmod " + path);
  }
  const std::string entry = EntryPath(directory, mount.mountpoint);
  const Json object = {
      {"mountpoint", mount.mountpoint}, {"file_system", mount.file_system}, {"state_directory", mount.state_directory}};
  LEAT_RETURN_IF_ERROR(WriteFileAtomically(entry, control::DumpWithRawBytes(object) + "\n", 0644, false));
  if (chmod(entry.c_str(), 0644) != 0) return FailErrno(errno, "chmod " + entry);
  return {};
}

void UnregisterMount(const std::string& mountpoint) { unlink(EntryPath(OwnDirectory(), mountpoint).c_str()); }

std::optional<RegisteredMount> FindRegisteredMount(const std::string& mountpoint) {
  for (const std::string& directory : Directories()) {
    auto mount = ReadEntry(EntryPath(directory, mountpoint));
    if (mount && mount->mountpoint == mountpoint) return mount;
  }
  return std::nullopt;
}

std::vector<RegisteredMount> RegisteredMounts() {
  std::vector<RegisteredMount> mounts;
  for (const std::string& directory : Directories()) {
    std::error_code error;
    for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
      if (auto mount = ReadEntry(it->path().string())) mounts.push_back(std::move(*mount));
    }
  }
  std::sort(mounts.begin(), mounts.end(), [](const auto& a, const auto& b) { return a.mountpoint < b.mountpoint; });
  return mounts;
}

std::vector<std::string> LeatMountpoints(std::string_view text) {
  std::vector<std::string> mountpoints;
  for (const std::string& line : Split(text, '\n')) {
    // "36 35 98:0 /root /mountpoint options optional... - type source super": the source follows " - type ".
    const std::vector<std::string> fields = Split(line, ' ');
    const auto separator = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 5 || fields.end() - separator < 3) continue;
    // Newer kernels write the number sign in octal.
    if (UnescapeOctal(separator[2]).rfind("leat#", 0) == 0 && separator[1].rfind("fuse", 0) == 0) {
      mountpoints.push_back(UnescapeOctal(fields[4]));
    }
  }
  return mountpoints;
}

std::optional<uint32_t> UserOfMount(std::string_view mountinfo, const std::string& mountpoint) {
  std::optional<uint32_t> user;
  for (const std::string& line : Split(mountinfo, '\n')) {
    const std::vector<std::string> fields = Split(line, ' ');
    const auto separator = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 5 || fields.end() - separator < 4 || UnescapeOctal(fields[4]) != mountpoint) continue;
    for (const std::string& option : Split(separator[3], ',')) {
      if (option.rfind("user_id=", 0) != 0) continue;
      if (const auto id = ParseUnsigned(std::string_view(option).substr(8)); id && *id <= UINT32_MAX)
        user = static_cast<uint32_t>(*id);  // of several at one place, the uppermost is the last
    }
  }
  return user;
}

Result<std::string> AbsolutePath(const std::string& path) {
  if (path.empty()) return Fail(ErrorCode::kInvalidArgument, "a path is empty");
  std::string whole = path;
  if (path[0] != '/') {
    char current[PATH_MAX];
    if (!getcwd(current, sizeof current)) return FailErrno(errno, "asking for the current directory");
    whole = std::string(current) + "/" + path;
  }
  std::vector<std::string> components;
  for (std::string& component : Split(whole, '/')) {
    if (component.empty() || component == ".") continue;
    if (component != "..") {
      components.push_back(std::move(component));
    } else if (!components.empty()) {
      components.pop_back();
    }
  }
  std::string absolute;
  for (const std::string& component : components) absolute += "/" + component;
  return absolute.empty() ? "/" : absolute;
}

Result<std::string> ResolvedMountpoint(const std::string& path) {
  LEAT_ASSIGN_OR_RETURN(const std::string absolute, AbsolutePath(path));
  if (auto mounts = ReadFile("/proc/self/mountinfo")) {
    const auto known = LeatMountpoints(*mounts);
    if (std::find(known.begin(), known.end(), absolute) != known.end()) return absolute;
  }
  char resolved[PATH_MAX];
  if (realpath(absolute.c_str(), resolved)) return std::string(resolved);
  const size_t slash = absolute.rfind('/');
  const std::string parent = slash == 0 ? "/" : absolute.substr(0, slash);
  if (!realpath(parent.c_str(), resolved)) return absolute;
  return (parent == "/" ? "" : std::string(resolved)) + absolute.substr(slash);
}

Result<LocatedPath> LocatePath(const std::string& path) {
  LEAT_ASSIGN_OR_RETURN(const std::string absolute, AbsolutePath(path));
  LEAT_ASSIGN_OR_RETURN(const std::string mounts, ReadFile("/proc/self/mountinfo"));
  const auto mountpoints = LeatMountpoints(mounts);
  if (auto located = Enclosing(mountpoints, absolute)) return *located;
  if (!mountpoints.empty()) {
    // A symlink outside may lead in. The last component is left alone: `leat state LINK` asks about the link.
    LEAT_ASSIGN_OR_RETURN(const std::string resolved, ResolvedMountpoint(absolute));
    if (auto located = Enclosing(mountpoints, resolved)) return *located;
  }
  return Fail(ErrorCode::kNotFound, EscapeForDisplay(path) + " is not on a Leat file system (leat status lists them)");
}

}  // namespace leat::cli
