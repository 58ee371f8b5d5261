// SPDX-License-Identifier: Apache-2.0
// What the command line decides without a daemon: names and ids, settings, paths on mounts, and what it prints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "base/text.h"
#include "cli/daemon.h"
#include "cli/mount_registry.h"
#include "cli/state_directory.h"
#include "cli/state_text.h"
#include "cli/status_text.h"

namespace leat::cli {
namespace {

using Json = nlohmann::json;

RepositoryUrl S3(const std::string& bucket, const std::string& prefix) {
  RepositoryUrl url;
  url.bucket = bucket;
  url.prefix = prefix;
  return url;
}

class StateDirectoryTest : public testing::Test {
 protected:
  StateDirectoryTest() {
    char path[] = "/tmp/leat-state-XXXXXX";
    paths_ = std::make_unique<StatePaths>(mkdtemp(path));
  }
  ~StateDirectoryTest() override { std::filesystem::remove_all(paths_->root); }
  std::unique_ptr<StatePaths> paths_;
};

TEST(NameTest, DefaultNamesAreReadable) {
  EXPECT_EQ(DefaultName(S3("my-bucket", ""), "aws"), "my-bucket");
  EXPECT_EQ(DefaultName(S3("my-bucket", "imagenet/train/"), "aws"), "my-bucket-imagenet-train");
  RepositoryUrl directory;
  directory.kind = RepositoryUrl::Kind::kDirectory;
  directory.path = "/srv/corpus";
  EXPECT_EQ(DefaultName(directory, "directory"), "corpus");
  directory.path = "/";
  EXPECT_TRUE(CheckName(DefaultName(directory, "directory")));
}

TEST(NameTest, DefaultNamesAlwaysPassTheirOwnCheckAndLossyOnesDiffer) {
  const std::string long_prefix(300, 'x');
  std::set<std::string> names;
  for (const auto& prefix : {long_prefix + "1/", long_prefix + "2/", std::string("A B/"), std::string("a b/"),
                             std::string("\xff/"), std::string("\xc3\xa9/"), std::string("---/")}) {
    const std::string name = DefaultName(S3("bkt", prefix), "aws");
    EXPECT_TRUE(CheckName(name)) << name;
    EXPECT_TRUE(names.insert(name).second) << name;
  }
}

TEST(NameTest, NamesThatCouldBePathsAreRefused) {
  for (const char* name : {"", ".", "..", "../x", "a/b", "-rf", "a b", "\n"}) EXPECT_FALSE(CheckName(name)) << name;
  EXPECT_FALSE(CheckName(std::string(49, 'a')));
  EXPECT_TRUE(CheckName(std::string(48, 'a')));
}

TEST(NameTest, IdsAreFsAndSeventeenHexDigitsAndDiffer) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    const std::string id = NewFileSystemId();
    EXPECT_THAT(id, testing::MatchesRegex("fs-[0-9a-f]+"));
    EXPECT_EQ(id.size(), 20u);
    EXPECT_TRUE(ids.insert(id).second);
  }
}

TEST_F(StateDirectoryTest, AFileSystemIsFoundAgainUnderItsIdAfterARestart) {
  auto first = ResolveFileSystem({}, S3("b", "p/"), "aws", "");
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->is_new);
  first->settings.dataset = DatasetId{7};
  ASSERT_TRUE(SaveFileSystem(*paths_, first->settings));
  const auto known = LoadFileSystems(*paths_);
  ASSERT_EQ(known.size(), 1u);
  const auto again = ResolveFileSystem(known, S3("b", "p/"), "aws", "");
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->is_new);
  EXPECT_EQ(again->settings.id, first->settings.id);
  EXPECT_EQ(Value(again->settings.dataset), 7u);
}

TEST_F(StateDirectoryTest, AnotherEndpointOrNameIsAnotherFileSystem) {
  const auto first = ResolveFileSystem({}, S3("b", ""), "aws", "");
  ASSERT_TRUE(first);
  const auto elsewhere = ResolveFileSystem({first->settings}, S3("b", ""), "http://127.0.0.1:9000", "");
  ASSERT_TRUE(elsewhere);
  EXPECT_TRUE(elsewhere->is_new);
  EXPECT_NE(elsewhere->settings.name, first->settings.name);
  const auto again =
      ResolveFileSystem({first->settings, elsewhere->settings}, S3("b", ""), "http://127.0.0.1:9000", "");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->settings.id, elsewhere->settings.id);
  const auto named = ResolveFileSystem({first->settings}, S3("b", ""), "aws", "second");
  ASSERT_TRUE(named);
  EXPECT_TRUE(named->is_new);
}

