// SPDX-License-Identifier: Apache-2.0
#include "s3/get_body.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "s3/xml.h"

namespace leat::s3 {
namespace {

bool Refuse(Operation& operation, ErrorCode code, const std::string& what, bool is_final) {
  operation.attempt_error = Error{code, "object '" + EscapeForDisplay(operation.key) + "': " + what};
  operation.attempt_error_is_final = is_final;
  return false;
}

void ChooseChecksum(Operation& operation) {
  // A composite checksum is over the parts' checksums, whose sizes are not known here.
  if (ToLower(operation.response.Header("x-amz-checksum-type")) == "composite") return;
  for (const auto& [algorithm, name] : kChecksumHeaders) {
    const std::string_view value = operation.response.Header(name);
    if (value.empty() || value.find('-') != std::string_view::npos) continue;
    operation.checksum.emplace(algorithm);
    operation.expected_checksum = value;
    return;
  }
}

}  // namespace

std::string_view Response::Header(std::string_view name) const {
  for (const auto& [each, value] : headers) {
    if (each == name) return value;
  }
  return {};
}

Result<ContentRange> ParseContentRange(std::string_view text) {
  const auto wrong = [&] {
    return Fail(ErrorCode::kProtocol, "Content-Range '" + EscapeForDisplay(text) + "' is malformed");
  };
  if (!text.starts_with("bytes ")) return wrong();
  text.remove_prefix(6);
  const size_t dash = text.find('-'), slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) return wrong();
  const auto first = ParseUnsigned(text.substr(0, dash));
  const auto last = ParseUnsigned(text.substr(dash + 1, slash - dash - 1));
  const auto total = ParseUnsigned(text.substr(slash + 1));
  if (!first || !last || !total || *first > *last || *last >= *total) return wrong();
  return ContentRange{*first, *last, *total};
}

Result<ObjectInfo> InfoFromHeaders(const std::string& key, const Response& response, uint64_t size_bytes) {
  ObjectInfo info;
  info.key = key;
  info.size_bytes = size_bytes;
  info.etag = response.Header("etag");
  if (const std::string_view time = response.Header("last-modified"); !time.empty()) {
    LEAT_ASSIGN_OR_RETURN(info.last_modified_ns, ParseHttpTime(time));
  }
  info.storage_class = response.Header("x-amz-storage-class");
  if (info.storage_class == "STANDARD") info.storage_class.clear();
  info.has_user_metadata = true;
  constexpr std::string_view kPrefix = "x-amz-meta-";
  for (const auto& [name, value] : response.headers) {
    if (name.starts_with(kPrefix)) info.user_metadata.emplace_back(name.substr(kPrefix.size()), value);
  }
  return info;
}

bool BeginBody(Operation& operation) {
  operation.body_checked = true;
  const Response& response = operation.response;
  const std::string_view length_text = response.Header("content-length");
  const auto length = ParseUnsigned(length_text);
  uint64_t total = 0, first = 0, end = 0;
  if (response.status == 206 && operation.IsRanged()) {
    const auto range = ParseContentRange(response.Header("content-range"));
    if (!range) return Refuse(operation, ErrorCode::kProtocol, "the server's " + range.error().message, false);
    first = range->first;
    end = range->last + 1;
    total = range->total;
    if (!length_text.empty() && (!length || *length != end - first))
      return Refuse(operation, ErrorCode::kProtocol, "the server's Content-Length and Content-Range disagree", false);
  } else if (response.status == 200 && !operation.IsRanged()) {
    if (!length) return Refuse(operation, ErrorCode::kProtocol, "the server gave no Content-Length", false);
    total = end = *length;
  } else {
    return Refuse(operation, ErrorCode::kProtocol,
                  "the server answered " + std::to_string(response.status) + " to a request for " +
                      (operation.IsRanged() ? "a range" : "the whole object"),
                  false);
  }
  const uint64_t asked_first = operation.get.offset + operation.delivered;
  const uint64_t asked_end =
      operation.get.length ? std::min(total, operation.get.offset + *operation.get.length) : total;
  if (first != asked_first || end != asked_end)
    return Refuse(operation, ErrorCode::kProtocol,
                  "the server sent bytes " + std::to_string(first) + " to " + std::to_string(end) + " where " +
                      std::to_string(asked_first) + " to " + std::to_string(asked_end) + " were asked for",
                  false);
  const std::string etag(response.Header("etag"));
  const std::string& pinned = operation.started ? operation.pinned_etag : operation.get.if_match;
  if (!pinned.empty() && etag != pinned)
    return Refuse(operation, ErrorCode::kObjectChanged, "it was replaced while being read; open it again", true);
  if (operation.started) {
    if (end != operation.end)
      return Refuse(operation, ErrorCode::kObjectChanged, "its size changed while being read", true);
    return true;
  }
  auto info = InfoFromHeaders(operation.key, response, total);
  if (!info) return Refuse(operation, ErrorCode::kProtocol, info.error().message, false);
  if (!operation.IsRanged()) ChooseChecksum(operation);
  operation.started = true;
  operation.end = end;
  operation.pinned_etag = etag;
  operation.receiver->OnStart(*info);
  return true;
}

bool DeliverBytes(Operation& operation, std::span<const std::byte> bytes) {
  if (bytes.size() > operation.end - operation.get.offset - operation.delivered)
    return Refuse(operation, ErrorCode::kProtocol, "the server sent more bytes than it announced", true);
  if (operation.checksum) operation.checksum->Add(bytes);
  operation.delivered += bytes.size();
  operation.receiver->OnData(bytes);
  return true;
}

Status EndBody(Operation& operation) {
  const uint64_t wanted = operation.end - operation.get.offset;
  if (operation.delivered != wanted)
    return Fail(ErrorCode::kUnavailable, "object '" + EscapeForDisplay(operation.key) + "': the body ended after " +
                                             std::to_string(operation.delivered) + " of " + std::to_string(wanted) +
                                             " bytes");
  if (operation.checksum && operation.checksum->Base64() != operation.expected_checksum)
    return Fail(ErrorCode::kCorrupt, "object '" + EscapeForDisplay(operation.key) +
                                         "': its bytes do not match the checksum that S3 keeps for it; read it again");
  return {};
}

}  // namespace leat::s3
