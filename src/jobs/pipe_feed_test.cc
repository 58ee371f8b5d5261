// SPDX-License-Identifier: Apache-2.0
#include "jobs/pipe_feed.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <isa-l/igzip_lib.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/random.h"
#include "jobs/gunzip.h"
#include "jobs/jobs_testing.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::chrono::milliseconds kLook{2};

std::string RandomBytes(size_t size, uint64_t seed) {
  Random random(seed);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random.Below(7) == 0 ? random.Below(256) : 'a');
  return bytes;
}

std::string Gzipped(const std::string& bytes) {
  std::string in = bytes, out(bytes.size() + 1024, '\0');
  isal_zstream stream{};
  isal_deflate_stateless_init(&stream);
  stream.gzip_flag = IGZIP_GZIP;
  stream.end_of_stream = 1;
  stream.next_in = reinterpret_cast<uint8_t*>(in.data());
  stream.avail_in = static_cast<uint32_t>(in.size());
  stream.next_out = reinterpret_cast<uint8_t*>(out.data());
  stream.avail_out = static_cast<uint32_t>(out.size());
  EXPECT_EQ(isal_deflate_stateless(&stream), COMP_OK);
  out.resize(stream.total_out);
  return out;
}

std::string Record(const std::string& payload) {
  std::string out("\x0a\x23\xd7\xce", 4);
  for (int i = 0; i < 4; ++i) out += static_cast<char>(payload.size() >> (8 * i));
  return out + payload + std::string((4 - payload.size() % 4) % 4, '\0');
}

class PipeFeedTest : public testing::Test {
 protected:
  PipeFeedTest() {
    channel_.name = "train";
    channel_.input_mode = InputMode::kPipe;
    channel_.s3 = S3Source{"s3://bucket/p/"};
  }

  sim::MemoryObjectStore& bucket() { return buckets_.bucket(); }
  std::unique_ptr<PipeFeed> Start(HostShare share = {}) {
    auto feed = PipeFeed::Start(buckets_, channel_, share, directory_.path());
    EXPECT_TRUE(feed) << feed.error().message;
    return feed ? std::move(*feed) : nullptr;
  }
  std::string PathOf(int epoch) { return directory_.path() + "/train_" + std::to_string(epoch); }
  // As a script does it: the pipe may not be there yet.
  FileDescriptor Open(int epoch) {
    for (;;) {
      FileDescriptor fd(open(PathOf(epoch).c_str(), O_RDONLY | O_CLOEXEC));
      if (fd.valid()) return fd;
      EXPECT_EQ(errno, ENOENT);
      std::this_thread::sleep_for(kLook);
    }
  }
  std::string ReadUpTo(const FileDescriptor& fd, size_t bytes_max) {
    std::string bytes, piece(65536, '\0');
    while (bytes.size() < bytes_max) {
      const ssize_t got = read(fd.get(), piece.data(), std::min(piece.size(), bytes_max - bytes.size()));
      if (got <= 0) break;
      bytes.append(piece, 0, static_cast<size_t>(got));
    }
    return bytes;
  }
  std::string ReadEpoch(int epoch) { return ReadUpTo(Open(epoch), SIZE_MAX); }
  std::string WaitForFailure(const PipeFeed& feed) {
    while (!feed.failure()) std::this_thread::sleep_for(kLook);
    return feed.failure()->message;
  }

  Buckets buckets_{{.threads = 4}};
  sim::MemoryObjectStore& other_ = buckets_.Add("s3://other");
  Channel channel_;
  const TestDirectory directory_;
};

TEST_F(PipeFeedTest, GivesAllObjectsInTheOrderOfTheirKeysEveryEpoch) {
  std::string expected;
  // More than the window, and one object of several pieces in the middle.
  for (int i = 100; i < 200; ++i) {
    const std::string bytes = RandomBytes(i == 150 ? 20u << 20 : static_cast<size_t>(i) * 37, static_cast<uint64_t>(i));
    bucket().PutObject("p/" + std::to_string(i), bytes);
    expected += bytes;
  }
  bucket().PutObject("p/150-empty", "");
  bucket().PutObject("p/marker/", "");
  bucket().PutObject("q", "no");
  const auto feed = Start();
  struct stat info {};
  EXPECT_EQ(lstat(PathOf(0).c_str(), &info), 0);  // there before the script is
  EXPECT_TRUE(S_ISFIFO(info.st_mode));
  for (int epoch = 0; epoch < 3; ++epoch) EXPECT_TRUE(ReadEpoch(epoch) == expected) << epoch;
  EXPECT_FALSE(feed->failure());
  EXPECT_GE(feed->Counters().bytes_received, expected.size() * 3);
  EXPECT_GE(feed->Counters().requests[0], 300u);
  EXPECT_EQ(feed->Counters().requests[2], 1u);
}

