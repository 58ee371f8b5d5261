// SPDX-License-Identifier: Apache-2.0
// Real directories, a bucket in memory. The interval is short where a test waits for rounds, and an hour where only a
// flush shall act.
#include "jobs/checkpoint_sync.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "base/file.h"
#include "jobs/jobs_testing.h"
#include "sim/forwarding_object_store.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::Pair;

constexpr std::chrono::milliseconds kShort{10};
constexpr std::chrono::hours kNever{1};

// Calls `on_upload` where a multipart upload begins, which is in the middle of the file.
class HookedStore final : public sim::ForwardingObjectStore {
 public:
  using ForwardingObjectStore::ForwardingObjectStore;
  void CreateMultipartUpload(env::PutRequest request, env::Callback<std::string> done) override {
    if (on_upload) on_upload();
    ForwardingObjectStore::CreateMultipartUpload(std::move(request), std::move(done));
  }
  std::function<void()> on_upload;
};

class CheckpointSyncTest : public testing::Test {
 protected:
  CheckpointSyncTest() {
    buckets_.PutBefore("s3://bucket", hooked_);
    place_ = {"s3://bucket/job/c", root_ + "/local", root_ + "/record"};
    fs::create_directory(place_.directory);
  }

  void Write(const std::string& path, const std::string& bytes) {
    const std::string full = place_.directory + "/" + path;
    fs::create_directories(fs::path(full).parent_path());
    // Written beside and renamed over, as checkpoints are; not in the directory, where a round could see it.
    ASSERT_TRUE(WriteFileAtomically(root_ + "/temporary", bytes, 0644, false));
    fs::rename(root_ + "/temporary", full);
  }
  std::string Local(const std::string& path) { return ReadFile(place_.directory + "/" + path).value_or("(none)"); }
  std::string Object(const std::string& path) {
    const auto contents = bucket_.Contents();
    const auto found = contents.find("job/c/" + path);
    return found == contents.end() ? "(none)" : found->second;
  }
  std::unique_ptr<CheckpointSync> Start(std::chrono::milliseconds interval) {
    auto sync = CheckpointSync::Start(buckets_, place_, interval);
    EXPECT_TRUE(sync) << sync.error().message;
    return std::move(*sync);
  }
  Result<RestoredCheckpoints> Restore() { return CheckpointSync::Restore(buckets_, place_, 4, {}); }
  static void Flush(CheckpointSync& sync) {
    const Status status = sync.Flush({});
    EXPECT_TRUE(status) << status.error().message;
  }
  // For what a round of the sync's does; the test's own deadline ends it otherwise.
  static void Await(const std::function<bool()>& condition) {
    while (!condition()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  uint64_t Puts() { return bucket_.counters().Of(env::RequestKind::kPut); }
  uint64_t Gets() { return bucket_.counters().Of(env::RequestKind::kGet); }

  const TestDirectory directory_;
  const std::string root_ = directory_.path();
  CheckpointPlace place_;
  Buckets buckets_;
  sim::MemoryObjectStore& bucket_ = buckets_.bucket();
  const std::shared_ptr<HookedStore> hooked_ = std::make_shared<HookedStore>(bucket_);
};

TEST_F(CheckpointSyncTest, RestoresTheTreeOfThePrefix) {
  bucket_.PutObject("job/c/step-1/w", "weights");
  bucket_.PutObject("job/c/step-1/deep/er/e", "");
  bucket_.PutObject("job/c/latest", std::string(1u << 20, 'x'));
  bucket_.PutObject("job/c/folder/", "");
  bucket_.PutObject("job/c2", "not ours");
  bucket_.PutObject("job/c-old/w", "not ours");
  const auto restored = Restore();
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(restored->objects, 3u);
  EXPECT_EQ(restored->bytes, 7u + (1u << 20));
  EXPECT_TRUE(restored->warnings.empty());
  EXPECT_EQ(Local("step-1/w"), "weights");
  EXPECT_EQ(Local("step-1/deep/er/e"), "");
  EXPECT_EQ(Local("latest").size(), 1u << 20);
  EXPECT_EQ(std::distance(fs::directory_iterator(place_.directory), {}), 2);
  struct stat attributes {};
  ASSERT_EQ(stat((place_.directory + "/step-1/w").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mtim.tv_sec, 1'700'000'001);  // when S3 says that it was written
}

TEST_F(CheckpointSyncTest, NothingToRestoreIsFine) {
  place_.uri += "///";
  EXPECT_EQ(Restore().value().objects, 0u);
  place_.uri = "s3://none/c";
  EXPECT_EQ(Restore().error().code, ErrorCode::kNoSuchBucket);
  EXPECT_EQ(CheckpointSync::Start(buckets_, place_).error().code, ErrorCode::kNoSuchBucket);
  place_.directory += "/none";
  EXPECT_EQ(CheckpointSync::Start(buckets_, place_).error().code, ErrorCode::kNotFound);
}

TEST_F(CheckpointSyncTest, KeysThatAreNoPathsAreToldAndSkipped) {
  for (const char* path : {"../evil", "/absolute", "a//b", "a/./b", "f", "f/below", "here", "ok"}) {
    bucket_.PutObject(std::string("job/c/") + path, "x");
  }
  bucket_.PutObject("job/c/" + std::string(300, 'n'), "x");
  bucket_.PutObject("job/c/link/through", "x");
  Write("here/file", "a directory");
  fs::create_directory(root_ + "/outside");
  fs::create_symlink(root_ + "/outside", place_.directory + "/link");
  const auto restored = Restore();
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(restored->objects, 2u);
  EXPECT_EQ(restored->warnings.size(), 8u);
  EXPECT_THAT(restored->warnings, Contains(HasSubstr("'job/c/../evil' of s3://bucket/job/c was not restored")));
  EXPECT_EQ(Local("ok"), "x");
  EXPECT_EQ(Local("f/below"), "x");
  EXPECT_EQ(Local("here/file"), "a directory");
  EXPECT_FALSE(fs::exists(root_ + "/evil"));
  EXPECT_TRUE(fs::is_empty(root_ + "/outside"));
}

TEST_F(CheckpointSyncTest, OneFailureEndsARestoreAndLeavesNoTornFile) {
  for (int i = 0; i < 20; ++i) bucket_.PutObject("job/c/" + std::to_string(i), std::string(1000, 'x'));
  bucket_.AddFault({env::RequestKind::kGet, "job/c/7", ErrorCode::kUnavailable, 500});
  const auto restored = Restore();
  EXPECT_EQ(bucket_.FaultsFired(), 1);
  EXPECT_EQ(restored.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(restored.error().message, HasSubstr("'job/c/7'"));
  EXPECT_EQ(Local("7"), "(none)");
  for (const auto& entry : fs::directory_iterator(place_.directory)) EXPECT_EQ(entry.file_size(), 1000u);
  EXPECT_EQ(Restore().value().objects, 20u);
}

TEST_F(CheckpointSyncTest, ARestoreStops) {
  bucket_.PutObject("job/c/w", "x");
  sim::Fault stall{env::RequestKind::kGet, "job/c/w"};
  stall.stall = true;
  bucket_.AddFault(stall);
  const auto restored = CheckpointSync::Restore(buckets_, place_, 4, [&] { return bucket_.FaultsFired() == 1; });
  EXPECT_EQ(restored.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(fs::is_empty(place_.directory));
}

TEST_F(CheckpointSyncTest, NewChangedAndDeletedFilesFollow) {
  const auto sync = Start(kShort);
  Write("step-1/w", "one");
  Write("empty", "");
  Await([&] { return Object("step-1/w") == "one" && Object("empty").empty(); });
  Write("step-1/w", "three");
  Await([&] { return Object("step-1/w") == "three"; });
  fs::remove_all(place_.directory + "/step-1");
  Await([&] { return Object("step-1/w") == "(none)"; });
  EXPECT_EQ(Object("empty"), "");
  Await([&] { return sync->progress().deletes == 1; });
  EXPECT_EQ(sync->progress().uploads, 3u);
  EXPECT_EQ(sync->progress().upload_bytes, 8u);
  EXPECT_FALSE(sync->TakeFailure());
}

TEST_F(CheckpointSyncTest, WhatOthersAddIsNotCopiedIn) {
  const auto sync = Start(kShort);
  bucket_.PutObject("job/c/theirs", "x");
  Write("ours", "y");
  Await([&] { return Object("ours") == "y"; });
  Flush(*sync);
  EXPECT_EQ(Local("theirs"), "(none)");
  EXPECT_EQ(Object("theirs"), "x");
}

TEST_F(CheckpointSyncTest, AFlushTakesAllAndARoundOnlyWhatIsStill) {
  const auto sync = Start(kNever);
  Write("a/b", "1");
  Flush(*sync);
  EXPECT_EQ(Object("a/b"), "1");
  Write("a/b", "22");
  fs::rename(place_.directory + "/a/b", place_.directory + "/c");
  Flush(*sync);
  EXPECT_EQ(Object("a/b"), "(none)");
  EXPECT_EQ(Object("c"), "22");
  Flush(*sync);  // nothing to do
  EXPECT_EQ(sync->progress().uploads, 2u);
  EXPECT_EQ(sync->progress().pending, 0u);
}

TEST_F(CheckpointSyncTest, AFileThatNeverRestsWaitsForTheFlush) {
  const auto sync = Start(kShort);
  const FileDescriptor log(open((place_.directory + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644));
  std::jthread writer([&](const std::stop_token& end) {
    while (!end.stop_requested()) {
      EXPECT_EQ(write(log.get(), "x", 1), 1);
      std::this_thread::yield();
    }
  });
  Write("w", "weights");
  Await([&] { return Object("w") == "weights"; });
  Await([&] { return sync->progress().pending == 1; });
  EXPECT_EQ(Object("log"), "(none)");
  writer.request_stop();
  writer.join();
  Flush(*sync);
  EXPECT_EQ(Object("log"), Local("log"));
}

TEST_F(CheckpointSyncTest, WhatIsWrittenWhileItIsCopiedNeverBecomesVisible) {
  const std::string before(20u << 20, 'a'), after(20u << 20, 'b');
  int begun = 0;
  hooked_->on_upload = [&] {
    EXPECT_EQ(Object("big"), "(none)");
    if (++begun > 1) return;
    // In place, at both ends, one of which has been read: a copy of both would be neither.
    const FileDescriptor file(open((place_.directory + "/big").c_str(), O_WRONLY));
    EXPECT_TRUE(WriteAll(file.get(), std::as_bytes(std::span(after)), 0));
  };
  Write("big", before);
  const auto sync = Start(kNever);
  Flush(*sync);
  EXPECT_EQ(begun, 2);
  EXPECT_EQ(Object("big"), after);

  // The same in a round: it is left, and copied once it is still.
  begun = 0;
  bucket_.RemoveObject("job/c/big");
  Write("big", before);
  const auto other = Start(kShort);
  Await([&] { return Object("big") == after; });
  EXPECT_EQ(begun, 2);
  hooked_->on_upload = nullptr;
}

TEST_F(CheckpointSyncTest, AFileThatIsRenamedOverWhileItIsCopiedIsOneOfBoth) {
  const std::string before(20u << 20, 'a');
  hooked_->on_upload = [&] { Write("big", "new"); };
  Write("big", before);
  const auto sync = Start(kNever);
  Flush(*sync);
  EXPECT_EQ(Object("big"), before);
  Flush(*sync);
  EXPECT_EQ(Object("big"), "new");
  hooked_->on_upload = nullptr;
}

TEST_F(CheckpointSyncTest, AFileThatIsWrittenAllTheTimeFailsTheFlush) {
  Write("big", std::string(20u << 20, 'a'));
  hooked_->on_upload = [&] {
    const FileDescriptor file(open((place_.directory + "/big").c_str(), O_WRONLY | O_APPEND));
    EXPECT_EQ(write(file.get(), "x", 1), 1);
  };
  const auto sync = Start(kNever);
  const Status status = sync->Flush({});
  EXPECT_EQ(status.error().code, ErrorCode::kBusy);
  EXPECT_THAT(status.error().message, HasSubstr("'big' was written to"));
  EXPECT_EQ(Object("big"), "(none)");
  hooked_->on_upload = nullptr;
  Flush(*sync);
  EXPECT_EQ(Object("big").size(), (20u << 20) + 3);
}

TEST_F(CheckpointSyncTest, AFailureIsToldOnceAndTriedAgain) {
  sim::Fault fault{env::RequestKind::kPut, "job/c/step-2"};
  fault.count = 5;
  Write("step-1", "1");
  const auto sync = Start(kShort);
  Await([&] { return Object("step-1") == "1"; });
  bucket_.AddFault(fault);
  Write("step-2", "2");
  std::vector<std::string> told;
  fs::remove(place_.directory + "/step-1");
  bool old_was_kept = true;
  Await([&] {
    if (const auto failure = sync->TakeFailure()) told.push_back(failure->message);
    const auto contents = bucket_.Contents();
    old_was_kept = old_was_kept && (contents.contains("job/c/step-1") || contents.contains("job/c/step-2"));
    return contents.contains("job/c/step-2") && !contents.contains("job/c/step-1");
  });
  EXPECT_EQ(bucket_.FaultsFired(), 5);
  EXPECT_TRUE(old_was_kept);
  EXPECT_THAT(told, testing::ElementsAre(HasSubstr("'step-2' could not be copied to s3://bucket/job/c: ")));
  Await([&] { return sync->progress().failing == 0; });
}

TEST_F(CheckpointSyncTest, AFlushFailsWithWhatIsNotInS3) {
  for (int i = 0; i < 6; ++i) Write("step-" + std::to_string(i), "x");
  sim::Fault fault{env::RequestKind::kPut, "job/c/step-"};
  fault.count = 5;
  bucket_.AddFault(fault);
  const auto sync = Start(kNever);
  const Status status = sync->Flush({});
  EXPECT_EQ(status.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(status.error().message, HasSubstr("'step-0' could not be copied"));
  EXPECT_THAT(status.error().message, HasSubstr("; and 2 more"));
  EXPECT_EQ(Object("step-5"), "x");
  EXPECT_EQ(sync->progress().failing, 5u);
  Flush(*sync);
  EXPECT_EQ(bucket_.Contents().size(), 6u);
}

TEST_F(CheckpointSyncTest, ARestartCopiesOnlyWhatHasChanged) {
  for (const char* path : {"same", "changed", "deleted", "lost", "replaced", "d/e"}) Write(path, "1");
  Flush(*Start(kNever));
  EXPECT_EQ(Puts(), 6u);
  Write("changed", "22");
  fs::remove(place_.directory + "/deleted");
  bucket_.RemoveObject("job/c/lost");
  bucket_.PutObject("job/c/replaced", "theirs");
  bucket_.PutObject("job/c/foreign", "theirs");
  const auto sync = Start(kNever);
  Flush(*sync);
  EXPECT_EQ(Puts(), 9u);
  EXPECT_EQ(sync->progress().deletes, 1u);
  EXPECT_EQ(Object("changed"), "22");
  EXPECT_EQ(Object("deleted"), "(none)");
  EXPECT_EQ(Object("lost"), "1");
  EXPECT_EQ(Object("replaced"), "1");
  EXPECT_EQ(Object("foreign"), "theirs");
  fs::remove(place_.record_path);
  Flush(*Start(kNever));
  EXPECT_EQ(Puts(), 14u);  // without the record all five, and nothing is deleted
}

TEST_F(CheckpointSyncTest, ARecordThatCannotBeUsedIsReplaced) {
  Write("w", "1");
  ASSERT_TRUE(WriteFileAtomically(place_.record_path, "garbage", 0600, false));
  Flush(*Start(kNever));
  EXPECT_EQ(ReadCheckpointRecord(place_.record_path).value().files.count("w"), 1u);
  place_.uri = "s3://bucket/other";
  Flush(*Start(kNever));
  EXPECT_THAT(bucket_.Contents(), Contains(Pair("other/w", "1")));
}

TEST_F(CheckpointSyncTest, WhatWasRestoredIsNotCopiedBackAndIsDeletedWithItsFile) {
  bucket_.PutObject("job/c/old", "1");
  bucket_.PutObject("job/c/kept", "1");
  ASSERT_TRUE(Restore());
  fs::remove(place_.directory + "/old");
  Flush(*Start(kNever));
  EXPECT_EQ(Puts(), 0u);
  EXPECT_EQ(Object("old"), "(none)");
  EXPECT_EQ(Object("kept"), "1");
}

TEST_F(CheckpointSyncTest, AnAttemptOnTheSameMachineDownloadsOnlyWhatItLacks) {
  for (const char* path : {"same", "newer", "lost", "replaced"}) Write(path, "1");
  Flush(*Start(kNever));
  Write("newer", "22");  // could not be flushed any more
  fs::remove(place_.directory + "/lost");
  bucket_.PutObject("job/c/replaced", "theirs");
  const auto restored = Restore();
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->objects, 2u);
  EXPECT_EQ(restored->kept, 2u);
  EXPECT_EQ(Local("newer"), "22");
  EXPECT_EQ(Local("lost"), "1");
  EXPECT_EQ(Local("replaced"), "theirs");
  Flush(*Start(kNever));
  EXPECT_EQ(Puts(), 5u);
  EXPECT_EQ(Object("newer"), "22");
}

TEST_F(CheckpointSyncTest, AfterARebootS3HasTheLastWord) {
  Write("w", "whole");
  Flush(*Start(kNever));
  Write("w", "to");  // what the disk kept of it
  auto record = ReadCheckpointRecord(place_.record_path).value();
  record.boot_id = "another";
  ASSERT_TRUE(WriteCheckpointRecord(place_.record_path, record));
  EXPECT_EQ(Restore().value().objects, 1u);
  EXPECT_EQ(Local("w"), "whole");
}

TEST_F(CheckpointSyncTest, JobsWithOnePrefixLeaveEachOtherTheirObjects) {
  CheckpointPlace other{place_.uri, root_ + "/other", root_ + "/other-record"};
  fs::create_directory(other.directory);
  ASSERT_TRUE(WriteFileAtomically(other.directory + "/theirs", "1", 0644, false));
  ASSERT_TRUE(WriteFileAtomically(other.directory + "/both", "theirs", 0644, false));
  Write("ours", "1");
  Write("both", "ours");
  const auto sync = Start(kNever);
  auto others = CheckpointSync::Start(buckets_, other, kNever);
  ASSERT_TRUE(others);
  Flush(*sync);
  Flush(**others);
  EXPECT_EQ(Object("both"), "theirs");
  fs::remove(place_.directory + "/both");
  fs::remove(place_.directory + "/ours");
  Flush(*sync);
  EXPECT_EQ(Object("both"), "theirs");  // no longer the object that this sync put
  EXPECT_EQ(Object("theirs"), "1");
  EXPECT_EQ(Object("ours"), "(none)");
  fs::remove_all(other.directory + "/theirs");
  Flush(**others);
  EXPECT_EQ(Object("theirs"), "(none)");
}

TEST_F(CheckpointSyncTest, StopsWhileAnUploadHangs) {
  sim::Fault stall{env::RequestKind::kPut, "job/c/w"};
  stall.stall = true;
  bucket_.AddFault(stall);
  Write("w", "1");
  auto sync = Start(kShort);
  Await([&] { return bucket_.FaultsFired() == 1; });
  sync.reset();
  EXPECT_EQ(Object("w"), "(none)");
}

TEST_F(CheckpointSyncTest, AFlushCanBeGivenUpAndTheSyncGoesOn) {
  sim::Fault stall{env::RequestKind::kPut, "job/c/w"};
  stall.stall = true;
  bucket_.AddFault(stall);
  Write("w", "1");
  const auto sync = Start(kShort);
  const Status status = sync->Flush([&] { return bucket_.FaultsFired() == 1; });
  EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
  EXPECT_FALSE(sync->TakeFailure());
  Await([&] { return Object("w") == "1"; });
  Flush(*sync);
}

TEST_F(CheckpointSyncTest, NoPathLeadsOut) {
  ASSERT_TRUE(WriteFileAtomically(root_ + "/secret", "secret", 0600, false));
  Write("d/w", "1");
  fs::create_symlink(root_ + "/secret", place_.directory + "/absolute");
  fs::create_symlink("../secret", place_.directory + "/relative");
  fs::create_symlink("d/w", place_.directory + "/latest");
  fs::create_symlink("d", place_.directory + "/directory");
  fs::create_symlink("loop", place_.directory + "/loop");
  ASSERT_EQ(mkfifo((place_.directory + "/fifo").c_str(), 0600), 0);
  const auto sync = Start(kNever);
  Flush(*sync);
  EXPECT_EQ(Object("d/w"), "1");
  EXPECT_EQ(Object("latest"), "1");
  EXPECT_EQ(bucket_.Contents().size(), 2u);
  EXPECT_EQ(sync->progress().skipped, 5u);
}

TEST_F(CheckpointSyncTest, WithoutItsDirectoryNothingIsDeleted) {
  Write("w", "1");
  const auto sync = Start(kShort);
  Await([&] { return Object("w") == "1"; });
  fs::rename(place_.directory, root_ + "/away");
  std::optional<Error> failure;
  Await([&] { return (failure = sync->TakeFailure()).has_value(); });
  EXPECT_THAT(failure->message, HasSubstr("the checkpoint directory " + place_.directory));
  EXPECT_EQ(sync->Flush({}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Object("w"), "1");
  fs::create_directory_symlink(root_ + "/away", place_.directory);
  EXPECT_FALSE(sync->Flush({}));
  fs::remove(place_.directory);
  fs::rename(root_ + "/away", place_.directory);
  Flush(*sync);
  EXPECT_EQ(sync->progress().uploads, 1u);
}

TEST_F(CheckpointSyncTest, WithoutAListNothingIsDeletedEither) {
  Write("w", "1");
  Flush(*Start(kNever));
  fs::remove(place_.directory + "/w");
  bucket_.AddFault({env::RequestKind::kList, "job/c/"});
  const auto sync = Start(kNever);
  Await([&] { return bucket_.FaultsFired() == 1; });
  Flush(*sync);
  EXPECT_EQ(Object("w"), "(none)");
  EXPECT_EQ(sync->progress().deletes, 1u);
}

TEST_F(CheckpointSyncTest, ADirectoryOfThisMachineCanBeThePlace) {
  sim::MemoryObjectStore& directory = buckets_.Add("file://" + root_ + "/made/for/it");
  place_.uri = "file://" + root_ + "/made/for/it/";
  Write("w", "1");
  Flush(*Start(kNever));
  EXPECT_TRUE(fs::is_directory(root_ + "/made/for/it"));
  EXPECT_THAT(directory.Contents(), Contains(Pair("w", "1")));
}

}  // namespace
}  // namespace leat::jobs
