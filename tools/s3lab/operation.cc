// SPDX-License-Identifier: Apache-2.0
#include "operation.h"

#include <algorithm>
#include <initializer_list>

#include "base/text.h"

namespace leat::s3lab {
namespace {

constexpr std::array<std::string_view, kOperations> kNames = {"ListBuckets",
                                                              "HeadBucket",
                                                              "CreateBucket",
                                                              "DeleteBucket",
                                                              "GetBucketLocation",
                                                              "ListObjects",
                                                              "ListObjectsV2",
                                                              "GetObject",
                                                              "HeadObject",
                                                              "PutObject",
                                                              "CopyObject",
                                                              "DeleteObject",
                                                              "DeleteObjects",
                                                              "CreateMultipartUpload",
                                                              "UploadPart",
                                                              "CompleteMultipartUpload",
                                                              "AbortMultipartUpload",
                                                              "ListMultipartUploads",
                                                              "ListParts",
                                                              "Unknown"};

// Whether the query names nothing beyond `allowed`: a sub-resource that we do not know (?acl, ?tagging, ?versionId)
// must not be taken for the plain operation.
bool OnlyHas(const HttpRequest& request, std::initializer_list<std::string_view> allowed) {
  return std::all_of(request.query.begin(), request.query.end(), [&](const auto& item) {
    return item.first == "x-id" || std::find(allowed.begin(), allowed.end(), item.first) != allowed.end();
  });
}

Operation BucketOperation(const HttpRequest& request) {
  const std::string& method = request.method;
  if (method == "HEAD" && OnlyHas(request, {})) return Operation::kHeadBucket;
  if (method == "PUT" && OnlyHas(request, {})) return Operation::kCreateBucket;
  if (method == "DELETE" && OnlyHas(request, {})) return Operation::kDeleteBucket;
  if (method == "POST" && request.Query("delete") && OnlyHas(request, {"delete"})) return Operation::kDeleteObjects;
  if (method != "GET") return Operation::kUnknown;
  if (request.Query("location"))
    return OnlyHas(request, {"location"}) ? Operation::kGetBucketLocation : Operation::kUnknown;
  if (request.Query("uploads"))
    return OnlyHas(request,
                   {"uploads", "prefix", "delimiter", "encoding-type", "max-uploads", "key-marker", "upload-id-marker"})
               ? Operation::kListMultipartUploads
               : Operation::kUnknown;
  if (const std::string* type = request.Query("list-type")) {
    return *type == "2" && OnlyHas(request, {"list-type", "prefix", "delimiter", "max-keys", "start-after",
                                             "continuation-token", "encoding-type", "fetch-owner"})
               ? Operation::kListObjectsV2
               : Operation::kUnknown;
  }
  return OnlyHas(request, {"prefix", "delimiter", "max-keys", "marker", "encoding-type"}) ? Operation::kListObjects
                                                                                          : Operation::kUnknown;
}

Operation ObjectOperation(const HttpRequest& request) {
  const std::string& method = request.method;
  if (request.Query("uploadId")) {
    if (method == "PUT" && request.Query("partNumber") && !request.Header("x-amz-copy-source"))
      return OnlyHas(request, {"uploadId", "partNumber"}) ? Operation::kUploadPart : Operation::kUnknown;
    if (method == "GET")
      return OnlyHas(request, {"uploadId", "max-parts", "part-number-marker"}) ? Operation::kListParts
                                                                               : Operation::kUnknown;
    if (!OnlyHas(request, {"uploadId"})) return Operation::kUnknown;
    if (method == "POST") return Operation::kCompleteMultipartUpload;
    if (method == "DELETE") return Operation::kAbortMultipartUpload;
    return Operation::kUnknown;
  }
  if (method == "POST" && request.Query("uploads") && OnlyHas(request, {"uploads"}))
    return Operation::kCreateMultipartUpload;
  if (!OnlyHas(request, {})) return Operation::kUnknown;
  if (method == "GET") return Operation::kGetObject;
  if (method == "HEAD") return Operation::kHeadObject;
  if (method == "PUT") return request.Header("x-amz-copy-source") ? Operation::kCopyObject : Operation::kPutObject;
  if (method == "DELETE") return Operation::kDeleteObject;
  return Operation::kUnknown;
}

}  // namespace

std::string_view OperationName(Operation operation) { return kNames[static_cast<size_t>(operation)]; }

Target FindTarget(const HttpRequest& request) {
  Target target;
  const std::string_view path = std::string_view(request.raw_path).substr(1);
  const size_t slash = path.find('/');
  target.bucket = PercentDecode(path.substr(0, slash), false);
  if (slash != std::string_view::npos) target.key = PercentDecode(path.substr(slash + 1), false);
  if (target.bucket.empty()) {
    if (request.method == "GET" && target.key.empty()) target.operation = Operation::kListBuckets;
    return target;
  }
  target.operation = target.key.empty() ? BucketOperation(request) : ObjectOperation(request);
  if (target.operation == Operation::kListObjects || target.operation == Operation::kListObjectsV2) {
    if (const std::string* prefix = request.Query("prefix")) target.key = *prefix;
  }
  return target;
}

}  // namespace leat::s3lab