TEST_F(PipeFeedTest, ALastPipeThatNobodyOpensAsksForNothing) {
  bucket().PutObject("p/a", "1");
  const auto feed = Start();
  EXPECT_EQ(ReadEpoch(0), "1");
  while (!fs::exists(PathOf(1))) std::this_thread::sleep_for(kLook);
  EXPECT_EQ(feed->Counters().requests[0], 1u);
  EXPECT_FALSE(fs::exists(PathOf(0)));
}

TEST_F(PipeFeedTest, AReaderThatClosesEarlyEndsTheEpoch) {
  const std::string bytes = RandomBytes(30u << 20, 1);
  bucket().PutObject("p/a", bytes);
  bucket().PutObject("p/b", "end");
  const auto feed = Start();
  EXPECT_TRUE(ReadUpTo(Open(0), 1000) == bytes.substr(0, 1000));
  EXPECT_TRUE(ReadEpoch(1) == bytes + "end");
  { const auto opened_only = Open(2); }
  EXPECT_TRUE(ReadEpoch(3) == bytes + "end");
  EXPECT_FALSE(feed->failure());
}

TEST_F(PipeFeedTest, ShufflesEachEpochAnewAndAlikeOnEveryRun) {
  std::map<std::string, int> all;
  for (int i = 100; i < 150; ++i) {
    bucket().PutObject("p/" + std::to_string(i), std::to_string(i) + ",");
    all[std::to_string(i)] = 1;
  }
  channel_.shuffle_seed = 42;
  std::vector<std::string> first, again;
  for (auto* run : {&first, &again}) {
    const auto feed = Start();
    for (int epoch = 0; epoch < 2; ++epoch) run->push_back(ReadEpoch(epoch));
  }
  EXPECT_EQ(first, again);
  EXPECT_NE(first[0], first[1]);
  for (const auto& epoch : first) {
    std::map<std::string, int> seen;
    for (size_t at = 0; at < epoch.size(); at += 4) ++seen[epoch.substr(at, 3)];
    EXPECT_EQ(seen, all);
  }
}

TEST_F(PipeFeedTest, HostsShareEachEpochWithoutOverlap) {
  std::map<std::string, int> all;
  for (int i = 100; i < 131; ++i) {
    bucket().PutObject("p/" + std::to_string(i), std::to_string(i) + ",");
    all[std::to_string(i)] = 1;
  }
  channel_.s3->is_sharded = true;
  channel_.shuffle_seed = 1;
  std::map<std::string, int> seen[2];
  for (uint32_t host = 0; host < 3; ++host) {
    const auto feed = Start({host, 3});
    for (int epoch = 0; epoch < 2; ++epoch) {
      const std::string bytes = ReadEpoch(epoch);
      for (size_t at = 0; at < bytes.size(); at += 4) ++seen[epoch][bytes.substr(at, 3)];
    }
  }
  EXPECT_EQ(seen[0], all);
  EXPECT_EQ(seen[1], all);
}

TEST_F(PipeFeedTest, AHostWithoutObjectsGetsAnEmptyEpoch) {
  bucket().PutObject("p/a", "1");
  channel_.s3->is_sharded = true;
  const auto feed = Start({1, 2});
  EXPECT_EQ(ReadEpoch(0), "");
  EXPECT_EQ(ReadEpoch(1), "");
}

TEST_F(PipeFeedTest, FramesObjectsAsRecords) {
  std::string expected;
  for (int i = 0; i < 9; ++i) {
    const std::string bytes = RandomBytes(i == 5 ? (9u << 20) + 1 : static_cast<size_t>(i), 3);
    bucket().PutObject("p/" + std::to_string(i), bytes);
    expected += Record(bytes);
  }
  channel_.is_record_io = true;
  const auto feed = Start();
  EXPECT_TRUE(ReadEpoch(0) == expected);
}

TEST_F(PipeFeedTest, UndoesGzip) {
  const std::string big = RandomBytes(12u << 20, 5);
  bucket().PutObject("p/1", Gzipped("one"));
  bucket().PutObject("p/2", Gzipped("two") + Gzipped("") + Gzipped("three"));  // members, one after the other
  bucket().PutObject("p/3", Gzipped(big) + std::string(100, '\0'));
  bucket().PutObject("p/4", "");
  channel_.is_gzip = true;
  {
    const auto feed = Start();
    EXPECT_TRUE(ReadEpoch(0) == "onetwothree" + big);
    EXPECT_FALSE(feed->failure());
  }
  channel_.is_record_io = true;
  const auto feed = Start();
  EXPECT_TRUE(ReadEpoch(0) == Record("one") + Record("twothree") + Record(big) + Record(""));
}

