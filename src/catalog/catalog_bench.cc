// SPDX-License-Identifier: Apache-2.0
// catalog_bench [ENTRIES]: the rate at which sorted pages of 1000 objects go into an empty catalog and into one that
// has them, what an entry takes on disk, and how fast it is read back. Single-threaded but for RocksDB's own threads.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/random.h"
#include "base/text.h"
#include "catalog/catalog.h"
#include "catalog/tree_cursor.h"

namespace leat::catalog {
namespace {

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<ObjectInfo> Page(uint64_t first, uint64_t count) {
  std::vector<ObjectInfo> page(count);
  for (uint64_t i = 0; i < count; ++i) {
    Random random(1, first + i);
    char name[64];
    // 1300 images a class, as in ImageNet.
    std::snprintf(
        name, sizeof name, "train/n%08llu/n%08llu_%06llu.JPEG", static_cast<unsigned long long>((first + i) / 1300),
        static_cast<unsigned long long>((first + i) / 1300), static_cast<unsigned long long>((first + i) % 1300));
    const uint64_t hash[2] = {random.Next(), random.Next()};
    page[i].key = name;
    page[i].etag = '"' + HexEncode(std::as_bytes(std::span(hash))) + '"';
    page[i].size_bytes = 40'000 + random.Below(300'000);
    page[i].last_modified_ns = static_cast<int64_t>(1'700'000'000 + random.Below(100'000)) * 1'000'000'000;
  }
  return page;
}

void Import(Catalog& catalog, uint64_t entries, Catalog::SeenSet* seen, const char* what) {
  double seconds = 0;
  for (uint64_t first = 0; first < entries; first += 1000) {
    const auto page = Page(first, std::min<uint64_t>(1000, entries - first));
    const auto start = std::chrono::steady_clock::now();
    const Status status = catalog.Upsert(page, {}, seen);
    seconds += SecondsSince(start);
    if (!status) {
      std::fprintf(stderr, "%s\n", status.error().message.c_str());
      std::exit(1);
    }
  }
  std::printf("%-24s %10.0f entries/s\n", what, static_cast<double>(entries) / seconds);
}

int Run(uint64_t entries) {
  std::string pattern = (std::filesystem::temp_directory_path() / "leat-catalog-bench-XXXXXX").string();
  const std::string directory = mkdtemp(pattern.data());
  auto catalog = *Catalog::Open({.directory = directory});
  Import(*catalog, entries, nullptr, "first import");
  const uint64_t mark = catalog->BeginSweep();
  const auto seen = Catalog::MakeSeenSet();
  Import(*catalog, entries, seen.get(), "import, all unchanged");
  auto start = std::chrono::steady_clock::now();
  const auto sweep = catalog->StartSweep(kRootInode, *seen, mark, 1);
  Result<bool> more = true;
  while (more && *more) more = sweep->Step();
  if (!more) return 1;
  std::printf("%-24s %10.2f s\n", "sweep", SecondsSince(start));
  start = std::chrono::steady_clock::now();
  uint64_t files = 0;
  if (!catalog->VisitFiles(kRootInode, [&](const Inode&) { return ++files > 0; }) || files != entries) return 1;
  std::printf("%-24s %10.0f entries/s\n", "read all", static_cast<double>(files) / SecondsSince(start));
  catalog.reset();
  start = std::chrono::steady_clock::now();
  catalog = *Catalog::Open({.directory = directory});
  std::printf("%-24s %10.3f s\n", "open again", SecondsSince(start));
  uint64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(directory)) bytes += file.file_size();
  std::printf("%-24s %10.1f bytes an entry\n", "on disk", static_cast<double>(bytes) / static_cast<double>(entries));
  catalog.reset();
  std::filesystem::remove_all(directory);
  return 0;
}

}  // namespace
}  // namespace leat::catalog

int main(int argc, char** argv) {
  return leat::catalog::Run(argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000);
}
