// SPDX-License-Identifier: Apache-2.0
// A FileSystem over a bucket in memory, mounted for real.
#include "fuse/mount.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <future>
#include <iterator>
#include <set>

#include "base/file.h"
#include "env/blocking.h"
#include "sim/file_system_rig.h"

namespace leat::fuse {
namespace {

using fs::PatternBytes;

class MountTest : public testing::Test {
 protected:
  void SetUp() override {
    if (access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "/dev/fuse is not here or not permitted";
    rig_ = std::make_unique<fs::TestingRig>();
    root_ = rig_->directory + "/mnt";
    ASSERT_TRUE(CreateDirectories(root_));
  }
  void TearDown() override {
    mount_.reset();
    rig_.reset();
  }
  void Start() {
    rig_->Open();
    auto mount = Mount::Start({.mountpoint = root_, .source = "leat#test"}, *rig_->file_system);
    if (!mount) GTEST_SKIP() << mount.error().message;
    mount_ = std::move(*mount);
  }
  std::string Path(const std::string& name) const { return root_ + "/" + name; }
  static std::string Slurp(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  uint64_t Requests() const { return rig_->file_system->Statistics().kernel_requests; }
  Status Refresh(const std::string& path) {
    return env::Await<void>([&](auto done) { fs::Import(*rig_->file_system, path, false, std::move(done)); });
  }

  std::unique_ptr<fs::TestingRig> rig_;
  std::string root_;
  std::unique_ptr<Mount> mount_;
};

TEST_F(MountTest, EveryByteIsRightByReadMmapDirectAndRandomPread) {
  const std::string small = PatternBytes(115'003, 1), large = PatternBytes(20'000'123, 2);
  rig_->store->PutObject("a/small", small);
  rig_->store->PutObject("a/large", large);
  rig_->store->PutObject("a/empty", "");
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_EQ(Slurp(Path("a/small")), small);
  EXPECT_EQ(Slurp(Path("a/empty")), "");

  FileDescriptor random_file(open(Path("a/large").c_str(), O_RDONLY));
  ASSERT_TRUE(random_file.valid()) << errno;
  Random random(7);
  for (int i = 0; i < 50; ++i) {
    std::string piece(1 + random.Below(300'000), '\0');
    const uint64_t at = random.Below(large.size() + 1000);
    const ssize_t got = pread(random_file.get(), piece.data(), piece.size(), static_cast<off_t>(at));
    const size_t right = at >= large.size() ? 0 : std::min<size_t>(piece.size(), large.size() - at);
    ASSERT_EQ(got, static_cast<ssize_t>(right));
    ASSERT_EQ(piece.compare(0, right, large, std::min<size_t>(at, large.size()), right), 0) << at;
  }
  EXPECT_EQ(Slurp(Path("a/large")), large);

  void* mapped = mmap(nullptr, large.size(), PROT_READ, MAP_SHARED, random_file.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  EXPECT_EQ(memcmp(mapped, large.data(), large.size()), 0);
  munmap(mapped, large.size());

  FileDescriptor direct(open(Path("a/large").c_str(), O_RDONLY | O_DIRECT));
  ASSERT_TRUE(direct.valid()) << errno;
  std::string all(large.size() + 5, '\0');
  size_t filled = 0;
  for (ssize_t got = 1; got > 0; filled += static_cast<size_t>(got)) {
    got = read(direct.get(), all.data() + filled, all.size() - filled);
    ASSERT_GE(got, 0) << errno;
  }
  all.resize(filled);
  EXPECT_EQ(all, large);
}

TEST_F(MountTest, ADirectoryOfFiveThousandIsWholeAndSeekable) {
  std::set<std::string> names = {".", ".."};
  for (int i = 0; i < 5000; ++i) {
    const std::string name = "file-" + std::to_string(i);
    names.insert(name);
    rig_->store->PutObject("many/" + name, "x");
  }
  ASSERT_NO_FATAL_FAILURE(Start());
  for (int round = 0; round < 2; ++round) {  // the second from the kernel's cache
    DIR* directory = opendir(Path("many").c_str());
    ASSERT_NE(directory, nullptr);
    std::vector<std::pair<std::string, long>> seen;  // name, place after it
    while (const dirent* entry = readdir(directory)) seen.emplace_back(entry->d_name, telldir(directory));
    ASSERT_EQ(seen.size(), names.size());
    for (const auto& [name, place] : seen) EXPECT_TRUE(names.contains(name)) << name;
    for (const size_t index : {size_t{0}, size_t{1}, size_t{17}, size_t{2500}, size_t{4999}}) {
      seekdir(directory, seen[index].second);
      const dirent* entry = readdir(directory);
      ASSERT_NE(entry, nullptr);
      EXPECT_EQ(entry->d_name, seen[index + 1].first);
    }
    closedir(directory);
  }
}

TEST_F(MountTest, AWarmEpochSendsNoMessage) {
  constexpr int kFiles = 200;
  for (int i = 0; i < kFiles; ++i)
    rig_->store->PutObject("set/" + std::to_string(i), PatternBytes(30'000, static_cast<uint64_t>(i)));
  ASSERT_NO_FATAL_FAILURE(Start());
  const auto epoch = [&] {
    for (int i = 0; i < kFiles; ++i) {
      ASSERT_EQ(Slurp(Path("set/" + std::to_string(i))), PatternBytes(30'000, static_cast<uint64_t>(i)));
    }
    DIR* directory = opendir(Path("set").c_str());
    ASSERT_NE(directory, nullptr);
    int entries = 0;
    while (readdir(directory) != nullptr) ++entries;
    EXPECT_EQ(entries, kFiles + 2);
    closedir(directory);
  };
  epoch();
  uint64_t before = Requests();
  EXPECT_GT(before, static_cast<uint64_t>(kFiles)) << "the first epoch must have been counted";
  // The kernel may drop some of what it caches when memory is short; a message that every epoch needs is seen in all.
  uint64_t sent = 1;
  for (int tries = 0; tries < 8 && sent > 0; ++tries) {
    before = Requests();
    epoch();
    sent = Requests() - before;
  }
  EXPECT_EQ(sent, 0u);
}

TEST_F(MountTest, AReplacedObjectIsANewInodeAndTheOldOneIsStale) {
  const std::string old_bytes = PatternBytes(12'000'000, 3), new_bytes = PatternBytes(12'000'000, 4);
  rig_->store->PutObject("f", old_bytes);
  ASSERT_NO_FATAL_FAILURE(Start());
  FileDescriptor old_file(open(Path("f").c_str(), O_RDONLY));
  ASSERT_TRUE(old_file.valid());
  struct stat old_stat {
  }, new_stat{};
  ASSERT_EQ(fstat(old_file.get(), &old_stat), 0);
  char byte = 0;
  ASSERT_EQ(pread(old_file.get(), &byte, 1, 0), 1);
  EXPECT_EQ(byte, old_bytes[0]);

  rig_->store->PutObject("f", new_bytes);  // by somebody else; the daemon is not told
  ssize_t got = 0;
  for (off_t at = 11'000'000; at > 0 && got >= 0; at -= 2'000'000) got = pread(old_file.get(), &byte, 1, at);
  EXPECT_EQ(got, -1);
  EXPECT_TRUE(errno == ESTALE || errno == EIO) << errno;  // the page cache turns ESTALE of a read-ahead into EIO
  FileDescriptor direct(open(("/proc/self/fd/" + std::to_string(old_file.get())).c_str(), O_RDONLY));

  // Opening again at once gives the new version, whole.
  EXPECT_EQ(Slurp(Path("f")), new_bytes);
  ASSERT_EQ(stat(Path("f").c_str(), &new_stat), 0);
  EXPECT_NE(new_stat.st_ino, old_stat.st_ino);
}

TEST_F(MountTest, AnImportTellsTheKernelOfAddedRemovedAndReplacedNames) {
  rig_->store->PutObject("d/gone", "gone");
  rig_->store->PutObject("d/changes", "before");
  ASSERT_NO_FATAL_FAILURE(Start());
  struct stat attributes {};
  ASSERT_EQ(stat(Path("d/gone").c_str(), &attributes), 0);
  EXPECT_EQ(stat(Path("d/comes").c_str(), &attributes), -1);
  EXPECT_EQ(Slurp(Path("d/changes")), "before");
  std::set<std::string> names;
  const auto list = [&] {
    names.clear();
    DIR* directory = opendir(Path("d").c_str());
    ASSERT_NE(directory, nullptr);
    while (const dirent* entry = readdir(directory)) names.insert(entry->d_name);
    closedir(directory);
  };
  list();
  EXPECT_EQ(names, (std::set<std::string>{".", "..", "changes", "gone"}));

  rig_->store->RemoveObject("d/gone");
  rig_->store->PutObject("d/comes", "here");
  rig_->store->PutObject("d/changes", "after it");
  ASSERT_TRUE(Refresh(""));
  EXPECT_EQ(stat(Path("d/gone").c_str(), &attributes), -1);
  EXPECT_EQ(Slurp(Path("d/comes")), "here");
  EXPECT_EQ(Slurp(Path("d/changes")), "after it");
  // Contents of directories are dropped after the names, by another thread.
  for (int i = 0; i < 200 && names != std::set<std::string>{".", "..", "changes", "comes"}; ++i) {
    list();
    usleep(5000);
  }
  EXPECT_EQ(names, (std::set<std::string>{".", "..", "changes", "comes"}));
}

TEST_F(MountTest, AReaderOfAStalledObjectCanBeKilledAndOthersGoOn) {
  rig_->store->PutObject("stalled", PatternBytes(100'000, 5));
  rig_->store->PutObject("fine", "fine");
  rig_->store->AddFault({.kind = env::RequestKind::kGet, .key_prefix = "stalled", .stall = true, .count = 100});
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string path = Path("stalled");
  for (const int flags : {O_RDONLY, O_RDONLY | O_DIRECT}) {
    const pid_t child = fork();
    if (child == 0) {
      signal(SIGINT, SIG_DFL);
      char bytes[4096];
      const int fd = open(path.c_str(), flags);
      _exit(fd >= 0 && read(fd, bytes, sizeof(bytes)) > 0 ? 1 : 2);
    }
    for (int i = 0; i < 1000 && rig_->store->FaultsFired() == 0; ++i) usleep(5000);
    ASSERT_GT(rig_->store->FaultsFired(), 0);
    usleep(20'000);
    EXPECT_EQ(Slurp(Path("fine")), "fine");
    kill(child, SIGINT);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
  }
  rig_->store->ReleaseStalled();
}

TEST_F(MountTest, AnInterruptedLookUpGetsEintr) {
  rig_->store->PutObject("x", "x");
  rig_->store->AddFault({.kind = env::RequestKind::kList, .key_prefix = "", .stall = true, .count = 1000});
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string path = Path("x");
  const pid_t child = fork();
  if (child == 0) {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(SIGINT, &action, nullptr);
    struct stat attributes;
    _exit(stat(path.c_str(), &attributes) == 0 ? 0 : errno);
  }
  for (int i = 0; i < 1000 && rig_->store->FaultsFired() == 0; ++i) usleep(5000);
  ASSERT_GT(rig_->store->FaultsFired(), 0);
  usleep(50'000);
  kill(child, SIGINT);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), EINTR);
  rig_->store->ReleaseStalled();
}

TEST_F(MountTest, AListingThatWaitsHoldsUpNoOtherNameOfItsDirectory) {
  rig_->store->PutObject("d/changes", "old");
  rig_->store->PutObject("d/other", "other");
  ASSERT_NO_FATAL_FAILURE(Start());
  struct stat attributes {};
  ASSERT_EQ(stat(Path("d/changes").c_str(), &attributes), 0);
  FileDescriptor file(open(Path("d/changes").c_str(), O_RDONLY | O_DIRECT));
  ASSERT_TRUE(file.valid());
  const int fired = rig_->store->FaultsFired();
  rig_->store->AddFault({.kind = env::RequestKind::kList, .key_prefix = "d/", .stall = true, .count = 1});
  auto listing = std::async(std::launch::async, [path = Path("d")] {
    size_t names = 0;
    if (DIR* directory = opendir(path.c_str())) {
      while (readdir(directory) != nullptr) ++names;
      closedir(directory);
    }
    return names;
  });
  for (int i = 0; i < 2000 && rig_->store->FaultsFired() == fired; ++i) usleep(5000);
  ASSERT_GT(rig_->store->FaultsFired(), fired);
  // A name in the directory changes, and its reader waits until the kernel has been told.
  rig_->store->PutObject("d/changes", "newer");
  auto reading = std::async(std::launch::async, [&file] {
    alignas(4096) static char bytes[4096];
    return pread(file.get(), bytes, sizeof(bytes), 0) < 0 ? errno : 0;
  });
  auto looking = std::async(std::launch::async, [path = Path("d/other")] {
    usleep(300'000);
    struct stat found {};
    return stat(path.c_str(), &found);
  });
  const bool went_on = reading.wait_for(std::chrono::seconds(20)) == std::future_status::ready &&
                       looking.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
  EXPECT_TRUE(went_on);
  rig_->store->ReleaseStalled();
  EXPECT_EQ(reading.get(), ESTALE);
  EXPECT_EQ(looking.get(), 0);
  EXPECT_EQ(listing.get(), 4u);  // with . and ..
  EXPECT_EQ(Slurp(Path("d/changes")), "newer");
}

TEST_F(MountTest, UnmountingWithAReaderWaitingDoesNotHang) {
  rig_->store->PutObject("stalled", PatternBytes(100'000, 5));
  rig_->store->AddFault({.kind = env::RequestKind::kGet, .key_prefix = "stalled", .stall = true, .count = 100});
  ASSERT_NO_FATAL_FAILURE(Start());
  auto reader = std::async(std::launch::async, [path = Path("stalled")] {
    char byte = 0;
    FileDescriptor file(open(path.c_str(), O_RDONLY));
    return read(file.get(), &byte, 1);
  });
  for (int i = 0; i < 1000 && rig_->store->FaultsFired() == 0; ++i) usleep(5000);
  ASSERT_GT(rig_->store->FaultsFired(), 0);
  EXPECT_EQ(mount_->Unmount(false).error().code, ErrorCode::kBusy);
  EXPECT_TRUE(mount_->Unmount(true));
  EXPECT_EQ(reader.get(), -1);
  mount_.reset();
  rig_->store->ReleaseStalled();
}

TEST_F(MountTest, AttributesErrnosAndWhatWritingGets) {
  rig_->store->PutObject("f", "hello", {{"label", "cat"}});
  ASSERT_NO_FATAL_FAILURE(Start());
  struct stat attributes {};
  ASSERT_EQ(stat(Path("f").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_size, 5);
  EXPECT_EQ(attributes.st_mode, static_cast<mode_t>(S_IFREG | 0644));
  EXPECT_EQ(attributes.st_blocks, 1);
  ASSERT_EQ(stat(root_.c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_nlink, 2u);
  EXPECT_EQ(attributes.st_ino, 1u);
  EXPECT_EQ(stat(Path("none").c_str(), &attributes), -1);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(open(Path("f").c_str(), O_WRONLY), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(mkdir(Path("new").c_str(), 0755), -1);
  EXPECT_EQ(errno, EROFS);
  FileDescriptor file(open(Path("f").c_str(), O_RDONLY));
  termios terminal{};
  EXPECT_EQ(ioctl(file.get(), TCGETS, &terminal), -1);
  EXPECT_EQ(errno, ENOTTY);

  char value[200];
  const auto heads = [&] { return rig_->store->counters().Of(env::RequestKind::kHead).load(); };
  EXPECT_EQ(getxattr(Path("f").c_str(), "security.selinux", value, sizeof(value)), -1);
  EXPECT_EQ(errno, ENODATA);
  ASSERT_EQ(getxattr(Path("f").c_str(), "user.leat.key", value, sizeof(value)), 1);
  EXPECT_EQ(value[0], 'f');
  EXPECT_EQ(heads(), 0u);
  ASSERT_EQ(getxattr(Path("f").c_str(), "user.label", value, sizeof(value)), 3);
  EXPECT_EQ(std::string(value, 3), "cat");
  EXPECT_EQ(heads(), 1u);
  EXPECT_EQ(getxattr(Path("f").c_str(), "user.other", value, sizeof(value)), -1);
  EXPECT_EQ(heads(), 1u) << "asked once a file";
  struct statfs totals {};
  ASSERT_EQ(statfs(root_.c_str(), &totals), 0);
  EXPECT_EQ(totals.f_namelen, 255);
}

TEST_F(MountTest, TheMountpointIsInspectedAndAnEndFromOutsideIsTold) {
  EXPECT_EQ(InspectMountpoint(root_), MountpointState::kReady);
  EXPECT_EQ(InspectMountpoint(root_ + "/none"), MountpointState::kMissing);
  EXPECT_EQ(InspectMountpoint("/etc/passwd"), MountpointState::kNotADirectory);
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_EQ(InspectMountpoint(root_), MountpointState::kLeatMounted);
  std::promise<void> ended;
  mount_->SetEndedCallback([&] { ended.set_value(); });
  ASSERT_EQ(umount(root_.c_str()), 0) << errno;
  ended.get_future().wait();
  EXPECT_TRUE(mount_->Unmount(false));
  EXPECT_EQ(InspectMountpoint(root_), MountpointState::kReady);
}

}  // namespace
}  // namespace leat::fuse