TEST_F(StateDirectoryTest, ANameThatIsTakenIsRefusedWithItsOwner) {
  const auto first = ResolveFileSystem({}, S3("one", ""), "aws", "data");
  ASSERT_TRUE(first);
  const auto second = ResolveFileSystem({first->settings}, S3("two", ""), "aws", "data");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kExists);
  EXPECT_THAT(second.error().message, testing::HasSubstr(first->settings.id));
  EXPECT_THAT(second.error().message, testing::HasSubstr("s3://one"));
}

TEST_F(StateDirectoryTest, DamagedSettingsOfOneFileSystemDoNotHideTheOthers) {
  auto good = ResolveFileSystem({}, S3("good", ""), "aws", "");
  ASSERT_TRUE(good);
  ASSERT_TRUE(SaveFileSystem(*paths_, good->settings));
  for (const char* text : {"", "{", "[]", "{\"id\":5}", "{\"id\":\"fs-bad\",\"name\":[],\"repository\":1}"}) {
    ASSERT_TRUE(CreateDirectories(paths_->FileSystem("fs-bad"), 0700));
    ASSERT_TRUE(WriteFileAtomically(paths_->FileSystem("fs-bad") + "/settings.json", text, 0600, false));
    ASSERT_EQ(LoadFileSystems(*paths_).size(), 1u) << text;
  }
}

TEST_F(StateDirectoryTest, TheCapacityIsRememberedAndMayChange) {
  EXPECT_EQ(*SettleCapacity(*paths_, 100u << 20), 100u << 20);
  EXPECT_EQ(*SettleCapacity(*paths_, std::nullopt), 100u << 20);
  EXPECT_EQ(*SettleCapacity(*paths_, 200u << 20), 200u << 20);
  EXPECT_EQ(*SettleCapacity(*paths_, std::nullopt), 200u << 20);
}

TEST_F(StateDirectoryTest, TheMemoryIsRememberedOnlyWhenItWasAskedFor) {
  constexpr uint64_t kMiB = 1u << 20, kUsable = 1024 * kMiB;
  ASSERT_TRUE(SettleCapacity(*paths_, 1u << 20));
  EXPECT_EQ(*SettleMemory(*paths_, std::nullopt, kUsable), 128 * kMiB);
  EXPECT_EQ(*SettleMemory(*paths_, std::nullopt, 2 * kUsable), 256 * kMiB);  // another machine, another default
  EXPECT_EQ(*SettleMemory(*paths_, 100 * kMiB, kUsable), 100 * kMiB);
  ASSERT_TRUE(SettleCapacity(*paths_, 2u << 20));
  EXPECT_EQ(*SettleMemory(*paths_, std::nullopt, kUsable), 100 * kMiB);
  EXPECT_EQ(*SettleMemory(*paths_, std::nullopt, 90 * kMiB), 64 * kMiB);  // what was set does not fit here
}

TEST_F(StateDirectoryTest, TooLittleAndTooMuchMemoryAreRefused) {
  constexpr uint64_t kMiB = 1u << 20;
  ASSERT_TRUE(SettleCapacity(*paths_, 1u << 20));
  const auto little = SettleMemory(*paths_, 63 * kMiB, 1024 * kMiB);
  ASSERT_FALSE(little);
  EXPECT_THAT(little.error().message, testing::HasSubstr("--memory 63.0 MiB is too little"));
  const auto much = SettleMemory(*paths_, 2048 * kMiB, 1024 * kMiB);
  ASSERT_FALSE(much);
  EXPECT_THAT(much.error().message, testing::HasSubstr("(" + FormatBytes(1024 * kMiB) + ")"));
  EXPECT_EQ(*SettleMemory(*paths_, std::nullopt, 1024 * kMiB), 128 * kMiB);  // nothing of it was stored
}

TEST_F(StateDirectoryTest, ACapacityLargerThanTheDiskNamesBoth) {
  const auto result = SettleCapacity(*paths_, uint64_t{1} << 60);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, testing::HasSubstr(FormatBytes(uint64_t{1} << 60)));
  EXPECT_THAT(result.error().message, testing::HasSubstr("holds"));
}

TEST_F(StateDirectoryTest, ALostCounterNeverGivesADatasetNumberTwice) {
  auto resolved = ResolveFileSystem({}, S3("b", ""), "aws", "");
  resolved->settings.dataset = DatasetId{41};
  ASSERT_TRUE(SaveFileSystem(*paths_, resolved->settings));
  ASSERT_TRUE(SettleCapacity(*paths_, 1u << 20));
  EXPECT_EQ(LoadDaemonSettings(*paths_)->next_dataset, 42u);
}

