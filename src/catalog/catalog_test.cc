// SPDX-License-Identifier: Apache-2.0
#include "catalog/catalog.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

namespace leat::catalog {
namespace {

ObjectInfo Object(const std::string& key, const std::string& etag = "\"e\"", uint64_t size = 3) {
  ObjectInfo info;
  info.key = key;
  info.etag = etag;
  info.size_bytes = size;
  info.last_modified_ns = 1'700'000'000'000'000'000;
  return info;
}

class Recorder : public ChangeListener {
 public:
  void OnEntryAdded(InodeId, const std::string& name) override { events.push_back("+" + name); }
  void OnEntryRemoved(InodeId, const std::string& name, InodeId) override { events.push_back("-" + name); }
  void OnAttributesChanged(InodeId) override { events.emplace_back("attributes"); }
  std::vector<std::string> events;
};

class CatalogTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "leat-catalog-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    Open();
  }
  void TearDown() override {
    catalog_.reset();
    std::filesystem::remove_all(directory_);
  }
  void Open() {
    catalog_.reset();
    auto opened = Catalog::Open({.directory = directory_, .key_prefix = "p/"});
    ASSERT_TRUE(opened) << opened.error().message;
    catalog_ = std::move(*opened);
  }
  void Upsert(const std::vector<ObjectInfo>& objects, Catalog::SeenSet* seen = nullptr) {
    const auto status = catalog_->Upsert(objects, {}, seen);
    ASSERT_TRUE(status) << status.error().message;
  }
  Inode At(const std::string& path) {
    const auto id = catalog_->ResolvePath(path);
    return id ? *catalog_->Get(*id) : Inode{};
  }
  // Every path with its key, a directory's ending in '/'.
  std::set<std::string> Paths(InodeId directory = kRootInode) {
    std::set<std::string> paths;
    const auto entries = catalog_->ReadDirectory(directory, 0, 10'000);
    EXPECT_TRUE(entries);
    for (const auto& entry : *entries) {
      const std::string path = catalog_->PathOf(entry.inode.id);
      if (entry.inode.type == FileType::kDirectory) {
        paths.insert(path + "/");
        paths.merge(Paths(entry.inode.id));
      } else {
        paths.insert(path);
      }
    }
    return paths;
  }
  // A sweep after a listing that held exactly these.
  void SweepTo(const std::vector<ObjectInfo>& objects, InodeId directory = kRootInode) {
    const uint64_t mark = catalog_->BeginSweep();
    const auto seen = Catalog::MakeSeenSet();
    Upsert(objects, seen.get());
    RunSweep(directory, *seen, mark);
  }
  void RunSweep(InodeId directory, const Catalog::SeenSet& seen, uint64_t mark) {
    const auto sweep = catalog_->StartSweep(directory, seen, mark, 77);
    Result<bool> more = true;
    while (more && *more) more = sweep->Step();
    ASSERT_TRUE(more) << more.error().message;
  }
  using Set = std::set<std::string>;

  std::string directory_;
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogTest, SurvivesReopeningAndNeverReusesNumbers) {
  Upsert({Object("p/a/b", "\"0123456789abcdef0123456789abcdef\"", 10), Object("p/c", "\"x-2\"", 5)});
  const Inode before = At("a/b");
  EXPECT_GE(Value(before.id), 1024u);
  catalog_->Sync();
  Open();
  const Inode after = At("a/b");
  EXPECT_EQ(after.id, before.id);
  EXPECT_EQ(after.key, "p/a/b");
  EXPECT_EQ(after.etag, before.etag);
  EXPECT_EQ(after.size_bytes, 10u);
  EXPECT_EQ(catalog_->Totals().files, 2u);
  EXPECT_EQ(catalog_->Totals().directories, 1u);
  EXPECT_EQ(catalog_->Totals().bytes, 15u);
  const uint64_t mark = catalog_->BeginSweep();
  Upsert({Object("p/d")});
  EXPECT_GE(Value(At("d").id), mark);
  EXPECT_GT(Value(At("d").id), Value(At("c").id));
  EXPECT_FALSE(catalog_->Lookup(kRootInode, "none"));
  EXPECT_EQ(catalog_->Lookup(kRootInode, "none").error().code, ErrorCode::kNotFound);
}

TEST_F(CatalogTest, RefusesAnotherPrefixAndASecondOpen) {
  EXPECT_EQ(Catalog::Open({.directory = directory_, .key_prefix = "p/"}).error().code, ErrorCode::kBusy);
  catalog_.reset();
  EXPECT_EQ(Catalog::Open({.directory = directory_, .key_prefix = "q/"}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(CatalogTest, AChangedObjectIsANewInodeAndTheOldOneIsKeptUntilReopening) {
  Recorder recorder;
  Upsert({Object("p/f", "\"1\"")});
  const Inode old = At("f");
  catalog_->SetListener(&recorder);
  Upsert({Object("p/f", "\"1\"")});
  EXPECT_TRUE(recorder.events.empty());
  EXPECT_EQ(At("f").id, old.id);
  Upsert({Object("p/f", "\"2\"", 9)});
  EXPECT_EQ(recorder.events, (std::vector<std::string>{"-f", "+f"}));
  EXPECT_NE(At("f").id, old.id);
  EXPECT_TRUE(catalog_->Get(old.id)->removed);
  EXPECT_EQ(catalog_->Get(old.id)->etag, "\"1\"");
  EXPECT_EQ(catalog_->Totals().bytes, 9u);
  catalog_->SetListener(nullptr);
  Open();
  EXPECT_EQ(catalog_->Get(old.id).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(At("f").etag, "\"2\"");
}

TEST_F(CatalogTest, ObjectBesideDirectoryInBothOrders) {
  Upsert({Object("p/x", "\"o\""), Object("p/x/y")});
  EXPECT_EQ(Paths(), (Set{"x/", "x/@leat-object", "x/y"}));
  EXPECT_EQ(At("x/@leat-object").key, "p/x");
  Upsert({Object("p/z/y"), Object("p/z", "\"o\"")});
  EXPECT_EQ(Paths(), (Set{"x/", "x/@leat-object", "x/y", "z/", "z/@leat-object", "z/y"}));
  // Later, in another change.
  Upsert({Object("p/late", "\"o\"")});
  Upsert({Object("p/late/y")});
  EXPECT_EQ(At("late/@leat-object").etag, "\"o\"");
  EXPECT_EQ(catalog_->Totals().files, 6u);
  EXPECT_EQ(catalog_->Totals().directories, 3u);
  // Without keys below, the object is the file again.
  SweepTo({Object("p/x", "\"o\""), Object("p/z/y"), Object("p/late")});
  EXPECT_EQ(Paths(), (Set{"x", "z/", "z/y", "late"}));
  EXPECT_EQ(At("x").etag, "\"o\"");
  EXPECT_EQ(catalog_->Totals().files, 3u);
  EXPECT_EQ(catalog_->Totals().directories, 1u);
}

TEST_F(CatalogTest, MarkersAndTheirBodies) {
  Upsert({Object("p/", "\"r\"", 4), Object("p/empty/", "\"m\"", 0), Object("p/full/", "\"m\"", 2)});
  EXPECT_EQ(Paths(), (Set{"@leat-body", "empty/", "full/", "full/@leat-body"}));
  EXPECT_EQ(At("full/@leat-body").key, "p/full/");
  EXPECT_EQ(At("full").key, "p/full/");
  SweepTo({Object("p/empty/", "\"m\"", 0), Object("p/full/", "\"n\"", 0)});
  EXPECT_EQ(Paths(), (Set{"empty/", "full/"}));
  SweepTo({});
  EXPECT_EQ(Paths(), Set{});
  EXPECT_EQ(catalog_->Totals().files, 0u);
  EXPECT_EQ(catalog_->Totals().directories, 0u);
}

TEST_F(CatalogTest, OddKeysHaveTheirReservedNames) {
  const std::string long_name(300, 'l');
  Upsert({Object("p/a//b"), Object("p/./.."), Object("p/" + long_name), Object("p/" + long_name + "/in")});
  const std::string part = "@leat-part-" + std::string(240, 'l'), last = part + "/@leat-last-" + std::string(60, 'l');
  EXPECT_EQ(Paths(), (Set{"@leat-dot/", "@leat-dot/@leat-dotdot", part + "/", last + "/", last + "/@leat-object",
                          last + "/in", "a/", "a/@leat-empty/", "a/@leat-empty/b"}));
  EXPECT_EQ(At("a/@leat-empty/b").key, "p/a//b");
  EXPECT_EQ(At(last + "/in").key, "p/" + long_name + "/in");
}

TEST_F(CatalogTest, ReadingGoesOnAfterARemovedEntry) {
  std::vector<ObjectInfo> objects;
  for (char letter = 'a'; letter <= 'j'; ++letter) objects.push_back(Object(std::string("p/") + letter));
  Upsert(objects);
  const auto first = catalog_->ReadDirectory(kRootInode, 0, 3);
  ASSERT_TRUE(first);
  ASSERT_EQ(first->size(), 3u);
  const Inode last = first->back().inode;
  ASSERT_TRUE(catalog_->Remove(last.id));
  const auto rest = catalog_->ReadDirectory(kRootInode, Value(last.id), 100);
  ASSERT_TRUE(rest);
  ASSERT_EQ(rest->size(), 7u);
  EXPECT_EQ(rest->front().inode.name, "d");
  EXPECT_FALSE(catalog_->ReadDirectory(kRootInode, 999'999, 1));
}

TEST_F(CatalogTest, AVisitOfADirectoryEndsWhereItIsToldAndGoesOnFromThere) {
  std::vector<ObjectInfo> objects;
  for (char letter = 'a'; letter <= 'j'; ++letter) objects.push_back(Object(std::string("p/") + letter));
  objects[1].storage_class = "GLACIER";
  Upsert(objects);
  std::string names;
  uint64_t cookie = 0;
  for (int turn = 0; turn < 5; ++turn) {
    int left = 3;
    ASSERT_TRUE(catalog_->VisitDirectory(kRootInode, cookie, [&](const Inode& inode) {
      EXPECT_EQ(inode.storage_class, inode.name == "b" ? "GLACIER" : "");
      names += inode.name;
      cookie = Value(inode.id);
      return --left > 0;
    }));
  }
  EXPECT_EQ(names, "abcdefghij");
}

TEST_F(CatalogTest, MetadataSurvivesAListingThatTellsMilliseconds) {
  constexpr int64_t kSecond = 1'000'000'000;
  ObjectInfo listed = Object("p/f"), told = listed;
  listed.last_modified_ns = 1000 * kSecond + 789'000'000;
  told.last_modified_ns = 1000 * kSecond;
  told.has_user_metadata = true;
  told.user_metadata = {{"label", "cat"}};
  Upsert({listed});
  ASSERT_TRUE(catalog_->ApplyMetadata(At("f").id, told, ""));
  Upsert({listed});
  EXPECT_TRUE(At("f").metadata_known);
  EXPECT_EQ(At("f").mtime_ns, listed.last_modified_ns);
  listed.last_modified_ns += kSecond;  // copied onto itself
  Upsert({listed});
  EXPECT_FALSE(At("f").metadata_known);
}

TEST_F(CatalogTest, SweepTakesOnlyWhatIsGoneAndOld) {
  Upsert({Object("p/a/1"), Object("p/a/2"), Object("p/b/c/1"), Object("p/k")});
  const uint64_t mark = catalog_->BeginSweep();
  const auto seen = Catalog::MakeSeenSet();
  Upsert({Object("p/a/1")}, seen.get());
  Upsert({Object("p/new/1")});  // found by a lookup meanwhile, after its part of the listing went by
  RunSweep(kRootInode, *seen, mark);
  EXPECT_EQ(Paths(), (Set{"a/", "a/1", "new/", "new/1"}));
  EXPECT_TRUE(At("a").listed);
  EXPECT_FALSE(At("new").listed);  // what else is in it nobody knows
  EXPECT_TRUE(catalog_->Totals().complete);
  EXPECT_EQ(catalog_->Totals().imported_at_ns, 77);
  EXPECT_TRUE(At("").listed);
  EXPECT_TRUE(At("a").listed);
  Open();
  EXPECT_TRUE(catalog_->Totals().complete);
}

TEST_F(CatalogTest, SweepBelowADirectoryLeavesTheRestAndTheObjectBesideIt) {
  Upsert({Object("p/a/1"), Object("p/x", "\"o\""), Object("p/x/y"), Object("p/x/z")});
  SweepTo({Object("p/x/y")}, At("x").id);
  EXPECT_EQ(Paths(), (Set{"a/", "a/1", "x/", "x/@leat-object", "x/y"}));
  EXPECT_FALSE(catalog_->Totals().complete);
  SweepTo({}, At("x").id);
  EXPECT_EQ(Paths(), (Set{"a/", "a/1", "x"}));
}

TEST_F(CatalogTest, RemovalPrunesListedDirectoriesOnly) {
  Upsert({Object("p/a/b/1"), Object("p/c/1")});
  ASSERT_TRUE(catalog_->MarkListed(At("a/b").id));
  ASSERT_TRUE(catalog_->MarkListed(At("a").id));
  ASSERT_TRUE(catalog_->Remove(At("a/b/1").id));
  ASSERT_TRUE(catalog_->Remove(At("c/1").id));
  EXPECT_EQ(Paths(), (Set{"c/"}));
}

TEST_F(CatalogTest, ADirectoryBecomesAFileAndBack) {
  Upsert({Object("p/t/1"), Object("p/u")});
  SweepTo({Object("p/t"), Object("p/u/1")});
  EXPECT_EQ(Paths(), (Set{"t", "u/", "u/1"}));
  SweepTo({Object("p/t/1"), Object("p/u")});
  EXPECT_EQ(Paths(), (Set{"t/", "t/1", "u"}));
}

TEST_F(CatalogTest, MetadataAndSymlinks) {
  Upsert({Object("p/f"), Object("p/l", "\"l\"", 6)});
  ObjectInfo info = Object("p/f");
  info.user_metadata = {
      {"file-permissions", "0100600"}, {"file-owner", "5"}, {"file-mtime", "5ns"}, {"colour", "green"}};
  Recorder recorder;
  catalog_->SetListener(&recorder);
  const InodeId before = At("f").id;
  ASSERT_TRUE(catalog_->ApplyMetadata(before, info, ""));
  ASSERT_TRUE(catalog_->ApplyMetadata(before, info, ""));
  EXPECT_EQ(recorder.events, (std::vector<std::string>{"attributes"}));
  const Inode file = At("f");
  EXPECT_EQ(file.id, before);
  EXPECT_EQ(file.mode, 0600u);
  EXPECT_EQ(file.uid, 5u);
  EXPECT_EQ(file.mtime_ns, 5);
  EXPECT_TRUE(file.metadata_known);
  EXPECT_EQ(file.user_metadata, (UserMetadata{{"colour", "green"}}));
  Upsert({Object("p/f")});  // a listing does not take it away
  EXPECT_EQ(At("f").mode, 0600u);

  ObjectInfo link = Object("p/l", "\"l\"", 6);
  link.user_metadata = {{"file-permissions", "0120777"}};
  ASSERT_TRUE(catalog_->ApplyMetadata(At("l").id, link, "target"));
  EXPECT_EQ(At("l").type, FileType::kSymlink);
  EXPECT_EQ(At("l").symlink_target, "target");
  const InodeId symlink = At("l").id;
  Upsert({Object("p/l", "\"l\"", 6)});
  EXPECT_EQ(At("l").id, symlink);
  ASSERT_TRUE(catalog_->Replace(symlink, Object("p/l", "\"now a file\"", 8)));
  EXPECT_EQ(At("l").type, FileType::kFile);
  EXPECT_EQ(catalog_->Replace(symlink, Object("p/l")).error().code, ErrorCode::kNotFound);
  catalog_->SetListener(nullptr);
}

TEST_F(CatalogTest, VisitsFilesDepthFirstAndStops) {
  std::vector<ObjectInfo> objects;
  for (int i = 0; i < 700; ++i) objects.push_back(Object("p/d/" + std::to_string(1000 + i)));
  objects.push_back(Object("p/a"));
  objects.push_back(Object("p/z"));
  Upsert(objects);
  std::vector<std::string> names;
  ASSERT_TRUE(catalog_->VisitFiles(kRootInode, [&](const Inode& inode) {
    names.push_back(inode.name);
    return true;
  }));
  ASSERT_EQ(names.size(), 702u);
  EXPECT_EQ(names.front(), "a");
  EXPECT_EQ(names[1], "1000");
  EXPECT_EQ(names.back(), "z");
  int visited = 0;
  ASSERT_TRUE(catalog_->VisitFiles(kRootInode, [&](const Inode&) { return ++visited < 5; }));
  EXPECT_EQ(visited, 5);
}

TEST_F(CatalogTest, RejectsKeysOutsideTheRepositoryWhole) {
  const std::vector<ObjectInfo> objects = {Object("p/in/1"), Object("q/out")};
  EXPECT_EQ(catalog_->Upsert(objects, {}, nullptr).error().code, ErrorCode::kProtocol);
  EXPECT_EQ(Paths(), Set{});
  Upsert({Object("p/in/1")});  // what the refused change made is not remembered
  EXPECT_EQ(Paths(), (Set{"in/", "in/1"}));
}

}  // namespace
}  // namespace leat::catalog
