// SPDX-License-Identifier: Apache-2.0
#include "jobs/channel.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "jobs/jobs_testing.h"
#include "jobs/transfer.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

Channel ChannelOf(const std::string& uri, S3DataType type = S3DataType::kPrefix, bool is_sharded = false) {
  Channel channel;
  channel.name = "train";
  channel.s3 = S3Source{uri, type, is_sharded, {}};
  return channel;
}

class ChannelTest : public testing::Test {
 protected:
  Result<DownloadResult> Download(const Channel& channel, HostShare share = {}) {
    const std::string place = directory_.path() + "/" + std::to_string(share.index);
    fs::create_directories(place);
    return DownloadChannel(buckets_, channel, share, place, 4, counters_, {});
  }
  // Relative path -> bytes.
  std::map<std::string, std::string> Files(uint32_t host = 0) {
    const std::string place = directory_.path() + "/" + std::to_string(host);
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(place)) {
      if (entry.is_regular_file()) {
        files[entry.path().lexically_relative(place).string()] = ReadFile(entry.path()).value();
      }
    }
    return files;
  }
  Buckets buckets_;
  sim::MemoryObjectStore& other_ = buckets_.Add("s3://other");
  FileSystemCounters counters_;
  const TestDirectory directory_;
};

std::vector<std::string> KeysOf(const ChannelListing& listing) {
  std::vector<std::string> keys;
  for (const auto& object : listing.objects) keys.push_back(object.key);
  return keys;
}

TEST_F(ChannelTest, ListsAPrefixWithoutMarkers) {
  for (const char* key : {"p/b", "p/a/2", "p/a/1", "q"}) buckets_.bucket().PutObject(key, "x");
  buckets_.bucket().PutObject("p/folder/", "");
  OpenRepositories repositories(buckets_, 4);
  const auto listing = ListChannel(repositories, ChannelOf("s3://bucket/p/"), {});
  ASSERT_TRUE(listing) << listing.error().message;
  EXPECT_EQ(listing->repository_url, "s3://bucket");
  EXPECT_THAT(KeysOf(*listing), ElementsAre("p/a/1", "p/a/2", "p/b"));
  EXPECT_EQ(listing->objects[0].size_bytes, 1u);
  EXPECT_FALSE(listing->objects[0].etag.empty());
  EXPECT_EQ(repositories.Counters().requests[2], 1u);
}

