// SPDX-License-Identifier: Apache-2.0
// The S3 operations: from a request's head and body to an answer. Knows nothing of sockets. Thread-safe: the buckets
// and the multipart uploads each have a mutex, under which no body is read or written; a Call belongs to one
// connection's thread.
//
//   auto call = service.Begin(request, now_s);   // authenticates, finds the operation, prepares where the body goes
//   call->body->Add(bytes); ...
//   Response response = service.Finish(*call, now_s);
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "authorizer.h"
#include "directory_bucket.h"
#include "operation.h"
#include "request_body.h"
#include "response.h"
#include "s3_error.h"

namespace leat::s3lab {

struct Call {
  HttpRequest request;
  Target target;
  std::unique_ptr<RequestBody> body;
  std::optional<S3Error> error;  // the answer, once the body has been read past
  bool ignore_range = false;     // a fault: answer as if no Range had been sent

  ~Call();
  std::shared_ptr<DirectoryBucket> destination;  // where the body's file is
  std::string file;                              // its name there; ours to discard while it is not ""
};

class Service {
 public:
  // `directory`: where buckets that take writes are; "" for none.
  Service(AuthorizerOptions authorizer, std::string directory);
  Status OpenDirectory();  // loads the buckets of `directory`
  Status AddBucket(const std::string& name, std::shared_ptr<const Bucket> bucket);

  std::unique_ptr<Call> Begin(HttpRequest request, int64_t now_s);
  Response Finish(Call& call, int64_t now_s);
  Response ErrorResponse(const S3Error& error, const HttpRequest& request);

 private:
  struct Entry {
    std::shared_ptr<const Bucket> bucket;
    std::shared_ptr<DirectoryBucket> writable;  // the same bucket, or nullptr when it is read-only
    int64_t created_s = 0;
  };
  struct Part {
    std::string file, md5;
    uint64_t size = 0;
    int64_t modified_s = 0;
  };
  struct Upload {
    std::shared_ptr<DirectoryBucket> bucket;
    std::string bucket_name;
    Object object;  // all but size, etag and file
    std::map<uint32_t, Part> parts;
    int64_t began_s = 0;
  };
  using Answer = tl::expected<Response, S3Error>;

  void PrepareBody(Call& call, PayloadPromise promise);
  std::optional<Entry> FindBucket(std::string_view name) const;
  Answer Dispatch(Call& call, int64_t now_s);

  Answer ListBuckets();
  Answer CreateBucket(const Call& call, int64_t now_s);
  Answer DeleteBucket(const Call& call);
  Answer GetOrHead(const Call& call, const Bucket& bucket, bool head);
  Answer Put(Call& call, int64_t now_s);
  Answer Copy(Call& call, const Entry& entry, int64_t now_s);
  Answer Delete(const Call& call, DirectoryBucket& bucket);
  Answer DeleteMany(const Call& call, DirectoryBucket& bucket);
  Answer CreateUpload(const Call& call, const Entry& entry, int64_t now_s);
  Answer PutPart(Call& call, int64_t now_s);
  Answer CompleteUpload(const Call& call, int64_t now_s);
  Answer AbortUpload(const Call& call);
  Answer ListUploads(const Call& call);
  Answer ListParts(const Call& call);
  // Copies the parts' bytes one after the other into a new file; its name.
  static Result<std::string> Concatenate(const DirectoryBucket& bucket, const std::vector<Part>& parts);

  const Authorizer authorizer_;
  const std::string directory_;
  mutable std::shared_mutex buckets_mutex_;
  std::map<std::string, Entry, std::less<>> buckets_;  // guarded by buckets_mutex_
  std::mutex uploads_mutex_;
  std::map<std::string, Upload, std::less<>> uploads_;  // by upload id; these: guarded by uploads_mutex_
  uint64_t uploads_made_ = 0;
  std::atomic<uint64_t> requests_{0};
};

// An object's attributes that a PUT or CreateMultipartUpload carries as headers.
Object ObjectFromHeaders(const HttpRequest& request, std::string key, int64_t now_s);
// The XML of ListObjects (V1) and ListObjectsV2.
tl::expected<Response, S3Error> ListObjects(const Call& call, const Bucket& bucket);
// The texts of the elements `name` below each element `parent` of an XML body, in order; nullopt when it is not XML.
std::optional<std::vector<std::map<std::string, std::string>>> ReadXmlItems(std::string_view xml,
                                                                            std::string_view parent);

Response XmlResponse(std::string_view root, std::string_view inner);

}  // namespace leat::s3lab