TEST_F(PipeFeedTest, BrokenGzipIsNoEndOfTheData) {
  std::string wrong = Gzipped(std::string(1000, 'x'));
  wrong[wrong.size() - 6] ^= 1;  // of the checksum
  for (const std::string& bytes :
       {std::string("plain text"), Gzipped("abc").substr(0, 15), wrong, Gzipped("abc") + "rubbish"}) {
    bucket().PutObject("p/1", bytes);
    channel_.is_gzip = true;
    const auto feed = Start();
    const auto reader = Open(0);
    EXPECT_THAT(WaitForFailure(*feed), HasSubstr("channel train: s3://bucket/p/1: "));
    EXPECT_EQ(feed->failure()->code, ErrorCode::kCorrupt);
  }
}

TEST_F(PipeFeedTest, FeedsTheLinesOfAnAugmentedManifest) {
  const std::string big = RandomBytes(5u << 20, 9);  // more than the first piece of an object of unknown size
  bucket().PutObject("img/1", "first");
  bucket().PutObject("img/2", "");
  bucket().PutObject("img/3", big);
  other_.PutObject("4", "fourth");
  bucket().PutObject("m.jsonl",
                     "{\"image-ref\": \"s3://bucket/img/1\", \"class\": 1, \"x\": 0}\n"
                     "{\"image-ref\": \"s3://bucket/img/2\", \"class\": {\"a\": [1.0]}}\n"
                     "{\"class\": \"three\", \"image-ref\": \"s3://bucket/img/3\"}\n"
                     "{\"class\": null, \"image-ref\": \"s3://other/4\"}\n");
  channel_.s3 = S3Source{"s3://bucket/m.jsonl", S3DataType::kAugmentedManifest, false, {"image-ref", "class"}};
  {
    const auto feed = Start();
    EXPECT_TRUE(ReadEpoch(0) == "first1{\"a\": [1.0]}" + big + "\"three\"fourthnull");
    EXPECT_TRUE(ReadEpoch(1) == "first1{\"a\": [1.0]}" + big + "\"three\"fourthnull");
  }
  channel_.is_record_io = true;
  {
    const auto feed = Start();
    EXPECT_TRUE(ReadEpoch(0) == Record("first") + Record("1") + Record("") + Record("{\"a\": [1.0]}") + Record(big) +
                                    Record("\"three\"") + Record("fourth") + Record("null"));
  }
  channel_.s3->attribute_names = {"class"};
  channel_.is_record_io = false;
  channel_.s3->is_sharded = true;
  channel_.shuffle_seed = 2;
  std::string lines;
  for (uint32_t host = 0; host < 2; ++host) {
    const auto feed = Start({host, 2});
    lines += ReadEpoch(0);
  }
  for (const char* part : {"1", "{\"a\": [1.0]}", "\"three\"", "null"}) EXPECT_THAT(lines, HasSubstr(part));
  EXPECT_EQ(lines.size(), std::string("1{\"a\": [1.0]}\"three\"null").size());
}

