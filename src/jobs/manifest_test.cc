// SPDX-License-Identifier: Apache-2.0
#include "jobs/manifest.h"

#include <gmock/gmock.h>

#include "sim/memory_object_store.h"

namespace leat::jobs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Manifest, ReadsPrefixAndSuffixes) {
  const auto manifest = ParseManifest(R"([ {"prefix":"s3://bkt/some/prefix/"}, "relative/a-1", "b" ])", "s3://m/m");
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->prefix, "s3://bkt/some/prefix/");
  EXPECT_THAT(manifest->suffixes, ElementsAre("relative/a-1", "b"));
  EXPECT_THAT(ParseManifest(R"([{"prefix":"s3://bkt/"}])", "s3://m/m")->suffixes, IsEmpty());
  EXPECT_TRUE(ParseManifest(R"([{"prefix":"file:///d/"}, "a"])", "file:///m"));
}

TEST(Manifest, ShouldFail) {
  const std::string deep(1 << 20, '[');
  const std::pair<std::string, const char*> cases[] = {
      {"", "is no JSON"},
      {"[", "is no JSON"},
      {deep, "a list within the list"},
      {"[{\"prefix\":" + deep, "a list within the list"},
      {"[]", "is empty"},
      {"{}", "is no list"},
      {"\"a\"", "does not begin with"},
      {"3", "a number"},
      {R"(["a"])", "does not begin with"},
      {R"([{}, "a"])", "has no \"prefix\""},
      {R"([{"prefix":"s3://b/"}, {"prefix":"s3://c/"}, "a"])", "an object where a relative key belongs"},
      {R"([{"prefix":"s3://b/", "x":"y"}, "a"])", "has 'x' beside"},
      {R"([{"prefix":"http://b/"}, "a"])", "must be s3://bucket"},
      {R"([{"prefix":"file:///etc/"}, "passwd"])", "must not be a file:// one"},
      {R"([{"prefix":"s3://b/"}, "../a"])", "without '..'"},
      {R"([{"prefix":"s3://b/"}, "a/.."])", "without '..'"},
      {R"([{"prefix":"s3://b/"}, "/etc/passwd"])", "must be relative"},
      {R"([{"prefix":"s3://b/"}, ""])", "must be relative"},
      {R"([{"prefix":"s3://b/"}, "a\u0000b"])", "must be relative"},
      {R"([{"prefix":"s3://b/"}, 1])", "a number"},
      {R"([{"prefix":"s3://b/"}, null])", "null"},
      {R"([{"prefix":"s3://b/"}, "a"] "b")", "is no JSON"},
      {R"([{"prefix":"s3://b/"}, "a\nb", 1])", "a number"},
      {"[{\"prefix\":\"s3://b/\"}, \"\xff\xfe\"]", "is no JSON"}};
  for (const auto& [text, problem] : cases) {
    const auto manifest = ParseManifest(text, "s3://m/m.json");
    ASSERT_FALSE(manifest) << text.substr(0, 100);
    EXPECT_EQ(manifest.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(manifest.error().message, HasSubstr(problem)) << text.substr(0, 100);
    EXPECT_THAT(manifest.error().message, HasSubstr("s3://m/m.json"));
    EXPECT_LT(manifest.error().message.size(), 400u);
  }
}

TEST(Manifest, IsReadWholeOrNotAtAll) {
  sim::MemoryObjectStore store;
  store.PutObject("m", "0123456789");
  EXPECT_EQ(ReadManifestObject(store, "s3://b/m", 10, {}).value(), "0123456789");
  EXPECT_THAT(ReadManifestObject(store, "s3://b/m", 9, {}).error().message, HasSubstr("may have 9 B"));
  EXPECT_EQ(ReadManifestObject(store, "s3://b/n", 9, {}).error().code, ErrorCode::kNotFound);
  store.AddFault({env::RequestKind::kGet, "m", ErrorCode::kUnavailable, 5});
  EXPECT_EQ(ReadManifestObject(store, "s3://b/m", 10, {}).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(store.FaultsFired(), 1);
  store.AddFault({.kind = env::RequestKind::kGet, .key_prefix = "m", .stall = true});
  EXPECT_EQ(ReadManifestObject(store, "s3://b/m", 10, [] { return true; }).error().code, ErrorCode::kCancelled);
}

TEST(AugmentedManifest, GivesAttributesInTheOrderOfTheirNames) {
  const auto manifest = AugmentedManifest::Parse(
      "{\"image-ref\": \"s3://bkt/s1/image1.jpg\", \"is-a-cat\": 1}\r\n"
      "\n"
      "  {\"is-a-cat\" : {\"b\": [1.50, \"]}\\\"\"], \"a\":1e5} , \"other\":[{}], \"image-ref\":\"s3:\\/\\/b2\\/x,y\"}",
      "s3://m/m", {"is-a-cat", "image-ref"});
  ASSERT_TRUE(manifest) << manifest.error().message;
  ASSERT_EQ(manifest->line_count(), 2u);
  const auto first = manifest->Line(0), second = manifest->Line(1);
  EXPECT_EQ(first[0].value, "1");
  EXPECT_FALSE(first[0].is_reference);
  EXPECT_EQ(first[1].value, "s3://bkt/s1/image1.jpg");
  EXPECT_TRUE(first[1].is_reference);
  // The text as it is, not as a parser would write it again.
  EXPECT_EQ(second[0].value, R"({"b": [1.50, "]}\""], "a":1e5})");
  EXPECT_EQ(second[1].value, "s3://b2/x,y");
  EXPECT_THAT(manifest->repositories(), ElementsAre("s3://b2", "s3://bkt"));
}

TEST(AugmentedManifest, EveryKindOfValue) {
  for (const char* value : {"1", "-1.5e3", "true", "null", "\"a b\"", "[]", "{}", "[[1],{\"a\":\"}\"}]", "\"\\\\\""}) {
    for (const std::string& line :
         {"{\"x\":" + std::string(value) + "}", "{\"x\" : " + std::string(value) + " , \"y\":2}",
          "{\"y\":[2] ,\"x\": " + std::string(value) + "\t}"}) {
      const auto manifest = AugmentedManifest::Parse(line, "s3://m/m", {"x"});
      ASSERT_TRUE(manifest) << line << ": " << manifest.error().message;
      EXPECT_EQ(manifest->Line(0)[0].value, value) << line;
    }
  }
}

TEST(AugmentedManifest, ShouldFail) {
  const std::pair<std::string, const char*> cases[] = {
      {"{", "is no JSON"},
      {"[1]", "is no JSON object"},
      {"1", "is no JSON object"},
      {"{}", "has no attribute 'a-ref'"},
      {R"({"a-ref": 1})", "must be the s3:// URI of an object"},
      {R"({"a-ref": "a.jpg"})", "must be the s3:// URI of an object"},
      {R"({"a-ref": "s3://bucket"})", "must be the s3:// URI of an object"},
      {R"({"a-ref": "s3://bucket/folder/"})", "must be the s3:// URI of an object"},
      {R"({"a-ref": "file:///etc/passwd"})", "must not name files of this machine"},
      {"{\"a-ref\": " + std::string(100000, '[') + "}", "nested too deeply"},
      {"{\"a-ref\": \"" + std::string(2 << 20, 'x') + "\"}", "is longer than 1.00 MiB"}};
  for (const auto& [line, problem] : cases) {
    const auto manifest = AugmentedManifest::Parse("{\"a-ref\": \"s3://b/k\"}\n\n" + line, "s3://m/m", {"a-ref"});
    ASSERT_FALSE(manifest) << line.substr(0, 100);
    EXPECT_THAT(manifest.error().message, HasSubstr("line 3 of the manifest s3://m/m "));
    EXPECT_THAT(manifest.error().message, HasSubstr(problem));
    EXPECT_LT(manifest.error().message.size(), 400u);
  }
  std::string buckets;
  for (int i = 0; i < 100; ++i) buckets += "{\"a-ref\": \"s3://b" + std::to_string(i) + "/k\"}\n";
  EXPECT_THAT(AugmentedManifest::Parse(buckets, "s3://m/m", {"a-ref"}).error().message, HasSubstr("more than 16"));
}

TEST(AugmentedManifest, ALocalOneMayNameLocalFiles) {
  const auto manifest = AugmentedManifest::Parse(R"({"a-ref": "file:///d/x"})", "file:///m.jsonl", {"a-ref"});
  ASSERT_TRUE(manifest);
  const auto location = LocationOfReference(manifest->Line(0)[0].value);
  EXPECT_EQ(location.repository, "file:///");
  EXPECT_EQ(location.key, "d/x");
}

}  // namespace
}  // namespace leat::jobs
