// SPDX-License-Identifier: Apache-2.0
#include "posix/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <vector>

#include "base/log.h"
#include "base/text.h"

namespace leat::posix {
namespace {
constexpr std::string_view kAttributePrefix = "user.leat.";
}

Result<FileDescriptor> OpenBeneath(int directory_fd, const std::string& key, int flags) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const std::string path = key.empty() ? "." : key;
  while (true) {
    const long fd = syscall(SYS_openat2, directory_fd, path.c_str(), &how, sizeof how);
    if (fd >= 0) return FileDescriptor(static_cast<int>(fd));
    if (errno == EINTR || errno == EAGAIN) continue;  // EAGAIN: a rename went on beside; the kernel asks to try again
    const std::string what = "'" + EscapeForDisplay(key) + "'";
    if (errno == ENOENT || errno == ENOTDIR || errno == EXDEV || errno == ELOOP)
      return Fail(ErrorCode::kNotFound, what + " does not exist");
    return FailErrno(errno, what);
  }
}

Status CheckKey(std::string_view key) {
  std::string_view rest = key;
  if (rest.ends_with('/')) rest.remove_suffix(1);
  bool wrong = rest.empty() || key.find('\0') != std::string_view::npos;
  for (const std::string& part : Split(rest, '/'))
    wrong |= part.empty() || part == "." || part == ".." || part.size() > 255;
  if (!wrong) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "'" + EscapeForDisplay(key) + "' cannot be a file's path in a directory repository");
}

Result<FileDescriptor> MakeParent(int root_fd, const std::string& key) {
  LEAT_ASSIGN_OR_RETURN(FileDescriptor directory, OpenBeneath(root_fd, "", O_RDONLY | O_DIRECTORY));
  size_t begin = 0;
  for (size_t slash = key.find('/'); slash != std::string::npos; slash = key.find('/', begin)) {
    const std::string part = key.substr(begin, slash - begin);
    if (mkdirat(directory.get(), part.c_str(), 0777) != 0 && errno != EEXIST)
      return FailErrno(errno, "cannot make the directory of '" + EscapeForDisplay(key) + "'");
    LEAT_ASSIGN_OR_RETURN(directory, OpenBeneath(directory.get(), part, O_RDONLY | O_DIRECTORY));
    begin = slash + 1;
  }
  return directory;
}

std::string EtagOf(const struct stat& attributes) {
  char text[80];
  const auto mtime_ns = static_cast<unsigned long long>(attributes.st_mtim.tv_sec) * 1'000'000'000u +
                        static_cast<unsigned long long>(attributes.st_mtim.tv_nsec);
  std::snprintf(text, sizeof text, "\"%llx-%llx-%llx\"", mtime_ns, static_cast<unsigned long long>(attributes.st_size),
                static_cast<unsigned long long>(attributes.st_ino));
  return text;
}

ObjectInfo InfoOf(const std::string& key, const struct stat& attributes) {
  ObjectInfo info;
  info.key = key;
  info.etag = EtagOf(attributes);
  info.size_bytes = S_ISREG(attributes.st_mode) ? static_cast<uint64_t>(attributes.st_size) : 0;
  info.last_modified_ns = static_cast<int64_t>(attributes.st_mtim.tv_sec) * 1'000'000'000 + attributes.st_mtim.tv_nsec;
  return info;
}

UserMetadata ReadMetadata(int fd) {
  UserMetadata metadata;
  const ssize_t size = flistxattr(fd, nullptr, 0);
  if (size <= 0) return metadata;
  std::string names(static_cast<size_t>(size), '\0');
  const ssize_t got = flistxattr(fd, names.data(), names.size());
  if (got <= 0) return metadata;
  names.resize(static_cast<size_t>(got));
  for (const std::string& name : Split(names, '\0')) {
    if (!name.starts_with(kAttributePrefix)) continue;
    char value[4096];
    const ssize_t length = fgetxattr(fd, name.c_str(), value, sizeof value);
    if (length >= 0)
      metadata.emplace_back(name.substr(kAttributePrefix.size()), std::string(value, static_cast<size_t>(length)));
  }
  return metadata;
}

Status WriteMetadata(int fd, const UserMetadata& metadata) {
  for (const auto& [name, value] : metadata) {
    const std::string attribute = std::string(kAttributePrefix) + ToLower(name);
    if (fsetxattr(fd, attribute.c_str(), value.data(), value.size(), 0) == 0) continue;
    if (errno == ENOTSUP)
      return Fail(ErrorCode::kNotSupported,
                  "the repository's file system keeps no extended attributes, so no metadata; use another file system");
    return FailErrno(errno, "cannot keep the metadata '" + EscapeForDisplay(name) + "'");
  }
  return {};
}

}  // namespace leat::posix