TEST(PathTest, OnlyOurMountsAreFoundInMountinfo) {
  const std::string text =
      "22 1 0:20 / / rw - ext4 /dev/sda rw\n"
      "40 22 0:50 / /mnt/with\\040space rw,nosuid shared:5 - fuse leat#data ro,user_id=0\n"
      "41 22 0:51 / /mnt/other rw - fuse.sshfs host:/ rw\n"
      "42 22 0:52 / /mnt/nooptional rw - fuse.leat leat\\043x ro\n"
      "broken\n";
  EXPECT_THAT(LeatMountpoints(text), testing::ElementsAre("/mnt/with space", "/mnt/nooptional"));
}

TEST(PathTest, TheUserOfAMountIsToldFromMountinfo) {
  const std::string text =
      "40 22 0:50 / /mnt/a\\040b rw,nosuid shared:5 - fuse.leat leat#data ro,user_id=1000,group_id=0\n"
      "41 22 0:51 / /mnt/c rw - fuse.leat leat#x ro,user_id=0\n"
      "41 22 0:51 / /mnt/d rw - fuse.leat leat#x\n";
  EXPECT_EQ(UserOfMount(text, "/mnt/a b"), 1000u);
  EXPECT_EQ(UserOfMount(text, "/mnt/c"), 0u);
  EXPECT_EQ(UserOfMount(text, "/mnt/d"), std::nullopt);
  EXPECT_EQ(UserOfMount(text, "/mnt"), std::nullopt);
}

TEST_F(StateDirectoryTest, TheRegistryOfMountsIsReadableWhateverTheUmask) {
  const std::string directory = paths_->root + "/leat/mounts";
  const mode_t before = umask(077);
  const Status registered = RegisterMountIn(directory, {"/mnt/\xff", "fs-1", "/state"});
  umask(before);
  ASSERT_TRUE(registered) << registered.error().message;
  const auto mode = [](const std::string& path) {
    struct stat status {};
    return stat(path.c_str(), &status) == 0 ? status.st_mode & 0777 : 0;
  };
  EXPECT_EQ(mode(paths_->root + "/leat"), 0755u);
  EXPECT_EQ(mode(directory), 0755u);
  EXPECT_EQ(mode(std::filesystem::directory_iterator(directory)->path()), 0644u);
}

// A daemon in this process, which serves nothing yet.
TEST_F(StateDirectoryTest, AStateDirectoryThatOthersMayWriteIsRefused) {
  const mode_t before = umask(0);  // the daemon sets its own
  for (const mode_t mode : {0720, 0702}) {
    ASSERT_EQ(chmod(paths_->root.c_str(), mode), 0);
    const auto daemon = Daemon::Start({.state_directory = paths_->root, .capacity_bytes = 1u << 20});
    ASSERT_FALSE(daemon);
    EXPECT_EQ(daemon.error().code, ErrorCode::kDenied);
    EXPECT_THAT(daemon.error().message, testing::HasSubstr("chmod go-w " + paths_->root));
  }
  umask(before);
}

TEST(PathTest, AbsolutePathsLoseDotsAndDoubleSlashes) {
  EXPECT_EQ(*AbsolutePath("/a//b/./c/../d/"), "/a/b/d");
  EXPECT_EQ(*AbsolutePath("/.."), "/");
  EXPECT_EQ(*AbsolutePath("x"), std::filesystem::current_path().string() + "/x");
  EXPECT_FALSE(AbsolutePath(""));
}

TEST(PathTest, APathElsewhereIsNotOnLeat) {
  const auto located = LocatePath("/proc/self");
  ASSERT_FALSE(located);
  EXPECT_EQ(located.error().message, "/proc/self is not on a Leat file system (leat status lists them)");
}

TEST(StateTextTest, IsWhatLfsPrintsAndTheCoverage) {
  Json state = {{"exists", true}, {"archived", true}, {"released", true}, {"restored_percent", 37.9}};
  EXPECT_EQ(RenderState("F", state), "F: (0x0000000d) released exists archived, archive_id:1, 37 % restored");
  state["released"] = false;
  state["restored_percent"] = 100.0;
  EXPECT_EQ(RenderState("F", state), "F: (0x00000009) exists archived, archive_id:1, 100 % restored");
  state["dirty"] = true;
  EXPECT_EQ(RenderState("F", state), "F: (0x0000000b) exists dirty archived, archive_id:1, 100 % restored");
  EXPECT_EQ(RenderState("D", {{"directory", true}, {"exists", true}, {"restored_percent", 99.99}}),
            "D: (0x00000000), 99 % restored");
}

