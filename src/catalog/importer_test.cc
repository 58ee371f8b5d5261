// SPDX-License-Identifier: Apache-2.0
#include "catalog/importer.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/random.h"
#include "env/blocking.h"
#include "model/key_rules.h"
#include "sim/forwarding_object_store.h"
#include "sim/memory_object_store.h"

namespace leat::catalog {
namespace {

class FixedClock : public env::Clock {
 public:
  env::MonotonicTime Now() const override { return {}; }
  int64_t WallTimeNs() const override { return 42; }
};

class ImporterTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "leat-importer-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    Make({.threads = 4, .keys_per_page_max = 7});
  }
  void TearDown() override {
    importer_.reset();
    store_.reset();
    catalog_.reset();
    std::filesystem::remove_all(directory_);
  }
  void Make(sim::MemoryObjectStoreOptions options) {
    importer_.reset();
    catalog_.reset();
    store_ = std::make_unique<sim::MemoryObjectStore>(options);
    auto opened = Catalog::Open({.directory = directory_, .key_prefix = "p/"});
    ASSERT_TRUE(opened);
    catalog_ = std::move(*opened);
    importer_ = Importer::Create({}, *catalog_, *store_, clock_);
  }
  template <class Start>
  Status Wait(Start start) {
    std::promise<Status> promise;
    start([&](Status status) { promise.set_value(std::move(status)); });
    return promise.get_future().get();
  }
  Status Import(bool posix = false) {
    return Wait([&](auto done) { importer_->Import(kRootInode, posix, done); });
  }
  Status LookUp(InodeId parent, const std::string& name) {
    return Wait([&](auto done) { importer_->LookUpName(parent, name, done); });
  }
  Status List(InodeId directory) {
    return Wait([&](auto done) { importer_->ListDirectory(directory, done); });
  }
  InodeId Id(const std::string& path) { return *catalog_->ResolvePath(path); }

  // Path -> ETag; directories with a '/' at the end.
  std::map<std::string, std::string> Tree(InodeId directory = kRootInode) {
    std::map<std::string, std::string> tree;
    const auto entries = catalog_->ReadDirectory(directory, 0, 1'000'000);
    EXPECT_TRUE(entries);
    for (const auto& entry : *entries) {
      const std::string path = catalog_->PathOf(entry.inode.id);
      if (entry.inode.type == FileType::kDirectory) {
        tree[path + "/"] = "";
        tree.merge(Tree(entry.inode.id));
      } else {
        tree[path] = entry.inode.etag;
      }
    }
    return tree;
  }
  // What the rules say, done naively.
  std::map<std::string, std::string> Reference() {
    std::map<std::string, std::string> tree;
    std::set<std::string> directories;
    std::map<std::string, std::string> files;
    for (const auto& [key, bytes] : store_->Contents()) {
      if (!key.starts_with("p/")) continue;
      const auto path = PathOfKey(std::string_view(key).substr(2));
      std::string joined;
      for (size_t i = 0; i < path.names.size(); ++i) {
        joined += (i == 0 ? "" : "/") + path.names[i];
        if (i + 1 < path.names.size() || path.kind == PathKind::kDirectory) directories.insert(joined);
      }
      const auto info = env::Await<ObjectInfo>([&, k = key](auto done) { store_->Head(k, done); });
      if (path.kind == PathKind::kFile) {
        files[joined] = info->etag;
      } else if (!bytes.empty()) {
        tree[joined.empty() ? "@leat-body" : joined + "/@leat-body"] = info->etag;
      }
    }
    for (const auto& directory : directories) tree[directory + "/"] = "";
    for (const auto& [path, etag] : files) tree[directories.contains(path) ? path + "/@leat-object" : path] = etag;
    return tree;
  }

  std::string directory_;
  FixedClock clock_;
  std::unique_ptr<sim::MemoryObjectStore> store_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Importer> importer_;
};

std::string RandomKey(Random& random) {
  static const std::string names[] = {"a",    "b",        "x", "img_1", "img_2", "", ".", "..", "@leat-object",
                                      "\xff", "\xc3\xa9", "0", "9",     "Z"};
  std::string key = "p/";
  for (uint64_t depth = random.Below(4);; --depth) {
    key += random.Below(40) == 0 ? std::string(260 + random.Below(3), 'l') : names[random.Below(std::size(names))];
    if (depth == 0) break;
    key += '/';
  }
  return key;
}

