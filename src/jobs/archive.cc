// SPDX-License-Identifier: Apache-2.0
#include "jobs/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

namespace leat::jobs {
namespace {

constexpr size_t kReadBytes = 1u << 20;

struct FreeReader {
  void operator()(archive* a) const { archive_read_free(a); }
};
struct FreeWriter {
  void operator()(archive* a) const { archive_write_free(a); }
};
struct FreeEntry {
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};

tl::unexpected<Error> Broken(archive* a, const std::string& path) {
  const char* text = archive_error_string(a);
  return Fail(ErrorCode::kInvalidArgument,
              path + " cannot be unpacked: " + EscapeForDisplay(text ? text : "unknown error"));
}

// Whether `name` stays below the directory that it is relative to.
bool StaysInside(const std::string& name) {
  if (name.empty() || name[0] == '/') return false;
  for (const auto& component : Split(name, '/')) {
    if (component == "..") return false;
  }
  return true;
}

Status CheckEntry(archive_entry* entry, const std::string& archive_path) {
  const char* name = archive_entry_pathname(entry);
  const auto refuse = [&](const std::string& why) {
    return Fail(ErrorCode::kInvalidArgument,
                archive_path + ": the entry '" + EscapeForDisplay(name ? name : "") + "' " + why);
  };
  if (!name || !StaysInside(name)) return refuse("would be written outside the code directory");
  if (const char* target = archive_entry_hardlink(entry)) {
    if (!StaysInside(target)) return refuse("is a link out of the code directory");
    return {};
  }
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
    case AE_IFDIR:
      return {};
    case AE_IFLNK: {
      const std::string target = archive_entry_symlink(entry) ? archive_entry_symlink(entry) : "";
      // Depth of the link's directory, less the ".." of its target, must stay at or above zero.
      int depth = -1;
      for (const auto& component : Split(name, '/')) depth += component.empty() || component == "." ? 0 : 1;
      bool inside = !target.empty() && target[0] != '/';
      for (const auto& component : Split(target, '/')) {
        depth += component == ".." ? -1 : component.empty() || component == "." ? 0 : 1;
        inside = inside && depth >= 0;
      }
      if (!inside) return refuse("is a link out of the code directory");
      return {};
    }
    default:
      return refuse("is neither a file, a directory nor a link");
  }
}

Status CopyData(archive* from, archive* to, uint64_t& bytes_left, const std::string& path) {
  const void* data = nullptr;
  size_t size = 0;
  la_int64_t offset = 0;
  for (;;) {
    const int code = archive_read_data_block(from, &data, &size, &offset);
    if (code == ARCHIVE_EOF) return {};
    if (code != ARCHIVE_OK) return Broken(from, path);
    // A sparse entry's holes count, too: they are what a bomb is made of.
    if (static_cast<uint64_t>(offset) + size > bytes_left) {
      return Fail(ErrorCode::kInvalidArgument, path + " unpacks to more than is allowed for code");
    }
    if (archive_write_data_block(to, data, size, offset) != ARCHIVE_OK) return Broken(to, path);
  }
}

}  // namespace

Status ExtractArchive(const std::string& archive_path, const std::string& directory, ExtractLimits limits) {
  std::unique_ptr<archive, FreeReader> reader(archive_read_new());
  std::unique_ptr<archive, FreeWriter> writer(archive_write_disk_new());
  archive_read_support_format_tar(reader.get());
  archive_read_support_filter_all(reader.get());
  archive_write_disk_set_options(writer.get(), ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT);
  // The secure checks look at every component of a name, so the directory itself must be free of links.
  std::error_code error;
  const std::string root = std::filesystem::canonical(directory, error).string();
  if (error) return Fail(ErrorCode::kIo, directory + ": " + error.message());
  if (archive_read_open_filename(reader.get(), archive_path.c_str(), kReadBytes) != ARCHIVE_OK) {
    return Broken(reader.get(), archive_path);
  }
  uint64_t entries = 0, bytes_left = limits.bytes_max;
  for (;;) {
    archive_entry* entry = nullptr;
    const int code = archive_read_next_header(reader.get(), &entry);
    if (code == ARCHIVE_EOF) break;
    if (code != ARCHIVE_OK) return Broken(reader.get(), archive_path);
    if (++entries > limits.entries_max) {
      return Fail(ErrorCode::kInvalidArgument,
                  archive_path + " has more than " + std::to_string(limits.entries_max) + " entries");
    }
    LEAT_RETURN_IF_ERROR(CheckEntry(entry, archive_path));
    const auto size = static_cast<uint64_t>(std::max<la_int64_t>(0, archive_entry_size(entry)));
    if (size > bytes_left)
      return Fail(ErrorCode::kInvalidArgument, archive_path + " unpacks to more than is allowed for code");
    const std::string name = archive_entry_pathname(entry);
    archive_entry_set_pathname(entry, (root + "/" + name).c_str());
    if (const char* target = archive_entry_hardlink(entry)) {
      archive_entry_set_hardlink(entry, (root + "/" + target).c_str());
    }
    archive_entry_set_perm(entry, (archive_entry_perm(entry) & 0777) | 0600);
    if (archive_entry_filetype(entry) == AE_IFDIR) archive_entry_set_perm(entry, archive_entry_perm(entry) | 0700);
    if (archive_write_header(writer.get(), entry) != ARCHIVE_OK) return Broken(writer.get(), archive_path);
    LEAT_RETURN_IF_ERROR(CopyData(reader.get(), writer.get(), bytes_left, archive_path));
    if (archive_write_finish_entry(writer.get()) != ARCHIVE_OK) return Broken(writer.get(), archive_path);
    bytes_left -= size;
  }
  if (entries == 0) return Fail(ErrorCode::kInvalidArgument, archive_path + " is an empty archive");
  return {};
}

