// SPDX-License-Identifier: Apache-2.0
#include "fuse/requests.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fs/ops/getattr.h"
#include "fs/ops/lookup.h"
#include "fs/ops/read.h"
#include "fs/ops/readdir.h"
#include "fs/ops/readlink.h"
#include "fs/ops/statfs.h"
#include "fs/ops/xattr.h"
#include "fuse/errno.h"
#include "fuse/read_buffer.h"

namespace leat::fuse {
namespace {

// Changes are pushed to the kernel, so what it knows stays good; a day bounds what a lost notice could do.
constexpr double kTimeoutSeconds = 86400;
constexpr size_t kNameBytesMax = 255;
constexpr unsigned kMaxBackground = 512;  // the kernel's default, 12, lets slow cold reads hold up warm ones
constexpr unsigned kCongestionThreshold = 384;
constexpr size_t kBlockBytes = 4096;

Server& Begin(fuse_req_t request) {
  Server& server = *static_cast<Server*>(fuse_req_userdata(request));
  fs::CountKernelRequest(*server.file_system);
  return server;
}

void ReplyError(fuse_req_t request, const Error& error) { fuse_reply_err(request, ErrnoOf(error.code)); }

timespec TimeOf(int64_t epoch_ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  int64_t seconds = epoch_ns / kSecond, rest = epoch_ns % kSecond;
  if (rest < 0) {
    --seconds;
    rest += kSecond;
  }
  return {.tv_sec = static_cast<time_t>(seconds), .tv_nsec = static_cast<long>(rest)};
}

struct stat StatOf(const fs::Attributes& attributes) {
  struct stat result {};
  result.st_ino = Value(attributes.id);
  mode_t type = S_IFREG;
  if (attributes.type == catalog::FileType::kDirectory) type = S_IFDIR;
  if (attributes.type == catalog::FileType::kSymlink) type = S_IFLNK;
  result.st_mode = type | attributes.permissions;
  result.st_nlink = attributes.links;
  result.st_uid = attributes.uid;
  result.st_gid = attributes.gid;
  result.st_size = static_cast<off_t>(attributes.size_bytes);
  result.st_blocks = static_cast<blkcnt_t>(attributes.blocks_512);
  result.st_blksize = kBlockBytes;
  result.st_mtim = TimeOf(attributes.mtime_ns);
  result.st_ctim = TimeOf(attributes.ctime_ns);
  result.st_atim = TimeOf(attributes.atime_ns);
  return result;
}

fuse_entry_param EntryOf(const fs::Attributes& attributes) {
  fuse_entry_param entry{};
  entry.ino = Value(attributes.id);
  entry.generation = 1;  // inode numbers are never used again
  entry.attr = StatOf(attributes);
  entry.attr_timeout = entry.entry_timeout = kTimeoutSeconds;
  return entry;
}

void Init(void* userdata, fuse_conn_info* connection) {
  Server& server = *static_cast<Server*>(userdata);
  const unsigned offered = connection->capable;
  const unsigned unwanted = FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_READDIRPLUS_AUTO |
                            FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                            FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_IOCTL_DIR |
                            FUSE_CAP_ASYNC_DIO;  // it makes a direct read wait where no signal reaches it
  const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
                          FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_NO_OPEN_SUPPORT |
                          FUSE_CAP_NO_OPENDIR_SUPPORT;
  connection->want = (connection->want & ~unwanted) | (offered & wanted);
  server.no_open = (offered & FUSE_CAP_NO_OPEN_SUPPORT) != 0;
  server.no_opendir = (offered & FUSE_CAP_NO_OPENDIR_SUPPORT) != 0;
  server.parallel_directories = (offered & FUSE_CAP_PARALLEL_DIROPS) != 0;
  connection->max_background = kMaxBackground;
  connection->congestion_threshold = kCongestionThreshold;
  connection->max_write = kReadBytesMax;  // libfuse derives max_pages, the bound of a READ too, from it
  connection->time_gran = 1;
}

void ReplyLookUp(fuse_req_t request, const Result<fs::LookUpAnswer>& answer) {
  if (!answer) return ReplyError(request, answer.error());
  if (answer->attributes) {
    const fuse_entry_param entry = EntryOf(*answer->attributes);
    fuse_reply_entry(request, &entry);
    return;
  }
  fuse_entry_param absent{};  // inode 0: a negative entry, kept as long
  absent.entry_timeout = kTimeoutSeconds;
  fuse_reply_entry(request, &absent);
}

// A request that waits for names of `directory`.
std::shared_ptr<PendingRequest> RegisterHolding(Server& server, fuse_req_t request, InodeId directory) {
  server.notifier->Hold(directory);
  return server.pending.Register(request, [notifier = server.notifier, directory] { notifier->Unhold(directory); });
}

void LookUp(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Server& server = Begin(request);
  if (std::strlen(name) > kNameBytesMax) return void(fuse_reply_err(request, ENAMETOOLONG));
  fs::FileSystem& file_system = *server.file_system;
  const InodeId directory{parent};
  const std::string wanted(name);  // libfuse's buffer goes with this call
  if (const auto answer = fs::LookUpNow(file_system, directory, wanted)) {
    ReplyLookUp(request, *answer);
    if (*answer) fs::LookUpAnswered(file_system, directory, wanted, **answer);
    return;
  }
  const auto pending = RegisterHolding(server, request, directory);
  fs::LookUp(file_system, directory, wanted,
             [pending, &file_system, directory, wanted](Result<fs::LookUpAnswer> answer) {
               const bool answered = pending->Answer([&](fuse_req_t waiting) { ReplyLookUp(waiting, answer); });
               if (answered && answer) fs::LookUpAnswered(file_system, directory, wanted, *answer);
             });
}

void GetAttributes(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
  Server& server = Begin(request);
  const auto answer = fs::GetAttributes(*server.file_system, InodeId{inode});
  if (!answer) return ReplyError(request, answer.error());
  const struct stat attributes = StatOf(answer->attributes);
  fuse_reply_attr(request, &attributes, kTimeoutSeconds);
  fs::AttributesAnswered(*server.file_system, InodeId{inode}, answer->mark);
}

void ReadLink(fuse_req_t request, fuse_ino_t inode) {
  const auto target = fs::ReadLink(*Begin(request).file_system, InodeId{inode});
  if (!target) return ReplyError(request, target.error());
  fuse_reply_readlink(request, target->c_str());
}

// ENOSYS lets the kernel open and close by itself from then on: a warm open, read and close sends no message at all.
void Open(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  Server& server = Begin(request);
  if ((file->flags & O_ACCMODE) != O_RDONLY) return void(fuse_reply_err(request, EROFS));
  if (server.no_open) return void(fuse_reply_err(request, ENOSYS));
  file->keep_cache = 1;
  fuse_reply_open(request, file);
}

void OpenDirectory(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  Server& server = Begin(request);
  if (server.no_opendir) return void(fuse_reply_err(request, ENOSYS));
  file->keep_cache = file->cache_readdir = 1;
  fuse_reply_open(request, file);
}

void Read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, fuse_file_info*) {
  Server& server = Begin(request);
  const ReadBuffer buffer;
  const auto out = buffer.First(size);
  const auto at = static_cast<uint64_t>(offset);
  const int reader = fuse_req_ctx(request)->pid;  // the thread's number
  if (const auto answer = fs::ReadNow(*server.file_system, InodeId{inode}, at, out, reader)) {
    if (!*answer) return ReplyError(request, answer->error());
    fuse_reply_buf(request, reinterpret_cast<const char*>(out.data()), **answer);
    return;
  }
  const auto wait = fs::BeginWait(*server.file_system, reader);
  std::function<void()> when_answered;
  if (wait) when_answered = [wait] { wait->End(); };
  const auto pending = server.pending.Register(request, std::move(when_answered));
  fs::Read(*server.file_system, InodeId{inode}, at, out.size(), [pending, wait](Result<hydrate::DataSlice> slice) {
    pending->Answer([&](fuse_req_t waiting) {
      if (!slice) return ReplyError(waiting, slice.error());
      if (wait) wait->OnAnswered(slice->bytes.size(), slice->was_held);
      fuse_reply_buf(waiting, reinterpret_cast<const char*>(slice->bytes.data()), slice->bytes.size());
    });
  });
}

// As many entries as fit into `size` bytes.
void ReplyDirectory(fuse_req_t request, fs::FileSystem& file_system, InodeId directory, size_t size, uint64_t cookie,
                    bool with_attributes) {
  const uint64_t mark = fs::DirectoryMark(file_system, directory);
  std::vector<char> buffer(size);
  size_t used = 0;
  std::vector<std::pair<InodeId, uint64_t>> sent;  // with attributes, and their marks
  const auto add = [&](const std::string& name, const fs::DirectoryEntryAnswer& entry) {
    fuse_entry_param parameters = EntryOf(entry.attributes);
    const bool dots = entry.cookie == fs::kDotCookie || entry.cookie == fs::kDotDotCookie;
    if (dots) parameters.ino = 0;  // the kernel takes no reference on these
    const auto next = static_cast<off_t>(entry.cookie);
    // Before the kernel can know it, so that no change goes untold.
    if (with_attributes && !dots) fs::EntryWithAttributesSent(file_system, entry.attributes.id);
    const size_t needed =
        with_attributes
            ? fuse_add_direntry_plus(request, buffer.data() + used, size - used, name.c_str(), &parameters, next)
            : fuse_add_direntry(request, buffer.data() + used, size - used, name.c_str(), &parameters.attr, next);
    if (needed > size - used) return false;
    used += needed;
    if (with_attributes && !dots) sent.emplace_back(entry.attributes.id, entry.attributes_mark);
    return true;
  };
  if (const Status read = fs::ReadDirectory(file_system, directory, cookie, add); !read)
    return ReplyError(request, read.error());
  fuse_reply_buf(request, buffer.data(), used);
  fs::DirectoryAnswered(file_system, directory, mark);
  for (const auto& [inode, attributes_mark] : sent) fs::AttributesAnswered(file_system, inode, attributes_mark);
}

void ReadDirectoryOf(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, bool with_attributes) {
  Server& server = Begin(request);
  fs::FileSystem& file_system = *server.file_system;
  const InodeId directory{inode};
  const auto cookie = static_cast<uint64_t>(offset);
  size = std::min(size, kReadBytesMax);
  const auto listed = fs::DirectoryIsListed(file_system, directory);
  if (!listed) return ReplyError(request, listed.error());
  if (*listed) return ReplyDirectory(request, file_system, directory, size, cookie, with_attributes);
  const auto pending = RegisterHolding(server, request, directory);
  fs::ListDirectory(file_system, directory,
                    [pending, &file_system, directory, size, cookie, with_attributes](Status status) {
                      pending->Answer([&](fuse_req_t waiting) {
                        if (!status) return ReplyError(waiting, status.error());
                        ReplyDirectory(waiting, file_system, directory, size, cookie, with_attributes);
                      });
                    });
}

void ReadDirectory(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, fuse_file_info*) {
  ReadDirectoryOf(request, inode, size, offset, false);
}
void ReadDirectoryPlus(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, fuse_file_info*) {
  ReadDirectoryOf(request, inode, size, offset, true);
}

void ReplyAttribute(fuse_req_t request, size_t size, const std::string& value) {
  if (size == 0) return void(fuse_reply_xattr(request, value.size()));
  if (size < value.size()) return void(fuse_reply_err(request, ERANGE));
  fuse_reply_buf(request, value.data(), value.size());
}

void ReplyAttribute(fuse_req_t request, size_t size, const Result<std::string>& value) {
  if (value) return ReplyAttribute(request, size, *value);
  fuse_reply_err(request, value.error().code == ErrorCode::kNotFound ? ENODATA : ErrnoOf(value.error().code));
}

void GetExtended(fuse_req_t request, fuse_ino_t inode, const char* name, size_t size) {
  Server& server = Begin(request);
  if (const auto value = fs::GetAttributeNow(*server.file_system, InodeId{inode}, name)) {
    return ReplyAttribute(request, size, *value);
  }
  const auto pending = server.pending.Register(request);
  fs::GetAttribute(*server.file_system, InodeId{inode}, name, [pending, size](Result<std::string> value) {
    pending->Answer([&](fuse_req_t waiting) { ReplyAttribute(waiting, size, value); });
  });
}

void ListExtended(fuse_req_t request, fuse_ino_t inode, size_t size) {
  const auto names = fs::ListAttributes(*Begin(request).file_system, InodeId{inode});
  if (!names) return ReplyError(request, names.error());
  std::string list;
  for (const std::string& name : *names) list.append(name).push_back('\0');
  ReplyAttribute(request, size, list);
}

void StatFileSystem(fuse_req_t request, fuse_ino_t) {
  const fs::Totals totals = fs::FileSystemTotals(*Begin(request).file_system);
  struct statvfs answer {};
  answer.f_bsize = answer.f_frsize = kBlockBytes;
  answer.f_blocks = (totals.bytes + kBlockBytes - 1) / kBlockBytes;
  answer.f_files = totals.inodes;
  answer.f_namemax = kNameBytesMax;
  fuse_reply_statfs(request, &answer);
}

// Python's open() asks each file whether it is a terminal, and the kernel sends that on every time.
void Control(fuse_req_t request, fuse_ino_t, unsigned, void*, fuse_file_info*, unsigned, const void*, size_t, size_t) {
  Begin(request);
  fuse_reply_err(request, ENOTTY);
}

}  // namespace

const fuse_lowlevel_ops& Operations() {
  // No per-inode state is kept here, so FORGET needs no answer of ours; what is absent libfuse answers ENOSYS, which
  // the kernel remembers for FLUSH, ACCESS and the like. Writes never come: the mount is read-only.
  static const fuse_lowlevel_ops operations = [] {
    fuse_lowlevel_ops table{};
    table.init = Init;
    table.lookup = LookUp;
    table.getattr = GetAttributes;
    table.readlink = ReadLink;
    table.open = Open;
    table.read = Read;
    table.opendir = OpenDirectory;
    table.readdir = ReadDirectory;
    table.readdirplus = ReadDirectoryPlus;
    table.getxattr = GetExtended;
    table.listxattr = ListExtended;
    table.statfs = StatFileSystem;
    table.ioctl = Control;
    return table;
  }();
  return operations;
}

}  // namespace leat::fuse