Json LargeStatus() {
  const uint64_t huge = uint64_t{1} << 62;
  return {{"daemon",
           {{"pid", 4194303},
            {"version", "0.1.0"},
            {"state_directory", "/" + std::string(200, 's')},
            {"uptime_s", 100000000},
            {"memory_bytes", huge},
            {"memory_budget_bytes", huge},
            {"memory", {{"data", {{"used_bytes", huge / 2}}}, {"databases", {{"used_bytes", huge / 4}}}}}}},
          {"capacity", {{"total_bytes", huge}, {"used_bytes", huge - 1}, {"free_bytes", 1}}},
          {"file_systems",
           {{{"id", "fs-0123456789abcdef0"},
             {"name", std::string(48, 'n')},
             {"repository", "s3://bucket/" + std::string(500, 'p')},
             {"mountpoint", "/mnt/\x1b[31m" + std::string(300, 'm')},
             {"managed", true},
             {"files", huge},
             {"directories", huge},
             {"bytes", huge},
             {"import", {{"state", "running"}, {"objects", huge}}},
             {"restored", {{"files", huge}, {"bytes", huge}}},
             {"fetching", {{"files", huge}, {"bytes", huge}}},
             {"queued", huge},
             {"hedges", {{"sent", huge}, {"won", huge}}},
             {"requests", {{"s3.get", huge}, {"s3.list", huge}}},
             {"s3",
              {{"bytes_received", huge},
               {"errors", huge},
               {"retries", huge},
               {"requests_per_s", 1e15},
               {"bytes_per_s", 1e15}}},
             {"reads", {{"count", huge}, {"bytes", huge}, {"hits", huge}, {"errors", huge}}}}}}};
}

TEST(StatusTextTest, NeverExceedsEightyColumnsNorPassesEscapesOn) {
  const std::string text = RenderStatus(LargeStatus());
  for (const std::string& line : Split(text, '\n')) EXPECT_LE(line.size(), 80u) << line;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_THAT(text, testing::HasSubstr("fs-0123456789abcdef0"));
}

TEST(StatusTextTest, MembersThatAreMissingOrOfAnotherTypeDoNoHarm) {
  EXPECT_THAT(RenderStatus(Json::object()), testing::HasSubstr("no file system is mounted"));
  EXPECT_THAT(RenderStatus({{"daemon", nullptr}, {"file_systems", {{{"files", "many"}, {"managed", 3}}}}}),
              testing::HasSubstr("contents    0 files"));
}

TEST(StatusTextTest, TheMemoryInUseIsTheSumOfItsParts) {
  const Json part = {{"used_bytes", 8u << 20}, {"limit_bytes", 32u << 20}};
  const Json daemon = {{"memory_budget_bytes", 64u << 20}, {"memory", {{"data", part}, {"inodes", part}, {"odd", 5}}}};
  EXPECT_THAT(RenderStatus({{"daemon", daemon}}), testing::HasSubstr("\nmemory  16.0 MiB of 64.0 MiB budget (25 %)\n"));
  EXPECT_THAT(RenderStatus({{"daemon", {{"pid", 1}}}}), testing::Not(testing::HasSubstr("budget")));
}

TEST(StatusTextTest, PercentagesAreRoundedDown) {
  Json status = LargeStatus();
  auto& fs = status["file_systems"][0];
  fs["bytes"] = 1000;
  fs["restored"]["bytes"] = 999;
  EXPECT_THAT(RenderStatus(status), testing::HasSubstr("(99 %)"));
}

TEST(StatusTextTest, OneIsNotManyAndDeadMountsAreShownWithTheirRemedy) {
  Json status = LargeStatus();
  auto& fs = status["file_systems"][0];
  fs["files"] = 1;
  fs["requests"]["s3.get"] = 1;
  status["dead_mounts"] = {{{"mountpoint", "/mnt/dead"}, {"file_system", "fs-1"}}};
  const std::string text = RenderStatus(status);
  EXPECT_THAT(text, testing::HasSubstr("1 file,"));
  EXPECT_THAT(text, testing::HasSubstr("1 GET,"));
  EXPECT_THAT(text, testing::HasSubstr("/mnt/dead is dead\n  its daemon is gone: leat unmount it"));
  EXPECT_EQ(Counted(1, "directory", "directories"), "1 directory");
  EXPECT_EQ(Counted(0, "directory", "directories"), "0 directories");
}

TEST(StatusTextTest, CountsStayShort) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(9999), "9999");
  EXPECT_EQ(FormatCount(12'345), "12.3 k");
  EXPECT_EQ(FormatCount(999'999), "1.0 M");
  EXPECT_EQ(FormatCount(123'456'789), "123 M");
}

}  // namespace
}  // namespace leat::cli
