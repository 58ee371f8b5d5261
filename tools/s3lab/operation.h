// SPDX-License-Identifier: Apache-2.0
// Which S3 operation a request is. Pure; any thread.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "http_request.h"

namespace leat::s3lab {

enum class Operation {
  kListBuckets,
  kHeadBucket,
  kCreateBucket,
  kDeleteBucket,
  kGetBucketLocation,
  kListObjects,
  kListObjectsV2,
  kGetObject,
  kHeadObject,
  kPutObject,
  kCopyObject,
  kDeleteObject,
  kDeleteObjects,
  kCreateMultipartUpload,
  kUploadPart,
  kCompleteMultipartUpload,
  kAbortMultipartUpload,
  kListMultipartUploads,
  kListParts,
  kUnknown,
};
inline constexpr size_t kOperations = static_cast<size_t>(Operation::kUnknown) + 1;

std::string_view OperationName(Operation operation);  // "GetObject", as in the S3 API

struct Target {
  Operation operation = Operation::kUnknown;
  std::string bucket;
  std::string key;  // of a list: its prefix
};
Target FindTarget(const HttpRequest& request);

}  // namespace leat::s3lab