TEST_F(PipeFeedTest, FeedsAManifestsObjectsInItsOrder) {
  bucket().PutObject("m", R"([{"prefix": "s3://bucket/x/"}, "b", "a", "empty", "b"])");
  bucket().PutObject("x/a", "A");
  bucket().PutObject("x/b", "B");
  bucket().PutObject("x/empty", "");
  channel_.s3 = S3Source{"s3://bucket/m", S3DataType::kManifest};
  {
    const auto feed = Start();
    EXPECT_EQ(ReadEpoch(0), "BAB");
  }
  // S3 refuses a range of an object without bytes: it is asked what the object is, then.
  bucket().AddFault({env::RequestKind::kGet, "x/empty", ErrorCode::kInvalidArgument});
  const auto feed = Start();
  EXPECT_EQ(ReadEpoch(0), "BAB");
  EXPECT_EQ(bucket().FaultsFired(), 1);
}

TEST_F(PipeFeedTest, AFailureKeepsThePipeOpen) {
  bucket().PutObject("p/a", "good");
  bucket().PutObject("p/b", RandomBytes(100000, 1));
  bucket().AddFault({env::RequestKind::kGet, "p/b", ErrorCode::kUnavailable, 5000});
  auto feed = Start();
  const auto reader = Open(0);
  EXPECT_EQ(WaitForFailure(*feed), "channel train: s3://bucket/p/b: injected fault");
  EXPECT_EQ(feed->failure()->code, ErrorCode::kUnavailable);
  EXPECT_EQ(bucket().FaultsFired(), 1);
  // Perhaps what came before it, but no byte of what was cut off, and no end.
  ASSERT_EQ(fcntl(reader.get(), F_SETFL, O_NONBLOCK), 0);
  char bytes[100];
  const ssize_t got = read(reader.get(), bytes, sizeof bytes);
  EXPECT_EQ(std::string(bytes, static_cast<size_t>(std::max<ssize_t>(got, 0))), got > 0 ? "good" : "");
  EXPECT_NE(got, 0);
  errno = 0;
  EXPECT_EQ(read(reader.get(), bytes, sizeof bytes), -1);
  EXPECT_EQ(errno, EAGAIN);
  feed.reset();
  EXPECT_EQ(ReadUpTo(reader, SIZE_MAX), "");
  EXPECT_FALSE(fs::exists(PathOf(0)));
}

TEST_F(PipeFeedTest, AnObjectThatChangesIsAFailure) {
  bucket().PutObject("p/a", "old");
  const auto feed = Start();
  EXPECT_EQ(ReadEpoch(0), "old");
  bucket().PutObject("p/a", "new");
  const auto reader = Open(1);
  WaitForFailure(*feed);
  EXPECT_EQ(feed->failure()->code, ErrorCode::kObjectChanged);
}

TEST_F(PipeFeedTest, StopsWhereverItIs) {
  const std::string bytes = RandomBytes(30u << 20, 1);
  bucket().PutObject("p/a", bytes);
  for (int i = 0; i < 20; ++i) Start();  // nobody reads
  {
    auto feed = Start();
    const auto reader = Open(0);  // nobody reads on: the pipe is full
    ReadUpTo(reader, 10);
    feed.reset();
  }
  bucket().AddFault({.kind = env::RequestKind::kGet, .key_prefix = "p/a", .stall = true, .count = 100});
  {
    auto feed = Start();
    const auto reader = Open(0);  // the repository does not answer
    while (bucket().FaultsFired() == 0) std::this_thread::sleep_for(kLook);
    feed.reset();
    EXPECT_EQ(ReadUpTo(reader, SIZE_MAX), "");
  }
  EXPECT_TRUE(fs::is_empty(directory_.path()));
}

TEST_F(PipeFeedTest, WhatIsWrongFromTheStartIsToldAtTheStart) {
  const auto fails = [&] { return PipeFeed::Start(buckets_, channel_, {}, directory_.path()).error().message; };
  EXPECT_THAT(fails(), HasSubstr("No S3 objects found under S3 URL \"s3://bucket/p/\""));
  bucket().PutObject("p/a", "1");
  bucket().PutObject("m", "{\"a\": 1}\n{\"b\": 1}\n");
  channel_.s3 = S3Source{"s3://bucket/m", S3DataType::kAugmentedManifest, false, {"a"}};
  EXPECT_THAT(fails(), HasSubstr("line 2 of the manifest s3://bucket/m has no attribute 'a'"));
  bucket().PutObject("m", "\n");
  EXPECT_THAT(fails(), HasSubstr("No S3 objects found"));
  bucket().PutObject("m", "{\"a-ref\": \"s3://absent/x\"}");
  channel_.s3->attribute_names = {"a-ref"};
  EXPECT_THAT(fails(), HasSubstr("s3://absent does not exist"));
  channel_.s3 = S3Source{"s3://bucket/p/"};
  EXPECT_TRUE(fs::is_empty(directory_.path()));
  fs::create_symlink("/etc/passwd", PathOf(0));
  EXPECT_THAT(fails(), HasSubstr("something of that name is there"));
  fs::remove_all(directory_.path());
  EXPECT_THAT(fails(), HasSubstr(directory_.path()));
}

TEST_F(PipeFeedTest, AScriptThatPutsSomethingElseInThePipesPlace) {
  bucket().PutObject("p/a", "secret");
  const auto feed = Start();
  fs::remove(PathOf(0));
  fs::create_symlink("/dev/null", PathOf(0));
  EXPECT_THAT(WaitForFailure(*feed), HasSubstr("the pipe train_0"));
}

TEST(Gunzip, InPiecesOfAnySize) {
  const std::string bytes = RandomBytes(100000, 8), packed = Gzipped(bytes) + Gzipped(bytes);
  for (const size_t piece : {1u, 7u, 4096u, 1u << 20}) {
    std::string out;
    Gunzip gunzip;
    for (size_t at = 0; at < packed.size(); at += piece) {
      const auto status =
          gunzip.Write(std::as_bytes(std::span(packed)).subspan(at, std::min(piece, packed.size() - at)),
                       [&](std::span<const std::byte> unpacked) -> Status {
                         out.append(reinterpret_cast<const char*>(unpacked.data()), unpacked.size());
                         return {};
                       });
      ASSERT_TRUE(status) << status.error().message;
    }
    EXPECT_TRUE(gunzip.End());
    EXPECT_TRUE(out == bytes + bytes) << piece;
  }
}

}  // namespace
}  // namespace leat::jobs
