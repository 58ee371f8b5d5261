// SPDX-License-Identifier: Apache-2.0
#include "jobs/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/file.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;

struct Entry {
  const char* name;
  unsigned type;
  const char* link;
  const char* text;
};

class Archive : public testing::Test {
 protected:
  Archive() {
    char name[] = "/tmp/leat-archive-XXXXXX";
    root_ = mkdtemp(name);
    fs::create_directory(root_ + "/out");
  }
  ~Archive() override { fs::remove_all(root_); }

  std::string Make(const std::vector<Entry>& entries) {
    const std::string path = root_ + "/made.tar.gz";
    archive* writer = archive_write_new();
    archive_write_add_filter_gzip(writer);
    archive_write_set_format_pax_restricted(writer);
    archive_write_open_filename(writer, path.c_str());
    for (const auto& entry : entries) {
      archive_entry* made = archive_entry_new();
      archive_entry_set_pathname(made, entry.name);
      archive_entry_set_perm(made, 0644);
      if (entry.type == 0) {
        archive_entry_set_filetype(made, AE_IFREG);
        archive_entry_set_hardlink(made, entry.link);
      } else {
        archive_entry_set_filetype(made, entry.type);
        if (entry.type == AE_IFLNK) archive_entry_set_symlink(made, entry.link);
      }
      const std::string text = entry.text ? entry.text : "";
      archive_entry_set_size(made, static_cast<la_int64_t>(text.size()));
      archive_write_header(writer, made);
      archive_write_data(writer, text.data(), text.size());
      archive_entry_free(made);
    }
    archive_write_free(writer);
    return path;
  }
  Status Extract(const std::vector<Entry>& entries, ExtractLimits limits = {}) {
    return ExtractArchive(Make(entries), root_ + "/out", limits);
  }
  std::string root_;
};

TEST_F(Archive, RoundTrip) {
  fs::create_directories(root_ + "/in/a/b");
  fs::create_directory(root_ + "/in/empty");
  ASSERT_TRUE(WriteFileAtomically(root_ + "/in/a/b/file", std::string(300000, 'x'), 0755, false));
  fs::create_symlink("a/b/file", root_ + "/in/link");
  std::string bytes;
  ASSERT_TRUE(WriteArchive(root_ + "/in", [&](std::span<const std::byte> piece) -> Status {
    bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    return {};
  }));
  ASSERT_TRUE(WriteFileAtomically(root_ + "/a.tar.gz", bytes, 0644, false));
  ASSERT_TRUE(ExtractArchive(root_ + "/a.tar.gz", root_ + "/out"));
  EXPECT_EQ(ReadFile(root_ + "/out/link").value(), std::string(300000, 'x'));
  EXPECT_TRUE(fs::is_symlink(root_ + "/out/link"));
  EXPECT_TRUE(fs::is_directory(root_ + "/out/empty"));
  EXPECT_NE(fs::status(root_ + "/out/a/b/file").permissions() & fs::perms::owner_exec, fs::perms::none);
}

TEST_F(Archive, ASinkThatFailsEndsTheArchive) {
  ASSERT_TRUE(WriteFileAtomically(root_ + "/out/file", "x", 0644, false));
  const Status status = WriteArchive(
      root_ + "/out", [](std::span<const std::byte>) -> Status { return Fail(ErrorCode::kNoSpace, "full"); });
  EXPECT_EQ(status.error().code, ErrorCode::kNoSpace);
}

TEST_F(Archive, NothingIsWrittenOutside) {
  const std::vector<std::vector<Entry>> hostile = {
      {{"../evil", AE_IFREG, nullptr, "x"}},
      {{"/tmp/leat-evil", AE_IFREG, nullptr, "x"}},
      {{"a/../../evil", AE_IFREG, nullptr, "x"}},
      {{"link", AE_IFLNK, "/etc", nullptr}, {"link/evil", AE_IFREG, nullptr, "x"}},
      {{"link", AE_IFLNK, "..", nullptr}, {"link/evil", AE_IFREG, nullptr, "x"}},
      {{"a/link", AE_IFLNK, "../../evil", nullptr}},
      {{"hard", 0, "../made.tar.gz", nullptr}},
      {{"hard", 0, "/etc/passwd", nullptr}},
      {{"fifo", AE_IFIFO, nullptr, nullptr}},
      {{"device", AE_IFCHR, nullptr, nullptr}},
  };
  for (const auto& entries : hostile) {
    EXPECT_FALSE(Extract(entries)) << entries[0].name;
    EXPECT_FALSE(fs::exists(root_ + "/evil")) << entries[0].name;
  }
  EXPECT_FALSE(fs::exists("/tmp/leat-evil"));
  EXPECT_TRUE(Extract({{"good", AE_IFREG, nullptr, "x"}, {"d/link", AE_IFLNK, "../good", nullptr}}));
}

TEST_F(Archive, Limits) {
  EXPECT_FALSE(Extract({{"a", AE_IFREG, nullptr, "12345"}, {"b", AE_IFREG, nullptr, "12345"}}, {10, 9}));
  EXPECT_FALSE(Extract({{"c", AE_IFREG, nullptr, ""}, {"d", AE_IFREG, nullptr, ""}}, {1, 100}));
  ASSERT_TRUE(WriteFileAtomically(root_ + "/text", "no archive", 0644, false));
  EXPECT_FALSE(ExtractArchive(root_ + "/text", root_ + "/out"));
}

}  // namespace
}  // namespace leat::jobs
