// SPDX-License-Identifier: Apache-2.0
// Multipart uploads. Their parts are files of the bucket that no object names; an upload does not survive a restart.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/random.h"
#include "base/text.h"
#include "service.h"

namespace leat::s3lab {
namespace {

constexpr uint64_t kPartBytesMin = 5u << 20;  // of every part but the last
constexpr uint64_t kPartsMax = 10'000;

S3Error NoSuchUpload() {
  return {
      404, "NoSuchUpload",
      "The specified upload does not exist. The upload ID may be invalid, or it may have been aborted or completed.",
      ""};
}
S3Error Internal(const Error& error) { return {500, "InternalError", "s3lab: " + error.message, ""}; }

std::string_view Unquoted(std::string_view etag) {
  etag = Trim(etag);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  return etag;
}

}  // namespace

Service::Answer Service::CreateUpload(const Call& call, const Entry& entry, int64_t now_s) {
  Upload upload;
  upload.bucket = entry.writable;
  upload.bucket_name = call.target.bucket;
  upload.object = ObjectFromHeaders(call.request, call.target.key, now_s);
  upload.began_s = now_s;
  std::string id;
  {
    const std::lock_guard lock(uploads_mutex_);
    char text[40];
    std::snprintf(text, sizeof text, "%016llx%08llx", static_cast<unsigned long long>(Random::Mix(++uploads_made_)),
                  static_cast<unsigned long long>(now_s));
    id = text;
    uploads_.emplace(id, std::move(upload));
  }
  return XmlResponse("InitiateMultipartUploadResult", "<Bucket>" + XmlText(call.target.bucket) + "</Bucket><Key>" +
                                                          XmlText(call.target.key) + "</Key><UploadId>" + id +
                                                          "</UploadId>");
}

Service::Answer Service::PutPart(Call& call, int64_t now_s) {
  const auto number = ParseUnsigned(*call.request.Query("partNumber"));
  if (!number || *number < 1 || *number > kPartsMax)
    return tl::unexpected(
        S3Error{400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive", ""});
  Part part{call.file, call.body->md5(), call.body->size(), now_s};
  const std::string etag = HexEncode(std::string_view(part.md5));
  std::string old_file;
  {
    const std::lock_guard lock(uploads_mutex_);
    const auto found = uploads_.find(*call.request.Query("uploadId"));
    if (found == uploads_.end() || found->second.object.key != call.target.key ||
        found->second.bucket != call.destination)
      return tl::unexpected(NoSuchUpload());
    Part& place = found->second.parts[static_cast<uint32_t>(*number)];
    old_file = std::exchange(place, std::move(part)).file;
    call.file.clear();
  }
  if (!old_file.empty()) call.destination->Discard(old_file);
  Response response;
  response.AddHeader("ETag", "\"" + etag + "\"");
  for (const auto& [name, value] : call.body->checksums()) response.AddHeader(name, value);
  return response;
}

Result<std::string> Service::Concatenate(const DirectoryBucket& bucket, const std::vector<Part>& parts) {
  LEAT_ASSIGN_OR_RETURN(auto made, bucket.NewFile());
  const std::string name = made.second;
  uint64_t at = 0;
  std::string bytes(1u << 20, '\0');
  for (const Part& part : parts) {
    Object source;
    source.file = part.file;
    source.size = part.size;
    const auto body = bucket.Open(source);
    for (uint64_t done = 0; done < part.size;) {
      const ssize_t got =
          body == nullptr ? -1 : pread(body->At(0).descriptor, bytes.data(), bytes.size(), static_cast<off_t>(done));
      Status written;
      if (got > 0)
        written = WriteAll(made.first.get(), std::as_bytes(std::span(bytes.data(), static_cast<size_t>(got))), at);
      if (got <= 0 || !written) {
        bucket.Discard(name);
        return written ? Fail(ErrorCode::kIo, "cannot read a part's file") : Fail(std::move(written).error());
      }
      done += static_cast<uint64_t>(got);
      at += static_cast<uint64_t>(got);
    }
  }
  return name;
}

Service::Answer Service::CompleteUpload(const Call& call, int64_t now_s) {
  const auto items = ReadXmlItems(call.body->memory(), "Part");
  if (!items || items->empty())
    return tl::unexpected(
        S3Error{400, "MalformedXML",
                "The XML you provided was not well-formed or did not validate against our published schema", ""});
  const S3Error invalid{
      400, "InvalidPart",
      "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified "
      "entity tag may not match the part's entity tag.",
      ""};
  Upload upload;
  std::vector<Part> parts;
  std::string digests;
  {
    const std::lock_guard lock(uploads_mutex_);
    const auto found = uploads_.find(*call.request.Query("uploadId"));
    if (found == uploads_.end() || found->second.object.key != call.target.key ||
        found->second.bucket_name != call.target.bucket)
      return tl::unexpected(NoSuchUpload());
    std::vector<uint64_t> numbers;
    for (const auto& item : *items) {
      const auto number = item.contains("PartNumber") ? ParseUnsigned(item.at("PartNumber")) : Result<uint64_t>(0);
      if (!number || *number <= (numbers.empty() ? 0 : numbers.back()))
        return tl::unexpected(S3Error{
            400, "InvalidPartOrder",
            "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
            ""});
      numbers.push_back(*number);
    }
    for (size_t i = 0; i < items->size(); ++i) {
      const auto& item = (*items)[i];
      const auto part = found->second.parts.find(static_cast<uint32_t>(numbers[i]));
      if (part == found->second.parts.end() || !item.contains("ETag") ||
          Unquoted(item.at("ETag")) != HexEncode(std::string_view(part->second.md5)))
        return tl::unexpected(invalid);
      if (part->second.size < kPartBytesMin && i + 1 < items->size())
        return tl::unexpected(
            S3Error{400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", ""});
      parts.push_back(part->second);
      digests += part->second.md5;
    }
    upload = std::move(found->second);
    uploads_.erase(found);
  }
  auto file = Concatenate(*upload.bucket, parts);
  for (const auto& [number, part] : upload.parts) upload.bucket->Discard(part.file);
  if (!file) return tl::unexpected(Internal(file.error()));
  HashStream md5(EVP_md5());
  md5.Add(digests);
  Object object = std::move(upload.object);
  object.file = *file;
  object.modified_s = now_s;
  object.etag = HexEncode(std::string_view(md5.Finish())) + "-" + std::to_string(parts.size());
  for (const Part& part : parts) object.size += part.size;
  const std::string inner = "<Location>/" + XmlText(call.target.bucket) + "</Location><Bucket>" +
                            XmlText(call.target.bucket) + "</Bucket><Key>" + XmlText(call.target.key) +
                            "</Key><ETag>&quot;" + object.etag + "&quot;</ETag>";
  WriteCondition condition;
  if (const std::string* value = call.request.Header("if-none-match")) condition.only_if_absent = *value == "*";
  if (const std::string* value = call.request.Header("if-match")) condition.if_match = *value;
  const auto outcome = upload.bucket->Put(std::move(object), condition);
  if (!outcome) return tl::unexpected(Internal(outcome.error()));
  if (*outcome != WriteOutcome::kDone)
    return tl::unexpected(
        S3Error{412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", ""});
  return XmlResponse("CompleteMultipartUploadResult", inner);
}

Service::Answer Service::AbortUpload(const Call& call) {
  Upload upload;
  {
    const std::lock_guard lock(uploads_mutex_);
    const auto found = uploads_.find(*call.request.Query("uploadId"));
    if (found == uploads_.end() || found->second.object.key != call.target.key ||
        found->second.bucket_name != call.target.bucket)
      return tl::unexpected(NoSuchUpload());
    upload = std::move(found->second);
    uploads_.erase(found);
  }
  for (const auto& [number, part] : upload.parts) upload.bucket->Discard(part.file);
  Response response;
  response.status = 204;
  response.without_body = true;
  return response;
}

Service::Answer Service::ListUploads(const Call& call) {
  const std::string* prefix = call.request.Query("prefix");
  const bool url = call.request.Query("encoding-type") != nullptr;
  std::string inner = "<Bucket>" + XmlText(call.target.bucket) + "</Bucket><IsTruncated>false</IsTruncated>";
  const std::lock_guard lock(uploads_mutex_);
  for (const auto& [id, upload] : uploads_) {
    const std::string& key = upload.object.key;
    if (upload.bucket_name != call.target.bucket || (prefix != nullptr && key.compare(0, prefix->size(), *prefix) != 0))
      continue;
    inner += "<Upload><Key>" + (url ? UrlEncodeKey(key) : XmlText(key)) + "</Key><UploadId>" + id +
             "</UploadId><Initiated>" + IsoTime(upload.began_s) + "</Initiated></Upload>";
  }
  return XmlResponse("ListMultipartUploadsResult", inner);
}

Service::Answer Service::ListParts(const Call& call) {
  const std::lock_guard lock(uploads_mutex_);
  const auto found = uploads_.find(*call.request.Query("uploadId"));
  if (found == uploads_.end() || found->second.object.key != call.target.key ||
      found->second.bucket_name != call.target.bucket)
    return tl::unexpected(NoSuchUpload());
  std::string inner = "<Bucket>" + XmlText(call.target.bucket) + "</Bucket><Key>" + XmlText(call.target.key) +
                      "</Key><UploadId>" + found->first + "</UploadId><IsTruncated>false</IsTruncated>";
  for (const auto& [number, part] : found->second.parts)
    inner += "<Part><PartNumber>" + std::to_string(number) + "</PartNumber><LastModified>" + IsoTime(part.modified_s) +
             "</LastModified><ETag>&quot;" + HexEncode(std::string_view(part.md5)) + "&quot;</ETag><Size>" +
             std::to_string(part.size) + "</Size></Part>";
  return XmlResponse("ListPartsResult", inner);
}

}  // namespace leat::s3lab