TEST_F(ChannelTest, ListsAManifestInItsOrderFromAnotherBucket) {
  buckets_.bucket().PutObject("m/list.json", R"([{"prefix":"s3://other/pre"}, "fix/b", "a", "fix/b"])");
  OpenRepositories repositories(buckets_, 4);
  const auto listing = ListChannel(repositories, ChannelOf("s3://bucket/m/list.json", S3DataType::kManifest), {});
  ASSERT_TRUE(listing) << listing.error().message;
  EXPECT_EQ(listing->repository_url, "s3://other");
  EXPECT_THAT(KeysOf(*listing), ElementsAre("prefix/b", "prea", "prefix/b"));
  EXPECT_EQ(buckets_.times_opened(), 2u);
}

TEST_F(ChannelTest, AnEmptyChannelFailsInTheServicesWords) {
  const char* text = "No S3 objects found under S3 URL \"s3://bucket/none\" given in input data source";
  OpenRepositories repositories(buckets_, 4);
  const auto listing = ListChannel(repositories, ChannelOf("s3://bucket/none"), {});
  EXPECT_EQ(listing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(listing.error().message, HasSubstr(text));
  EXPECT_THAT(Download(ChannelOf("s3://bucket/none")).error().message, HasSubstr(text));
  EXPECT_THAT(Download(ChannelOf("s3://bucket/none", S3DataType::kPrefix, true)).error().message, HasSubstr(text));
  buckets_.bucket().PutObject("none", R"([{"prefix":"s3://bucket/"}])");
  EXPECT_THAT(Download(ChannelOf("s3://bucket/none", S3DataType::kManifest)).error().message, HasSubstr(text));
}

TEST(Order, SharesAreTheWholeWithoutOverlap) {
  for (const bool is_shuffled : {false, true}) {
    for (uint32_t hosts = 1; hosts <= 5; ++hosts) {
      for (const size_t count : {0, 1, 4, 101}) {
        Channel channel = ChannelOf("s3://b/p", S3DataType::kPrefix, true);
        if (is_shuffled) channel.shuffle_seed = 7;
        std::vector<uint32_t> all;
        for (uint32_t host = 0; host < hosts; ++host) {
          const auto share = OrderOf(count, channel, {host, hosts}, 3);
          EXPECT_LE(share.size(), count / hosts + 1);
          all.insert(all.end(), share.begin(), share.end());
        }
        std::sort(all.begin(), all.end());
        ASSERT_EQ(all.size(), count);
        for (size_t i = 0; i < count; ++i) EXPECT_EQ(all[i], i);
      }
    }
  }
}

TEST(Order, IsThatOfTheKeysOrOfTheSeedAndTheEpoch) {
  Channel channel = ChannelOf("s3://b/p");
  EXPECT_THAT(OrderOf(4, channel, {1, 2}, 5), ElementsAre(0, 1, 2, 3));  // fully replicated
  channel.shuffle_seed = 1;
  EXPECT_THAT(OrderOf(8, channel, {}, 0), ElementsAre(7, 2, 6, 5, 1, 0, 3, 4));
  EXPECT_EQ(OrderOf(100, channel, {}, 4), OrderOf(100, channel, {}, 4));
  EXPECT_NE(OrderOf(100, channel, {}, 4), OrderOf(100, channel, {}, 5));
  Channel sharded = ChannelOf("s3://b/p", S3DataType::kPrefix, true);
  EXPECT_THAT(OrderOf(5, sharded, {1, 2}, 9), ElementsAre(1, 3));
  sharded.shuffle_seed = -1;
  EXPECT_NE(OrderOf(100, sharded, {1, 2}, 0), OrderOf(100, sharded, {1, 2}, 1));
}

TEST_F(ChannelTest, DownloadsEachHostItsShare) {
  std::map<std::string, std::string> expected;
  for (int i = 0; i < 50; ++i) {
    const std::string path = "d" + std::to_string(i % 3) + "/f" + std::to_string(i);
    expected[path] = std::string(static_cast<size_t>(i), 'x');
    buckets_.bucket().PutObject("p/" + path, expected[path]);
  }
  std::map<std::string, std::string> together;
  uint64_t objects = 0, bytes = 0;
  for (uint32_t host = 0; host < 3; ++host) {
    const auto result = Download(ChannelOf("s3://bucket/p", S3DataType::kPrefix, true), {host, 3});
    ASSERT_TRUE(result) << result.error().message;
    objects += result->objects;
    bytes += result->bytes;
    for (const auto& [path, content] : Files(host)) EXPECT_TRUE(together.emplace(path, content).second) << path;
  }
  EXPECT_EQ(together, expected);
  EXPECT_EQ(objects, 50u);
  EXPECT_EQ(bytes, 49u * 50 / 2);
  const auto whole = Download(ChannelOf("s3://bucket/p"), {3, 4});
  ASSERT_TRUE(whole);
  EXPECT_EQ(Files(3), expected);
  EXPECT_EQ(whole->bytes, bytes);
}

TEST_F(ChannelTest, AHostWithoutObjectsIsNoFailure) {
  buckets_.bucket().PutObject("p/a", "x");
  const auto result = Download(ChannelOf("s3://bucket/p", S3DataType::kPrefix, true), {1, 2});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->objects, 0u);
}

TEST_F(ChannelTest, DownloadsAManifest) {
  buckets_.bucket().PutObject("m", R"([{"prefix":"s3://other/x/"}, "a/1", "b", "a/1"])");
  other_.PutObject("x/a/1", "one");
  other_.PutObject("x/b", "");
  other_.PutObject("x/c", "not named");
  const auto result = Download(ChannelOf("s3://bucket/m", S3DataType::kManifest));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(Files(), (std::map<std::string, std::string>{{"a/1", "one"}, {"b", ""}}));
  EXPECT_EQ(result->objects, 2u);
  EXPECT_EQ(counters_.requests[0], 3u);  // and what the manifest's own bucket was asked
  EXPECT_EQ(counters_.requests[1], 1u);
}

TEST_F(ChannelTest, AManifestThatLeadsOutOrNowhereFails) {
  buckets_.bucket().PutObject("m", R"([{"prefix":"s3://other/x/"}, "../../evil"])");
  EXPECT_EQ(Download(ChannelOf("s3://bucket/m", S3DataType::kManifest)).error().code, ErrorCode::kInvalidArgument);
  buckets_.bucket().PutObject("m", R"([{"prefix":"s3://other/x/"}, "a//b"])");
  EXPECT_THAT(Download(ChannelOf("s3://bucket/m", S3DataType::kManifest)).error().message, HasSubstr("no file name"));
  buckets_.bucket().PutObject("m", R"([{"prefix":"s3://other/x/"}, "missing"])");
  EXPECT_EQ(Download(ChannelOf("s3://bucket/m", S3DataType::kManifest)).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Download(ChannelOf("s3://bucket/absent", S3DataType::kManifest)).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(Files().empty());
  EXPECT_GT(counters_.requests[1], 0u);  // counted though it failed
}

TEST(Location, OfObjects) {
  EXPECT_EQ(LocationOfObject("s3://b/k/l").key, "k/l");
  EXPECT_EQ(LocationOfObject("s3://b").key, "");
  EXPECT_EQ(LocationOfObject("file:///d/e").repository, "file:///d");
  EXPECT_EQ(LocationOfObject("file:///d/e").key, "e");
  EXPECT_EQ(LocationOfObject("file:///e").repository, "file:///");
  EXPECT_EQ(LocationOfObject("file:///d/").key, "");
}

}  // namespace
}  // namespace leat::jobs
