// SPDX-License-Identifier: Apache-2.0
// Whatever happens to the files, the answer is the right bytes or a miss.
#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include "base/file.h"
#include "cache/cache_testing.h"
#include "cache/records.h"

namespace leat::cache {
namespace {

constexpr uint64_t kLarge = (9u << 20) + 12345;

std::vector<ObjectRef> Objects() {
  return {MakeObject(1, "one", 110000), MakeObject(1, "two", 110000), MakeObject(1, "three", 3000),
          MakeObject(1, "four", kLarge), MakeObject(1, "five", kLarge)};
}

void Fill(const Directory& directory) {
  auto cache = OpenCache(directory);
  for (const auto& object : Objects()) ASSERT_TRUE(Store(*cache, object));
}

// Reads all twice; returns how many were misses.
int CheckAll(const Directory& directory, uint64_t* corrupt = nullptr) {
  auto cache = OpenCache(directory);
  if (cache == nullptr) return -1;
  int misses = 0;
  for (const auto& object : Objects()) {
    const Found found = ReadBack(*cache, object);
    EXPECT_NE(found, Found::kWrong) << object.key;
    if (found == Found::kMiss) ++misses;
    if (found == Found::kMiss) {
      EXPECT_TRUE(Store(*cache, object)) << object.key;
      EXPECT_EQ(ReadBack(*cache, object), Found::kRight) << "it can be cached again";
    }
  }
  if (corrupt != nullptr) *corrupt = cache->Statistics().corrupt;
  return misses;
}

TEST(Damage, AFlippedBitInAnObjectIsAMiss) {
  Directory directory;
  Fill(directory);
  Random random(3);
  int hurt = 0;
  for (int round = 0; round < 8; ++round) {
    const auto files = directory.DataFiles();
    ASSERT_FALSE(files.empty());
    const std::string file = files[random.Below(files.size())];
    const uint64_t at = random.Below(std::filesystem::file_size(file));
    const FileDescriptor fd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(::pread(fd.get(), &byte, 1, static_cast<off_t>(at)), 1);
    byte = static_cast<char>(byte ^ (1 << random.Below(8)));
    ASSERT_EQ(::pwrite(fd.get(), &byte, 1, static_cast<off_t>(at)), 1);
    uint64_t corrupt = 0;
    const int misses = CheckAll(directory, &corrupt);
    EXPECT_EQ(misses > 0, corrupt > 0);
    hurt += misses;
  }
  EXPECT_GT(hurt, 2);
}

TEST(Damage, TruncatedZeroedEmptyOrMissingFilesAreMisses) {
  for (int kind = 0; kind < 5; ++kind) {
    Directory directory;
    Fill(directory);
    for (const auto& file : directory.DataFiles()) {
      const uint64_t size = std::filesystem::file_size(file);
      if (kind == 0) std::filesystem::resize_file(file, size / 2);
      if (kind == 1) std::filesystem::resize_file(file, 0);
      if (kind == 2) std::filesystem::remove(file);
      if (kind == 3)
        std::ofstream(file, std::ios::binary | std::ios::in).seekp(0).write(std::string(4096, '\0').data(), 4096);
      if (kind == 4) std::ofstream(file, std::ios::binary | std::ios::trunc) << std::string(size, 'x');
    }
    EXPECT_GE(CheckAll(directory), 1) << kind;
  }
}

TEST(Damage, SwappedFilesAreMisses) {
  Directory directory;
  {
    auto cache = OpenCache(directory, 64u << 20, {}, 1u << 20);
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(Store(*cache, MakeObject(1, "o" + std::to_string(i), 110000)));
    ASSERT_TRUE(Store(*cache, MakeObject(1, "four", kLarge)));
    ASSERT_TRUE(Store(*cache, MakeObject(1, "five", kLarge)));
  }
  std::vector<std::string> segments, large;
  for (const auto& file : directory.DataFiles())
    (file.find("/segments/") != std::string::npos ? segments : large).push_back(file);
  ASSERT_GE(segments.size(), 2u);
  ASSERT_EQ(large.size(), 2u);
  for (const auto* pair : {&segments, &large}) {
    const std::string aside = (*pair)[0] + ".aside";
    std::filesystem::rename((*pair)[0], aside);
    std::filesystem::rename((*pair)[1], (*pair)[0]);
    std::filesystem::rename(aside, (*pair)[1]);
  }
  auto cache = OpenCache(directory, 64u << 20, {}, 1u << 20);
  int misses = 0;
  for (int i = 0; i < 30; ++i) {
    const Found found = ReadBack(*cache, MakeObject(1, "o" + std::to_string(i), 110000));
    EXPECT_NE(found, Found::kWrong);
    if (found == Found::kMiss) ++misses;
  }
  EXPECT_GT(misses, 5);
  EXPECT_EQ(ReadBack(*cache, MakeObject(1, "four", kLarge)), Found::kMiss);
  EXPECT_EQ(ReadBack(*cache, MakeObject(1, "five", kLarge)), Found::kMiss);
}

TEST(Damage, ADamagedIndexStartsEmptyOrAnswersRight) {
  Random random(5);
  for (int round = 0; round < 6; ++round) {
    Directory directory;
    Fill(directory);
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(directory.path() + "/index")) {
      if (entry.is_regular_file() && entry.file_size() > 0) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    const std::string file = files[static_cast<size_t>(round) % files.size()];
    std::string contents = *ReadFile(file);
    const size_t at = random.Below(contents.size());
    contents[at] = static_cast<char>(contents[at] ^ 0x10);
    std::ofstream(file, std::ios::binary | std::ios::trunc) << contents;
    EXPECT_GE(CheckAll(directory), 0) << file;
    EXPECT_EQ(CheckAll(directory), 0) << file;
  }
}

TEST(Damage, ADamagedTableOfTheIndexStartsEmpty) {
  constexpr size_t kFooterBytes = 53;
  for (const bool footer : {false, true}) {
    Directory directory;
    Fill(directory);
    EXPECT_EQ(CheckAll(directory), 0);  // opening puts the log into a table
    int tables = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory.path() + "/index")) {
      if (entry.path().extension() != ".sst") continue;
      ++tables;
      std::string contents = *ReadFile(entry.path());
      const size_t end = contents.size() - kFooterBytes;
      for (size_t at = footer ? end : 0; at < (footer ? contents.size() : end); at += 8) {
        contents[at] = static_cast<char>(contents[at] ^ 0x10);
      }
      std::ofstream(entry.path(), std::ios::binary | std::ios::trunc) << contents;
    }
    ASSERT_GT(tables, 0);
    EXPECT_EQ(CheckAll(directory), 5) << footer;
    EXPECT_EQ(CheckAll(directory), 0) << footer;
  }
}