TEST_F(ImporterTest, WhoWaitsForTheImportStartsNoSecondOne) {
  for (int i = 0; i < 300; ++i) store_->PutObject("p/" + std::to_string(i % 20) + "/" + std::to_string(i), "x");
  std::promise<Status> imported, waited;
  importer_->Import(kRootInode, false, [&](Status status) { imported.set_value(std::move(status)); });
  importer_->WaitForImport([&](Status status) { waited.set_value(std::move(status)); });
  ASSERT_TRUE(imported.get_future().get());
  ASSERT_TRUE(waited.get_future().get());
  const uint64_t lists = store_->counters().Of(env::RequestKind::kList);
  ASSERT_TRUE(Wait([&](auto done) { importer_->WaitForImport(done); }));  // all is there already
  EXPECT_EQ(store_->counters().Of(env::RequestKind::kList), lists);
  ASSERT_TRUE(Import());
  const uint64_t of_one = store_->counters().Of(env::RequestKind::kList) - lists;
  EXPECT_LT(lists, of_one + of_one / 2);
}

TEST_F(ImporterTest, FollowsRandomChangesOfTheBucket) {
  Random random(11);
  for (int round = 0; round < 25; ++round) {
    for (int i = 0; i < 40; ++i) {
      const std::string key = RandomKey(random);
      if (random.Below(3) == 0) {
        store_->RemoveObject(key);
      } else {
        store_->PutObject(key, random.Below(2) ? "" : "body");
      }
    }
    if (round % 5 == 4) {
      for (const auto& [key, bytes] : store_->Contents()) {
        if (random.Below(2) == 0) store_->RemoveObject(key);
      }
    }
    const Status status = Import();
    ASSERT_TRUE(status) << status.error().message;
    ASSERT_EQ(Tree(), Reference()) << "round " << round;
    uint64_t files = 0;
    for (const auto& [path, etag] : Tree()) files += etag.empty() ? 0 : 1;
    ASSERT_EQ(catalog_->Totals().files, files);
    ASSERT_EQ(catalog_->Totals().directories, Tree().size() - files);
  }
  EXPECT_EQ(catalog_->Totals().imported_at_ns, 42);
}

