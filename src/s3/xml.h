// SPDX-License-Identifier: Apache-2.0
// S3's XML answers. Pure; any thread. Input is hostile: document types and entities are refused, size and depth
// bounded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "env/object_store.h"
#include "s3/secret.h"

namespace leat::s3 {

struct ErrorBody {
  std::string code;
  std::string message;
  std::string region;
};
// Empty fields when the text is not an <Error> document (STS: <ErrorResponse>): proxies answer HTML.
ErrorBody ParseErrorBody(std::string_view text);

Result<env::ListPage> ParseListPage(std::string_view text);
Result<std::string> ParseUploadId(std::string_view text);
// The ETag of CompleteMultipartUpload; an <Error> inside a 200 gives kUnavailable with S3's code in `error`.
Result<std::string> ParseCompletion(std::string_view text, ErrorBody* error);

struct SessionKeys {
  std::string access_key_id;
  Secret secret_access_key, session_token;
  int64_t expires_ns = 0;  // since the epoch
};
// STS's answer to GetSessionToken.
Result<SessionKeys> ParseSessionKeys(std::string_view text);

// "2026-01-02T03:04:05.000Z" to nanoseconds since the epoch.
Result<int64_t> ParseIsoTime(std::string_view text);
// "Fri, 02 Jan 2026 03:04:05 GMT" likewise.
Result<int64_t> ParseHttpTime(std::string_view text);

std::string EscapeXml(std::string_view text);

}  // namespace leat::s3
