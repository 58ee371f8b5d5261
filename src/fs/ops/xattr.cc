// SPDX-License-Identifier: Apache-2.0
#include "fs/ops/xattr.h"

#include <cstdio>

#include "fs/file_system_implementation.h"

namespace leat::fs {
namespace {

constexpr std::string_view kOurs = "user.leat.";
constexpr std::string_view kUser = "user.";

std::string StateText(FileSystemImplementation& self, const InodeRecord& record) {
  const uint64_t size = record.object.size_bytes;
  const uint64_t cached = size == 0 ? 0 : self.cache().CachedBytes(record.object);
  if (cached >= size) return "restored";
  if (cached == 0) return "released";
  char text[40];
  // Rounded down, so that 100 is said only of a whole file.
  std::snprintf(text, sizeof(text), "restored %d %%",
                static_cast<int>(100.0 * static_cast<double>(cached) / static_cast<double>(size)));
  return text;
}

Result<std::string> Absent() { return Fail(ErrorCode::kNotFound, "no such attribute"); }

Result<std::string> OurAttribute(FileSystemImplementation& self, const InodeRecord& record, std::string_view name) {
  const catalog::Inode& inode = record.inode;
  if (name == "key") return inode.key;
  if (name == "file_system") return self.options().name;
  if (name == "repository") return self.options().repository.ToString();
  if (inode.type == catalog::FileType::kDirectory) return Absent();
  if (name == "etag") return inode.etag;
  if (name == "storage_class") return inode.storage_class.empty() ? "STANDARD" : inode.storage_class;
  if (name == "state") return StateText(self, record);
  return Absent();
}

Result<std::string> UserAttribute(const catalog::Inode& inode, std::string_view name) {
  for (const auto& [key, value] : inode.user_metadata) {
    if (key == name) return value;
  }
  return Absent();
}

}  // namespace

std::optional<Result<std::string>> GetAttributeNow(FileSystem& file_system, InodeId inode, std::string_view name) {
  // ls asks for security.selinux and system.posix_acl_access of every file: at once.
  if (!name.starts_with(kUser)) return Absent();
  FileSystemImplementation& self = Implementation(file_system);
  const auto record = self.Record(inode);
  if (!record) return Fail(record.error());
  if (name.starts_with(kOurs)) return OurAttribute(self, **record, name.substr(kOurs.size()));
  const catalog::Inode& known = (*record)->inode;
  if (known.type == catalog::FileType::kFile && !known.metadata_known && !known.removed) return std::nullopt;
  return UserAttribute(known, name.substr(kUser.size()));
}

void GetAttribute(FileSystem& file_system, InodeId inode, const std::string& name,
                  std::function<void(Result<std::string>)> done) {
  FileSystemImplementation& self = Implementation(file_system);
  const auto record = self.Record(inode);
  if (!record) return done(Fail(record.error()));
  self.store().Head((*record)->inode.key, [&self, gate = self.gate(), record = *record, name,
                                           done = std::move(done)](Result<ObjectInfo> info) {
    GateScope scope(gate);
    if (!scope) return done(Fail(ErrorCode::kCancelled, "the file system is being closed"));
    if (!info && info.error().code != ErrorCode::kNotFound) return done(Fail(info.error()));
    if (!info || info->etag != record->inode.etag) {
      return self.importer().RefreshObject(record->inode.id, [done](Status) {
        done(Fail(ErrorCode::kObjectChanged, "the object has changed; open it again"));
      });
    }
    self.metadata().Apply(record->inode.id, *info, [&self, gate, record, name, done](Status status) {
      GateScope inner(gate);
      if (!inner) return done(Fail(ErrorCode::kCancelled, "the file system is being closed"));
      if (!status) return done(Fail(status.error()));
      const auto now = self.Record(record->inode.id);
      done(now ? UserAttribute((*now)->inode, std::string_view(name).substr(kUser.size())) : Fail(now.error()));
    });
  });
}

Result<std::vector<std::string>> ListAttributes(FileSystem& file_system, InodeId inode) {
  LEAT_ASSIGN_OR_RETURN(const auto record, Implementation(file_system).Record(inode));
  std::vector<std::string> names = {"user.leat.file_system", "user.leat.key", "user.leat.repository"};
  if (record->inode.type != catalog::FileType::kDirectory) {
    for (const char* name : {"user.leat.etag", "user.leat.state", "user.leat.storage_class"}) names.emplace_back(name);
  }
  for (const auto& [name, value] : record->inode.user_metadata) names.push_back(std::string(kUser) + name);
  return names;
}

}  // namespace leat::fs