namespace {

struct SinkState {
  const ByteSink& sink;
  Status status;
};

la_ssize_t GiveToSink(archive* a, void* data, const void* buffer, size_t length) {
  auto* state = static_cast<SinkState*>(data);
  state->status = state->sink({static_cast<const std::byte*>(buffer), length});
  if (state->status) return static_cast<la_ssize_t>(length);
  archive_set_error(a, EIO, "%s", state->status.error().message.c_str());
  return -1;
}

Status AddFile(archive* writer, const std::string& path, const std::string& name) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return FailErrno(errno, path);
  if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode) && !S_ISLNK(info.st_mode)) return {};  // sockets and their kin
  std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
  FileDescriptor file;
  if (S_ISREG(info.st_mode)) {
    file = FileDescriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file.valid() || fstat(file.get(), &info) != 0) return FailErrno(errno, path);
  }
  archive_entry_copy_stat(entry.get(), &info);
  archive_entry_set_pathname(entry.get(), name.c_str());
  if (S_ISLNK(info.st_mode)) {
    std::error_code error;
    archive_entry_set_symlink(entry.get(), std::filesystem::read_symlink(path, error).c_str());
  }
  if (archive_write_header(writer, entry.get()) < ARCHIVE_WARN) {
    return Fail(ErrorCode::kIo, path + ": " + archive_error_string(writer));
  }
  std::vector<char> buffer(S_ISREG(info.st_mode) ? kReadBytes : 0);
  for (auto left = static_cast<uint64_t>(info.st_size); file.valid() && left > 0;) {
    const ssize_t got = read(file.get(), buffer.data(), std::min<uint64_t>(buffer.size(), left));
    if (got < 0) return FailErrno(errno, path);
    if (got == 0) return Fail(ErrorCode::kIo, path + " became shorter while it was being archived");
    if (archive_write_data(writer, buffer.data(), static_cast<size_t>(got)) != got) {
      return Fail(ErrorCode::kIo, path + ": " + archive_error_string(writer));
    }
    left -= static_cast<uint64_t>(got);
  }
  return {};
}

}  // namespace

Status WriteArchive(const std::string& directory, const ByteSink& sink) {
  namespace fs = std::filesystem;
  std::vector<std::string> names;
  std::error_code error;
  for (fs::recursive_directory_iterator i(directory, error), end; !error && i != end; i.increment(error)) {
    names.push_back(i->path().lexically_relative(directory).string());
  }
  if (error) return Fail(ErrorCode::kIo, directory + ": " + error.message());
  std::sort(names.begin(), names.end());
  SinkState state{sink, {}};
  std::unique_ptr<archive, FreeWriter> writer(archive_write_new());
  archive_write_add_filter_gzip(writer.get());
  archive_write_set_format_pax_restricted(writer.get());
  archive_write_set_bytes_in_last_block(writer.get(), 1);
  if (archive_write_open(writer.get(), &state, nullptr, GiveToSink, nullptr) != ARCHIVE_OK) {
    return Fail(ErrorCode::kIo, archive_error_string(writer.get()));
  }
  for (const auto& name : names) {
    const Status status = AddFile(writer.get(), directory + "/" + name, name);
    if (!status) {
      archive_write_fail(writer.get());
      return state.status ? status : state.status;
    }
  }
  if (archive_write_close(writer.get()) != ARCHIVE_OK) {
    if (!state.status) return state.status;
    return Fail(ErrorCode::kIo, archive_error_string(writer.get()));
  }
  return {};
}

}  // namespace leat::jobs
