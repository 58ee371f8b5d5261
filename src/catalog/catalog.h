// SPDX-License-Identifier: Apache-2.0
// Catalog: the persistent namespace of one file system, on RocksDB: inodes, directory entries, and which object version
// each file is (docs/formats/catalog.md).
//
// An object replaced in the bucket becomes a new inode under the same name; inode numbers are never reused. A removed
// inode's record stays, marked, until the catalog is opened again: old readers get the right errno and a READDIR that
// stopped there can go on.
// Threads: any; changes are serialised inside. Durability: a change is there after process death at once, after power
// loss once synced (a prefix of the changes survives, whole batches).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/ids.h"
#include "model/object.h"

namespace leat::database {
class DatabaseMemory;
}

namespace leat::catalog {

enum class FileType : uint8_t { kFile = 1, kDirectory = 2, kSymlink = 3 };

struct Inode {
  InodeId id{};
  InodeId parent{};
  std::string name;  // in its parent; empty for the root
  FileType type = FileType::kFile;
  bool removed = false;  // no longer in the namespace; kept for readers that hold it
  bool listed = false;   // directory: its entries are complete
  std::string key;       // the object's true key (repository prefix included); of a directory the prefix ending in '/'
  std::string etag;      // files and symlinks
  uint64_t size_bytes = 0;
  int64_t mtime_ns = 0;  // LastModified, or what POSIX metadata says
  std::string storage_class;
  // From POSIX metadata on the object (model/posix_metadata.h); absent: the mount's defaults.
  std::optional<uint32_t> mode;  // permission bits only, 0777 at most
  std::optional<uint32_t> uid, gid;
  std::optional<int64_t> atime_ns;
  bool metadata_known = false;  // a HEAD or GET has told the user metadata
  UserMetadata user_metadata;   // what is not POSIX metadata; shown as user.* xattrs
  std::string symlink_target;   // type kSymlink
};

struct DirectoryEntry {
  Inode inode;  // its name, type and attributes; its id is also the READDIR cookie
};

// What a change to the catalog means for the kernel's caches. Called after the change is committed, without a lock
// held, on the thread that applied it; must not wait for a kernel request to be answered.
class ChangeListener {
 public:
  virtual ~ChangeListener() = default;
  virtual void OnEntryAdded(InodeId parent,
                            const std::string& name) = 0;  // negative entries and directory contents go stale
  virtual void OnEntryRemoved(InodeId parent, const std::string& name,
                              InodeId inode) = 0;       // also before a replacement is added
  virtual void OnAttributesChanged(InodeId inode) = 0;  // same contents, other mode, times or owner
};

struct CatalogTotals {
  uint64_t files = 0, directories = 0;  // live ones known
  uint64_t bytes = 0;                   // sum of file sizes
  bool complete = false;                // a full import has succeeded at least once
  int64_t imported_at_ns = 0;           // wall time of the last complete import; 0: never
};

class Catalog {
 public:
  struct Options {
    std::string directory;                             // made if missing
    std::string key_prefix;                            // the repository's prefix, empty or ending in '/'
    std::shared_ptr<database::DatabaseMemory> memory;  // null: it has its own
  };
  // Opens or creates. kCorrupt / kNotSupported: the message says to remove the directory (a catalog can be imported
  // again).
  static Result<std::unique_ptr<Catalog>> Open(Options options);
  virtual ~Catalog() = default;
  virtual void SetListener(ChangeListener* listener) = 0;  // null: none; not owned

  // --- reading; kNotFound when there is none
  virtual Result<Inode> Get(InodeId id) = 0;  // also removed ones
  virtual Result<Inode> Lookup(InodeId parent, std::string_view name) = 0;
  // Entries of `directory` in name order after the entry whose inode is `cookie` (0: from the start), until `visit`
  // returns false. The inode is good for the call only.
  virtual Status VisitDirectory(InodeId directory, uint64_t cookie, const std::function<bool(const Inode&)>& visit) = 0;
  // The same, at most `count`.
  virtual Result<std::vector<DirectoryEntry>> ReadDirectory(InodeId directory, uint64_t cookie, size_t count) = 0;
  // Files below `directory` (itself, when it is a file), depth first in name order, resumed by the last inode visited.
  // Used to plan restores. `visit` returns false to stop.
  virtual Status VisitFiles(InodeId directory, const std::function<bool(const Inode&)>& visit) = 0;
  virtual Result<InodeId> ResolvePath(std::string_view path) = 0;  // "a/b/c" relative to the root, no symlinks followed
  virtual std::string PathOf(InodeId id) = 0;                      // relative to the root; "" for it
  virtual CatalogTotals Totals() = 0;

  // --- changing, by import; keys as the bucket has them, each beginning with key_prefix
  // Makes the objects' files, symlinks and directories exist with these versions: adds what is missing, replaces files
  // whose ETag or size changed (new inode), leaves the rest untouched. `seen`, when given, gets every inode that the
  // objects name, and covers every directory that their keys lie below.
  class SeenSet {
   public:
    virtual ~SeenSet() = default;
    virtual void Insert(InodeId id) = 0;
    virtual bool Contains(InodeId id) const = 0;
    virtual void Cover(InodeId directory) = 0;
    virtual bool Covers(InodeId directory) const = 0;
  };
  virtual Status Upsert(std::span<const ObjectInfo> objects, std::span<const std::string> common_prefixes,
                        SeenSet* seen) = 0;
  // What a HEAD or GET told of the file `id`: applies POSIX metadata; a symlink object becomes a symlink (new inode).
  // `symlink_body`: the object's body, needed for a symlink only.
  virtual Status ApplyMetadata(InodeId id, const ObjectInfo& info, std::string_view symlink_body) = 0;
  // The object is gone from the bucket, or is another version now (a new inode replaces the old).
  virtual Status Remove(InodeId id) = 0;
  virtual Status Replace(InodeId id, const ObjectInfo& now) = 0;
  virtual Status MarkListed(InodeId directory) = 0;
  // After a listing of everything below `directory` that began at BeginSweep(): removes what `seen` lacks and was there
  // before it began, directories left empty included; marks `directory` and those that the listing went through listed
  // (not one that a look-up has made known since), and the import complete if it was the root's.
  virtual uint64_t BeginSweep() = 0;  // a mark: the next inode number
  class Sweep {                       // a page of one directory at a time, so that other work can come between
   public:
    virtual ~Sweep() = default;
    virtual Result<bool> Step() = 0;  // true: there is more to do
  };
  // `seen` and the catalog outlive it.
  virtual std::unique_ptr<Sweep> StartSweep(InodeId directory, const SeenSet& seen, uint64_t mark,
                                            int64_t wall_time_ns) = 0;
  static std::unique_ptr<SeenSet> MakeSeenSet();

  virtual void Sync() = 0;  // all changes so far survive power loss
};

}  // namespace leat::catalog
