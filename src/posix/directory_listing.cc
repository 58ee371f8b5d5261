// SPDX-License-Identifier: Apache-2.0
#include "posix/directory_listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "base/log.h"
#include "posix/beneath.h"

namespace leat::posix {
namespace {

constexpr size_t kDepthMax = 256;

struct Entry {
  std::string name;  // a directory's ends with '/', which puts it where its keys belong: "a-b" before "a/x" before "a0"
  bool operator<(const Entry& other) const { return name < other.name; }
};

class Walk {
 public:
  Walk(int root_fd, const env::ListRequest& request)
      : root_fd_(root_fd),
        request_(request),
        after_(request.continuation_token.empty() ? request.start_after : request.continuation_token),
        is_token_(!request.continuation_token.empty()) {}

  Result<env::ListPage> Run() {
    LEAT_ASSIGN_OR_RETURN(FileDescriptor root, OpenBeneath(root_fd_, "", O_RDONLY | O_DIRECTORY));
    LEAT_RETURN_IF_ERROR(Directory(std::move(root), ""));
    return std::move(page_);
  }

 private:
  // Every key that starts with `key` (a directory's) is at or before the place where the page starts.
  bool IsBehind(const std::string& key) const { return !after_.empty() && key < after_ && !after_.starts_with(key); }

  // False when the page is full.
  bool HasRoom(const std::string& last) {
    if (page_.objects.size() + page_.common_prefixes.size() < request_.keys_max) {
      last_ = last;
      return true;
    }
    page_.next_token = last_;
    done_ = true;
    return false;
  }

  Result<std::vector<Entry>> Read(const FileDescriptor& directory) {
    std::vector<Entry> entries;
    const int copy = fcntl(directory.get(), F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return FailErrno(errno, "cannot read a directory of the repository");
    DIR* stream = fdopendir(copy);
    if (stream == nullptr) {
      const int error = errno;
      close(copy);
      return FailErrno(error, "cannot read a directory of the repository");
    }
    const std::unique_ptr<DIR, int (*)(DIR*)> owner(stream, closedir);
    while (true) {
      errno = 0;
      const dirent* entry = readdir(stream);
      if (entry == nullptr) {
        if (errno != 0) return FailErrno(errno, "cannot read a directory of the repository");
        break;
      }
      std::string name = entry->d_name;
      if (name == "." || name == ".." || name.starts_with(kWorkPrefix)) continue;
      bool is_directory = entry->d_type == DT_DIR;
      if (entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN) {
        struct stat attributes;
        is_directory = fstatat(directory.get(), name.c_str(), &attributes, 0) == 0 && S_ISDIR(attributes.st_mode);
      } else if (entry->d_type != DT_REG && entry->d_type != DT_DIR) {
        continue;  // sockets, devices and pipes are no objects
      }
      if (is_directory) name += '/';
      entries.push_back({std::move(name)});
    }
    std::sort(entries.begin(), entries.end());
    return entries;
  }

  Status Directory(FileDescriptor directory, const std::string& key) {
    struct stat self;
    if (fstat(directory.get(), &self) != 0) return FailErrno(errno, "cannot read '" + EscapeForDisplay(key) + "'");
    const std::pair<dev_t, ino_t> identity(self.st_dev, self.st_ino);
    // A symlink to a directory above would never end.
    if (ancestors_.size() >= kDepthMax || std::find(ancestors_.begin(), ancestors_.end(), identity) != ancestors_.end())
      return {};
    LEAT_ASSIGN_OR_RETURN(const std::vector<Entry> entries, Read(directory));
    if (entries.empty() && !key.empty() && key.starts_with(request_.prefix) && (after_.empty() || key > after_)) {
      if (HasRoom(key)) page_.objects.push_back(InfoOf(key, self));
      return {};
    }
    directory.Reset();
    ancestors_.push_back(identity);
    for (const Entry& entry : entries) {
      if (done_) break;
      LEAT_RETURN_IF_ERROR(One(key + entry.name));
    }
    ancestors_.pop_back();
    return {};
  }

  Status One(const std::string& key) {
    const bool inside = key.starts_with(request_.prefix);
    if (key.ends_with('/')) {
      if ((!inside && !request_.prefix.starts_with(key)) || IsBehind(key)) return {};
      const bool folds = inside && request_.delimiter == "/" && key.size() > request_.prefix.size();
      auto directory = OpenBeneath(root_fd_, key.substr(0, key.size() - 1), O_RDONLY | O_DIRECTORY);
      if (!directory && directory.error().code == ErrorCode::kNotFound) return {};  // gone, or a symlink that leads out
      if (!directory) return Fail(directory.error());
      if (!folds) return Directory(std::move(*directory), key);
      if (is_token_ && key <= after_) return {};  // the page before ended with it
      if (HasRoom(key)) page_.common_prefixes.push_back(key);
      return {};
    }
    if (!inside || (!after_.empty() && key <= after_)) return {};
    auto file = OpenBeneath(root_fd_, key, O_PATH);
    if (!file) return {};
    struct stat attributes;
    if (fstat(file->get(), &attributes) != 0 || !S_ISREG(attributes.st_mode)) return {};
    if (HasRoom(key)) page_.objects.push_back(InfoOf(key, attributes));
    return {};
  }

  const int root_fd_;
  const env::ListRequest& request_;
  const std::string after_;
  const bool is_token_;
  env::ListPage page_;
  std::string last_;
  bool done_ = false;
  std::vector<std::pair<dev_t, ino_t>> ancestors_;
};

}  // namespace

Result<env::ListPage> ListDirectory(int root_fd, const env::ListRequest& request) {
  return Walk(root_fd, request).Run();
}

}  // namespace leat::posix
