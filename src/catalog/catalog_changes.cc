// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "catalog/catalog_apply.h"
#include "catalog/catalog_rocksdb.h"
#include "model/key_rules.h"
#include "model/posix_metadata.h"

namespace leat::catalog {
namespace {

constexpr size_t kDirectoriesRemembered = 8192;

bool IsSameVersion(const Inode& inode, const ObjectInfo& object) {
  return inode.etag == object.etag && inode.size_bytes == object.size_bytes;
}

// LIST tells milliseconds on some servers (Ceph), HEAD and GET whole seconds.
bool IsSameTime(int64_t a_ns, int64_t b_ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  if (a_ns == b_ns) return true;
  return a_ns / kSecond == b_ns / kSecond && (a_ns % kSecond == 0 || b_ns % kSecond == 0);
}

// What LIST and HEAD tell of an object's version.
void SetVersion(Record& record, const ObjectInfo& object) {
  record.inode.etag = object.etag;
  record.inode.size_bytes = record.inode.type == FileType::kDirectory ? 0 : object.size_bytes;
  record.inode.storage_class = object.storage_class;
  record.inode.mtime_ns = record.last_modified_ns = object.last_modified_ns;
  record.inode.atime_ns.reset();
  record.inode.metadata_known = false;
  record.inode.user_metadata.clear();
}

// What HEAD and GET tell beyond. Without POSIX metadata an earlier version's owner and mode stay, as on FSx.
void SetMetadata(Record& record, const ObjectInfo& object) {
  record.inode.user_metadata.clear();
  const PosixMetadata posix = DecodePosixMetadata(object.user_metadata, &record.inode.user_metadata);
  if (posix.mode) record.inode.mode = posix.mode;
  if (posix.uid) record.inode.uid = posix.uid;
  if (posix.gid) record.inode.gid = posix.gid;
  if (!IsSameTime(record.last_modified_ns, object.last_modified_ns)) record.last_modified_ns = object.last_modified_ns;
  record.inode.mtime_ns = posix.mtime_ns.value_or(record.last_modified_ns);
  record.inode.atime_ns = posix.atime_ns;
  record.inode.metadata_known = true;
}

bool NamesSymlink(const ObjectInfo& object) {
  return object.has_user_metadata && DecodePosixMetadata(object.user_metadata, nullptr).is_symlink;
}

Status CheckLive(const Record& record, bool directory_too) {
  if (record.inode.removed)
    return Fail(ErrorCode::kNotFound, "the file has been removed: " + EscapeForDisplay(record.inode.key));
  if (record.inode.type == FileType::kDirectory && !directory_too) {
    return Fail(ErrorCode::kIsADirectory, "a directory is no object: " + EscapeForDisplay(record.inode.key));
  }
  return {};
}

}  // namespace

void RocksCatalog::Notify(std::vector<Event> events) {
  ChangeListener* const listener = listener_.load();
  if (listener == nullptr) return;
  for (const auto& event : events) {
    switch (event.kind) {
      case Event::Kind::kAdded:
        listener->OnEntryAdded(event.parent, event.name);
        break;
      case Event::Kind::kRemoved:
        listener->OnEntryRemoved(event.parent, event.name, event.inode);
        break;
      case Event::Kind::kAttributes:
        listener->OnAttributesChanged(event.inode);
        break;
    }
  }
}

Result<InodeId> RocksCatalog::ChildDirectory(Change& change, InodeId parent, std::string_view name, std::string key) {
  LEAT_ASSIGN_OR_RETURN(const auto entry, change.Find(parent, name));
  if (entry && entry->type == FileType::kDirectory) return entry->id;
  Record directory;
  directory.inode.parent = parent;
  directory.inode.name = name;
  directory.inode.type = FileType::kDirectory;
  directory.inode.key = std::move(key);
  if (!entry) return change.Add(std::move(directory));
  // The object `x` was there first; now keys begin with `x/`.
  LEAT_ASSIGN_OR_RETURN(Record file, change.Get(entry->id));
  change.Remove(file);
  const InodeId id = change.Add(std::move(directory));
  file.inode.parent = id;
  file.inode.name = kObjectBesideDirectoryName;
  AddMoved(change, std::move(file));
  return id;
}

void RocksCatalog::AddMoved(Change& change, Record record) {
  const InodeId old = record.inode.id;
  moved_from_[Value(change.Add(std::move(record)))] = old;
}

Result<InodeId> RocksCatalog::DirectoryOfPrefix(Change& change, std::string_view prefix) {
  if (prefix.empty()) return kRootInode;
  if (const auto found = directories_.find(prefix); found != directories_.end()) return found->second;
  const std::string_view without_slash = prefix.substr(0, prefix.size() - 1);
  const size_t slash = without_slash.rfind('/');
  const size_t start = slash == std::string_view::npos ? 0 : slash + 1;
  LEAT_ASSIGN_OR_RETURN(InodeId id, DirectoryOfPrefix(change, prefix.substr(0, start)));
  const auto names = NamesOfComponent(without_slash.substr(start));
  size_t end = start;
  for (const auto& piece : names) {
    end += piece.key_bytes;
    if (&piece == &names.back()) ++end;  // the '/'
    LEAT_ASSIGN_OR_RETURN(
        id, ChildDirectory(change, id, piece.name, storage_.key_prefix + std::string(prefix.substr(0, end))));
  }
  if (directories_.size() >= kDirectoriesRemembered) directories_.clear();
  directories_.emplace(prefix, id);
  return id;
}

Status RocksCatalog::UpsertFile(Change& change, InodeId parent, std::string_view name, const ObjectInfo& object,
                                SeenSet* seen) {
  LEAT_ASSIGN_OR_RETURN(const auto entry, change.Find(parent, name));
  if (entry && entry->type == FileType::kDirectory) {
    return UpsertFile(change, entry->id, kObjectBesideDirectoryName, object, seen);
  }
  Record record;
  if (entry) {
    LEAT_ASSIGN_OR_RETURN(Record old, change.Get(entry->id));
    // A symlink's size is its target's length, which is the object's too.
    if (IsSameVersion(old.inode, object)) {
      if (seen != nullptr) seen->Insert(entry->id);
      const bool same_time = IsSameTime(old.last_modified_ns, object.last_modified_ns);
      if (same_time && old.inode.storage_class == object.storage_class && !object.has_user_metadata) return {};
      Record now = old;
      // Copied onto itself, perhaps with other metadata: the same contents, so the same inode.
      if (!same_time) SetVersion(now, object);
      now.inode.storage_class = object.storage_class;
      if (object.has_user_metadata && NamesSymlink(object) == (now.inode.type == FileType::kSymlink))
        SetMetadata(now, object);
      if (EncodeRecord(now, storage_.key_prefix) != EncodeRecord(old, storage_.key_prefix))
        change.Update(old, now, true);
      return {};
    }
    change.Remove(old);
    record.inode.mode = old.inode.mode;
    record.inode.uid = old.inode.uid;
    record.inode.gid = old.inode.gid;
  }
  record.inode.parent = parent;
  record.inode.name = name;
  record.inode.key = object.key;
  SetVersion(record, object);
  // A symlink needs its body too: ApplyMetadata makes it one.
  if (object.has_user_metadata && !NamesSymlink(object)) SetMetadata(record, object);
  const InodeId id = change.Add(std::move(record));
  if (seen != nullptr) seen->Insert(id);
  return {};
}

Status RocksCatalog::UpsertMarker(Change& change, const ObjectInfo& object, SeenSet* seen) {
  const auto prefix = std::string_view(object.key).substr(storage_.key_prefix.size());
  LEAT_ASSIGN_OR_RETURN(const InodeId id, DirectoryOfPrefix(change, prefix));
  if (seen != nullptr) seen->Insert(id);
  LEAT_RETURN_IF_ERROR(CoverLocked(change, id, seen));
  LEAT_ASSIGN_OR_RETURN(const Record old, change.Get(id));
  Record now = old;
  if (!old.has_marker || old.inode.etag != object.etag || !IsSameTime(old.last_modified_ns, object.last_modified_ns)) {
    now.has_marker = true;
    SetVersion(now, object);
  }
  if (object.has_user_metadata) SetMetadata(now, object);
  if (EncodeRecord(now, storage_.key_prefix) != EncodeRecord(old, storage_.key_prefix)) change.Update(old, now, true);
  if (object.size_bytes != 0) return UpsertFile(change, id, kMarkerBodyName, object, seen);
  LEAT_ASSIGN_OR_RETURN(const auto body, change.Find(id, kMarkerBodyName));
  if (body) {
    LEAT_ASSIGN_OR_RETURN(Record record, change.Get(body->id));
    change.Remove(std::move(record));
  }
  return {};
}

Status RocksCatalog::UpsertObject(Change& change, const ObjectInfo& object, SeenSet* seen) {
  if (!object.key.starts_with(storage_.key_prefix)) {
    return Fail(ErrorCode::kProtocol,
                "the listing holds a key outside the repository: " + EscapeForDisplay(object.key));
  }
  const auto key = std::string_view(object.key).substr(storage_.key_prefix.size());
  if (key.empty() || key.back() == '/') {
    if (object.key.empty()) return Fail(ErrorCode::kProtocol, "the listing holds an empty key");
    return UpsertMarker(change, object, seen);
  }
  const size_t slash = key.rfind('/');
  const size_t start = slash == std::string_view::npos ? 0 : slash + 1;
  LEAT_ASSIGN_OR_RETURN(InodeId parent, DirectoryOfPrefix(change, key.substr(0, start)));
  const auto component = key.substr(start);
  if (IsOrdinaryComponent(component)) {
    LEAT_RETURN_IF_ERROR(CoverLocked(change, parent, seen));
    return UpsertFile(change, parent, component, object, seen);
  }
  const auto names = NamesOfComponent(component);
  size_t end = start;
  for (size_t i = 0; i + 1 < names.size(); ++i) {
    end += names[i].key_bytes;
    LEAT_ASSIGN_OR_RETURN(
        parent, ChildDirectory(change, parent, names[i].name, storage_.key_prefix + std::string(key.substr(0, end))));
  }
  LEAT_RETURN_IF_ERROR(CoverLocked(change, parent, seen));
  return UpsertFile(change, parent, names.back().name, object, seen);
}

Status RocksCatalog::CoverLocked(Change& change, InodeId directory, SeenSet* seen) {
  while (seen != nullptr && !seen->Covers(directory)) {
    seen->Cover(directory);
    if (directory == kRootInode) break;
    LEAT_ASSIGN_OR_RETURN(const Record record, change.Get(directory));
    directory = record.inode.parent;
  }
  return {};
}

Status RocksCatalog::Upsert(std::span<const ObjectInfo> objects, std::span<const std::string> common_prefixes,
                            SeenSet* seen) {
  return Apply([&](Change& change) -> Status {
    for (const auto& object : objects) LEAT_RETURN_IF_ERROR(UpsertObject(change, object, seen));
    for (const auto& prefix : common_prefixes) {
      if (!prefix.starts_with(storage_.key_prefix) || !prefix.ends_with('/')) {
        return Fail(ErrorCode::kProtocol,
                    "the listing holds a prefix outside the repository: " + EscapeForDisplay(prefix));
      }
      LEAT_ASSIGN_OR_RETURN(const InodeId id,
                            DirectoryOfPrefix(change, std::string_view(prefix).substr(storage_.key_prefix.size())));
      if (seen != nullptr) seen->Insert(id);
    }
    return {};
  });
}

Status RocksCatalog::ApplyMetadata(InodeId id, const ObjectInfo& info, std::string_view symlink_body) {
  return Apply([&](Change& change) -> Status {
    LEAT_ASSIGN_OR_RETURN(const Record old, change.Get(id));
    LEAT_RETURN_IF_ERROR(CheckLive(old, true));
    ObjectInfo told = info;
    told.key = old.inode.key;
    told.has_user_metadata = true;
    if (old.inode.type == FileType::kDirectory) return UpsertMarker(change, told, nullptr);
    const bool to_symlink = NamesSymlink(told) && !symlink_body.empty();
    const bool is_symlink = old.inode.type == FileType::kSymlink;
    if (IsSameVersion(old.inode, info) && to_symlink == is_symlink) {
      Record now = old;
      SetMetadata(now, told);
      if (EncodeRecord(now, storage_.key_prefix) != EncodeRecord(old, storage_.key_prefix))
        change.Update(old, now, true);
      return {};
    }
    Record now = old;
    now.inode.type = to_symlink ? FileType::kSymlink : FileType::kFile;
    now.inode.symlink_target = to_symlink ? symlink_body : std::string_view();
    SetVersion(now, told);
    SetMetadata(now, told);
    change.Remove(old);
    change.Add(std::move(now));
    return {};
  });
}

Status RocksCatalog::Replace(InodeId id, const ObjectInfo& now) {
  return Apply([&](Change& change) -> Status {
    LEAT_ASSIGN_OR_RETURN(const Record old, change.Get(id));
    LEAT_RETURN_IF_ERROR(CheckLive(old, false));
    ObjectInfo object = now;
    object.key = old.inode.key;
    if (object.key.ends_with('/') || object.key.size() == storage_.key_prefix.size())
      return UpsertMarker(change, object, nullptr);
    return UpsertFile(change, old.inode.parent, old.inode.name, object, nullptr);
  });
}

Status RocksCatalog::Remove(InodeId id) {
  return Apply([&](Change& change) -> Status {
    LEAT_ASSIGN_OR_RETURN(const Record old, change.Get(id));
    LEAT_RETURN_IF_ERROR(CheckLive(old, true));
    if (old.inode.type == FileType::kDirectory || old.inode.name == kMarkerBodyName) {
      // The marker object is gone.
      const InodeId directory = old.inode.type == FileType::kDirectory ? id : old.inode.parent;
      LEAT_ASSIGN_OR_RETURN(const auto body, change.Find(directory, kMarkerBodyName));
      if (body) {
        LEAT_ASSIGN_OR_RETURN(Record record, change.Get(body->id));
        change.Remove(std::move(record));
      }
      LEAT_ASSIGN_OR_RETURN(const Record before, change.Get(directory));
      Record after = before;
      after.has_marker = false;
      after.inode.etag.clear();
      change.Update(before, after, false);
      return PruneEmptied(change, directory);
    }
    change.Remove(old);
    return PruneEmptied(change, old.inode.parent);
  });
}

Result<bool> RocksCatalog::RemoveIfEmpty(Change& change, const Record& directory) {
  if (directory.inode.id == kRootInode || directory.has_marker) return false;
  LEAT_ASSIGN_OR_RETURN(const auto entries, change.FirstEntries(directory.inode.id, 2));
  if (entries.size() > 1) return false;
  if (entries.size() == 1 && entries[0].first != kObjectBesideDirectoryName) return false;
  ForgetDirectories();
  if (entries.empty()) {
    change.Remove(directory);
    return true;
  }
  LEAT_ASSIGN_OR_RETURN(Record object, change.Get(entries[0].second.id));
  change.Remove(object);
  change.Remove(directory);
  object.inode.parent = directory.inode.parent;
  object.inode.name = directory.inode.name;
  AddMoved(change, std::move(object));
  return true;
}

Status RocksCatalog::PruneEmptied(Change& change, InodeId directory) {
  for (;;) {
    LEAT_ASSIGN_OR_RETURN(const Record record, change.Get(directory));
    // Of a directory that was never listed it is not known that it is empty.
    if (!record.inode.listed) return {};
    LEAT_ASSIGN_OR_RETURN(const bool removed, RemoveIfEmpty(change, record));
    if (!removed) return {};
    directory = record.inode.parent;
  }
}

Status RocksCatalog::MarkListed(InodeId directory) {
  return Apply([&](Change& change) -> Status {
    LEAT_ASSIGN_OR_RETURN(const Record old, change.Get(directory));
    LEAT_RETURN_IF_ERROR(CheckLive(old, true));
    if (old.inode.type != FileType::kDirectory)
      return Fail(ErrorCode::kNotADirectory, "only a directory can be listed");
    if (old.inode.listed) return {};
    Record now = old;
    now.inode.listed = true;
    change.Update(old, now, false);
    return {};
  });
}

}  // namespace leat::catalog