TEST(Damage, ADiskThatFailsForAMomentCostsNothing) {
  Directory directory;
  Fill(directory);
  const std::string current = directory.path() + "/index/CURRENT";
  std::filesystem::rename(current, current + ".aside");
  std::filesystem::create_directory(current);  // to read it fails, with EISDIR instead of EIO
  const auto opened = Cache::Open({directory.path(), 256u << 20}, {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kIo) << opened.error().message;
  std::filesystem::remove(current);
  std::filesystem::rename(current + ".aside", current);
  EXPECT_EQ(CheckAll(directory), 0);
}

TEST(Damage, NothingIsLeftBesideANewIndex) {
  Directory directory;
  Fill(directory);
  ASSERT_GT(directory.BlocksOnDisk(), kLarge);
  std::filesystem::remove_all(directory.path() + "/index");
  auto cache = OpenCache(directory);
  EXPECT_EQ(directory.BlocksOnDisk(), 0u);
  EXPECT_EQ(cache->Statistics().used_bytes, 0u);
}

TEST(Damage, GarbageForAnIndexStartsEmpty) {
  Directory directory;
  Fill(directory);
  std::ofstream(directory.path() + "/index/CURRENT", std::ios::trunc) << "nonsense";
  EXPECT_EQ(CheckAll(directory), 5);
  EXPECT_EQ(CheckAll(directory), 0);
}

}  // namespace
}  // namespace leat::cache