TEST_F(ImporterTest, SplitsALongFlatPrefixAndMissesNothing) {
  for (int i = 0; i < 3000; ++i) store_->PutObject("p/img_" + std::to_string(100'000 + i * 7) + ".jpg", "b");
  ASSERT_TRUE(Import());
  EXPECT_EQ(Tree().size(), 3000u);
  EXPECT_GE(importer_->Progress().objects, 3000u);
  EXPECT_FALSE(importer_->Progress().running);
  // Nothing changed: the same inodes.
  const InodeId before = Id("img_100007.jpg");
  ASSERT_TRUE(Import());
  EXPECT_EQ(Id("img_100007.jpg"), before);
}

TEST_F(ImporterTest, ListsOneDirectoryOnDemand) {
  for (int i = 0; i < 200; ++i) store_->PutObject("p/d/" + std::to_string(i) + "/deep/file", "b");
  for (int i = 0; i < 200; ++i) store_->PutObject("p/d/f" + std::to_string(i), "b");
  store_->PutObject("p/d", "beside");
  ASSERT_TRUE(LookUp(kRootInode, "d"));
  ASSERT_TRUE(List(Id("d")));
  EXPECT_EQ(catalog_->ReadDirectory(Id("d"), 0, 1000)->size(), 401u);
  EXPECT_TRUE(catalog_->Get(Id("d"))->listed);
  EXPECT_FALSE(catalog_->Get(Id("d/7"))->listed);
  const uint64_t lists = store_->counters().Of(env::RequestKind::kList);
  ASSERT_TRUE(List(Id("d")));
  ASSERT_TRUE(LookUp(Id("d"), "none"));
  EXPECT_EQ(store_->counters().Of(env::RequestKind::kList), lists);
}

TEST_F(ImporterTest, LooksUpOneNameInTwoLists) {
  store_->PutObject("p/file", "b");
  store_->PutObject("p/file2", "b");
  store_->PutObject("p/dir/deep/f", "b");
  store_->PutObject("p/both", "b");
  store_->PutObject("p/both/y", "b");
  const std::string long_name(300, 'l');
  store_->PutObject("p/" + long_name, "b");
  for (const auto* name : {"file", "dir", "both", "none", "@leat-empty"}) ASSERT_TRUE(LookUp(kRootInode, name)) << name;
  const std::string part = PathOfKey(long_name).names[0];
  ASSERT_TRUE(LookUp(kRootInode, part));
  EXPECT_EQ(catalog_->ReadDirectory(kRootInode, 0, 100)->size(), 4u);
  EXPECT_EQ(catalog_->Get(Id("both"))->type, FileType::kDirectory);
  EXPECT_TRUE(catalog_->ResolvePath("both/@leat-object"));
  EXPECT_TRUE(catalog_->ResolvePath(PathOfKey(long_name).names[0] + "/" + PathOfKey(long_name).names[1]));
  EXPECT_FALSE(catalog_->Get(kRootInode)->listed);
  ASSERT_TRUE(Import());
  const uint64_t lists = store_->counters().Of(env::RequestKind::kList);
  ASSERT_TRUE(LookUp(kRootInode, "none"));
  EXPECT_EQ(store_->counters().Of(env::RequestKind::kList), lists);
}

TEST_F(ImporterTest, AFailedImportSweepsNothing) {
  for (int i = 0; i < 50; ++i) store_->PutObject("p/" + std::to_string(i), "b");
  ASSERT_TRUE(LookUp(kRootInode, "1"));
  store_->RemoveObject("p/1");
  store_->AddFault({.kind = env::RequestKind::kList, .key_prefix = "p/", .error = ErrorCode::kDenied});
  const Status status = Import();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kDenied);
  EXPECT_EQ(store_->FaultsFired(), 1);
  EXPECT_FALSE(catalog_->Totals().complete);
  EXPECT_TRUE(catalog_->ResolvePath("1"));
  ASSERT_TRUE(Import());
  EXPECT_FALSE(catalog_->ResolvePath("1"));
  EXPECT_TRUE(catalog_->Totals().complete);
}

TEST_F(ImporterTest, PosixImportAndRefresh) {
  store_->PutObject("p/f", "body", {{"file-permissions", "0100640"}});
  store_->PutObject("p/l", "f", {{"file-permissions", "0120777"}});
  store_->PutObject("p/d/", "", {{"file-permissions", "0040700"}});
  ASSERT_TRUE(Import(true));
  EXPECT_EQ(catalog_->Get(Id("f"))->mode, 0640u);
  EXPECT_EQ(catalog_->Get(Id("d"))->mode, 0700u);
  EXPECT_EQ(catalog_->Get(Id("l"))->type, FileType::kSymlink);
  EXPECT_EQ(catalog_->Get(Id("l"))->symlink_target, "f");
  const uint64_t heads = store_->counters().Of(env::RequestKind::kHead);
  ASSERT_TRUE(Import(true));
  EXPECT_EQ(store_->counters().Of(env::RequestKind::kHead), heads);
  const InodeId before = Id("f");
  store_->PutObject("p/f", "other");
  ASSERT_TRUE(Wait([&](auto done) { importer_->RefreshObject(before, done); }));
  EXPECT_NE(Id("f"), before);
  EXPECT_EQ(catalog_->Get(Id("f"))->mode, 0640u);
  store_->RemoveObject("p/f");
  ASSERT_TRUE(Wait([&](auto done) { importer_->RefreshObject(Id("f"), done); }));
  EXPECT_FALSE(catalog_->ResolvePath("f"));
}

TEST_F(ImporterTest, StoppingCancelsWhatWaits) {
  store_->PutObject("p/f", "b");
  store_->AddFault({.kind = env::RequestKind::kList, .stall = true, .count = 3});
  int cancelled = 0;
  const auto count = [&](Status status) { cancelled += !status && status.error().code == ErrorCode::kCancelled; };
  importer_->Import(kRootInode, false, count);
  importer_->ListDirectory(kRootInode, count);
  importer_->ListDirectory(kRootInode, count);
  importer_.reset();
  EXPECT_EQ(cancelled, 3);
  store_->ReleaseStalled();
}

// Answers to LIST wait until they are let go.
class HeldLists final : public sim::ForwardingObjectStore {
 public:
  using ForwardingObjectStore::ForwardingObjectStore;
  void List(env::ListRequest request, env::Callback<env::ListPage> done) override {
    ForwardingObjectStore::List(std::move(request), [this, done = std::move(done)](Result<env::ListPage> page) {
      {
        std::lock_guard lock(mutex_);
        if (hold_) {
          held_.push_back([done, page = std::move(page)] { done(page); });
          return;
        }
      }
      done(std::move(page));
    });
  }
  size_t held() {
    std::lock_guard lock(mutex_);
    return held_.size();
  }
  void LetGo() {
    std::vector<std::function<void()>> held;
    {
      std::lock_guard lock(mutex_);
      hold_ = false;
      held.swap(held_);
    }
    for (const auto& answer : held) answer();
  }

 private:
  std::mutex mutex_;
  bool hold_ = true;
  std::vector<std::function<void()>> held_;
};

TEST_F(ImporterTest, APageListedBeforeARefreshDoesNotBringTheOldVersionBack) {
  store_->PutObject("p/d/changes", "old");
  store_->PutObject("p/d/goes", "gone soon");
  store_->PutObject("p/d/stays", "same");
  ASSERT_TRUE(Import());
  HeldLists held(*store_);
  importer_ = Importer::Create({}, *catalog_, held, clock_);
  std::promise<Status> imported;
  importer_->Import(kRootInode, false, [&](Status status) { imported.set_value(std::move(status)); });
  while (held.held() == 0) std::this_thread::yield();
  const std::string etag = store_->PutObject("p/d/changes", "newer");
  store_->RemoveObject("p/d/goes");
  for (const char* path : {"d/changes", "d/goes", "d/stays"}) {
    const InodeId id = Id(path);
    ASSERT_TRUE(Wait([&](auto done) { importer_->RefreshObject(id, done); }));
  }
  const InodeId refreshed = Id("d/changes"), stays = Id("d/stays");
  held.LetGo();
  ASSERT_TRUE(imported.get_future().get());
  EXPECT_EQ(Id("d/changes"), refreshed);
  EXPECT_EQ(catalog_->Get(refreshed)->etag, etag);
  EXPECT_EQ(Id("d/stays"), stays);
  EXPECT_FALSE(catalog_->ResolvePath("d/goes"));
  importer_.reset();
}

TEST_F(ImporterTest, APosixImportEndsNoOtherImport) {
  Make({.threads = 4});
  store_->PutObject("p/a", "asked for");
  for (int i = 0; i < 3000; ++i) store_->PutObject("p/k" + std::to_string(i), "x");
  ASSERT_TRUE(Import(true));  // all metadata are known now
  for (int round = 0; round < 20; ++round) {
    store_->PutObject("p/a", "changed " + std::to_string(round));  // the one HEAD of the next
    store_->PutObject("p/new" + std::to_string(round), "x");
    std::promise<Status> posix, plain;
    importer_->Import(kRootInode, true, [&](Status status) { posix.set_value(std::move(status)); });
    importer_->Import(kRootInode, false, [&](Status status) { plain.set_value(std::move(status)); });
    ASSERT_TRUE(posix.get_future().get());
    store_->PutObject("p/late" + std::to_string(round), "x");
    std::promise<Status> late;
    importer_->Import(kRootInode, false, [&](Status status) { late.set_value(std::move(status)); });
    ASSERT_TRUE(plain.get_future().get());
    ASSERT_TRUE(late.get_future().get());
    ASSERT_TRUE(catalog_->ResolvePath("late" + std::to_string(round))) << round;
  }
}

// A server that is out of order, and whose tokens go round.
class RoundTokens final : public sim::ForwardingObjectStore {
 public:
  using ForwardingObjectStore::ForwardingObjectStore;
  void List(env::ListRequest request, env::Callback<env::ListPage> done) override {
    const bool at_a = request.continuation_token == "A";
    env::ListPage page;
    for (const char* key : at_a ? std::array{"p/2", "p/1"} : std::array{"p/4", "p/3"}) {
      ObjectInfo object;
      object.key = key;
      object.etag = "e";
      page.objects.push_back(object);
    }
    page.next_token = at_a ? "B" : "A";
    done(std::move(page));
  }
};

TEST_F(ImporterTest, TokensThatGoRoundEndInAnError) {
  RoundTokens round(*store_);
  importer_ = Importer::Create({}, *catalog_, round, clock_);
  EXPECT_EQ(Import().error().code, ErrorCode::kProtocol);
  EXPECT_EQ(List(kRootInode).error().code, ErrorCode::kProtocol);
  importer_.reset();
}

// As where versions were deleted: pages with nothing on them before the first key.
class EmptyPages final : public sim::ForwardingObjectStore {
 public:
  using ForwardingObjectStore::ForwardingObjectStore;
  void List(env::ListRequest request, env::Callback<env::ListPage> done) override {
    if (request.continuation_token == "empty-3") {
      request.continuation_token.clear();
      return ForwardingObjectStore::List(std::move(request), std::move(done));
    }
    const char last = request.continuation_token.empty() ? '0' : request.continuation_token.back();
    env::ListPage page;
    page.next_token = std::string("empty-") + static_cast<char>(last + 1);
    done(std::move(page));
  }
};

TEST_F(ImporterTest, ALookUpGoesOnPastEmptyPages) {
  store_->PutObject("p/here", "x");
  store_->PutObject("p/below/x", "x");
  EmptyPages empty(*store_);
  importer_ = Importer::Create({}, *catalog_, empty, clock_);
  for (const char* name : {"here", "below", "none"}) ASSERT_TRUE(LookUp(kRootInode, name));
  EXPECT_TRUE(catalog_->ResolvePath("here"));
  EXPECT_TRUE(catalog_->ResolvePath("below"));
  EXPECT_FALSE(catalog_->ResolvePath("none"));
  importer_.reset();
}

}  // namespace
}  // namespace leat::catalog
