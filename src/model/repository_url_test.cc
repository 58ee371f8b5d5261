// SPDX-License-Identifier: Apache-2.0
#include "model/repository_url.h"

#include <gtest/gtest.h>

namespace leat {
namespace {

TEST(RepositoryUrl, BucketAndPrefix) {
  const auto url = RepositoryUrl::Parse("s3://bucket/a b/c");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->bucket, "bucket");
  EXPECT_EQ(url->prefix, "a b/c/");
  EXPECT_EQ(url->ToString(), "s3://bucket/a b/c/");
}

TEST(RepositoryUrl, ToStringParsesToTheSame) {
  for (const char* text : {"s3://bkt", "s3://bkt/", "s3://bkt/x", "s3://bkt//x/", "file:///", "file:///a/b///"}) {
    const auto url = RepositoryUrl::Parse(text);
    ASSERT_TRUE(url) << text;
    const auto again = RepositoryUrl::Parse(url->ToString());
    ASSERT_TRUE(again) << text;
    EXPECT_EQ(again->kind, url->kind);
    EXPECT_EQ(again->bucket, url->bucket);
    EXPECT_EQ(again->prefix, url->prefix);
    EXPECT_EQ(again->path, url->path);
  }
}

TEST(RepositoryUrl, DirectoryLosesTrailingSlashes) {
  EXPECT_EQ(RepositoryUrl::Parse("file:///a/b//")->path, "/a/b");
  EXPECT_EQ(RepositoryUrl::Parse("file:///")->path, "/");
}

TEST(RepositoryUrl, RefusalsShowTheRightForm) {
  for (const char* text :
       {"", "s3://", "s3:///x", "s3://a", "s3://bad bucket/x", "file://relative", "file://", "/data", "gs://b"}) {
    const auto url = RepositoryUrl::Parse(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(url.error().message.find("s3://bucket/prefix/"), std::string::npos);
  }
}

}  // namespace
}  // namespace leat
