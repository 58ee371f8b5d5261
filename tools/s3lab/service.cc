// SPDX-License-Identifier: Apache-2.0
#include "service.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/random.h"
#include "base/text.h"
#include "listing.h"
#include "s3/xml.h"

namespace leat::s3lab {
namespace {

constexpr uint64_t kPutBytesMax = 5ull << 30;
constexpr size_t kKeyBytesMax = 1024;
constexpr std::string_view kNamespace = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

S3Error NoSuchBucket(const std::string& name) {
  return {404, "NoSuchBucket", "The specified bucket does not exist", "<BucketName>" + XmlText(name) + "</BucketName>"};
}
S3Error NoSuchKey(const std::string& key) {
  return {404, "NoSuchKey", "The specified key does not exist.", "<Key>" + XmlText(key) + "</Key>"};
}
S3Error Precondition(std::string_view header) {
  return {412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold",
          "<Condition>" + std::string(header) + "</Condition>"};
}

bool IsBucketName(std::string_view name) {
  return name.size() >= 3 && name.size() <= 63 && name.front() != '.' && name.front() != '-' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") == std::string_view::npos &&
         name.find("..") == std::string_view::npos;
}

// 412 and 304, in S3's order of precedence.
std::optional<S3Error> CheckConditions(const HttpRequest& request, const Object& object) {
  const auto header_time = [&](std::string_view name) -> std::optional<int64_t> {
    const std::string* value = request.Header(name);
    if (value == nullptr) return std::nullopt;
    const auto parsed = s3::ParseHttpTime(*value);
    if (!parsed) return std::nullopt;
    return *parsed / 1'000'000'000;
  };
  if (const std::string* value = request.Header("if-match")) {
    if (!ETagMatches(*value, object.etag)) return Precondition("If-Match");
  } else if (const auto time = header_time("if-unmodified-since"); time && object.modified_s > *time) {
    return Precondition("If-Unmodified-Since");
  }
  if (const std::string* value = request.Header("if-none-match")) {
    if (ETagMatches(*value, object.etag)) return S3Error{304, "NotModified", "", ""};
  } else if (const auto time = header_time("if-modified-since"); time && object.modified_s <= *time) {
    return S3Error{304, "NotModified", "", ""};
  }
  return std::nullopt;
}

WriteCondition ConditionOf(const HttpRequest& request) {
  WriteCondition condition;
  if (const std::string* value = request.Header("if-none-match")) condition.only_if_absent = *value == "*";
  if (const std::string* value = request.Header("if-match")) condition.if_match = *value;
  return condition;
}

}  // namespace

Call::~Call() {
  if (!file.empty()) destination->Discard(file);
}

Response XmlResponse(std::string_view root, std::string_view inner) {
  Response response;
  response.AddHeader("Content-Type", "application/xml");
  response.text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<";
  response.text.append(root).append(kNamespace).append(">").append(inner).append("</").append(root).append(">");
  return response;
}

Service::Service(AuthorizerOptions authorizer, std::string directory)
    : authorizer_(std::move(authorizer)), directory_(std::move(directory)) {}

Status Service::OpenDirectory() {
  if (directory_.empty()) return {};
  LEAT_RETURN_IF_ERROR(CreateDirectories(directory_));
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error)) {
    const std::string name = entry.path().filename().native();
    if (!entry.is_directory() || !IsBucketName(name)) continue;
    LEAT_ASSIGN_OR_RETURN(std::shared_ptr<DirectoryBucket> bucket, DirectoryBucket::Open(entry.path().native()));
    struct stat attributes {};
    stat(entry.path().c_str(), &attributes);
    buckets_[name] = Entry{bucket, bucket, attributes.st_mtim.tv_sec};
  }
  if (error) return Fail(ErrorCode::kIo, "cannot read " + directory_ + ": " + error.message());
  return {};
}

Status Service::AddBucket(const std::string& name, std::shared_ptr<const Bucket> bucket) {
  if (name.empty() || name.find('/') != std::string::npos ||
      !buckets_.emplace(name, Entry{std::move(bucket), nullptr, 0}).second)
    return Fail(ErrorCode::kInvalidArgument, "bucket \"" + name + "\" is there already, or is no bucket name");
  return {};
}

std::optional<Service::Entry> Service::FindBucket(std::string_view name) const {
  const std::shared_lock lock(buckets_mutex_);
  const auto found = buckets_.find(name);
  return found == buckets_.end() ? std::nullopt : std::optional<Entry>(found->second);
}

std::unique_ptr<Call> Service::Begin(HttpRequest request, int64_t now_s) {
  auto call = std::make_unique<Call>();
  call->request = std::move(request);
  call->target = FindTarget(call->request);
  PayloadPromise promise;
  call->error = authorizer_.Check(call->request, now_s, &promise);
  if (!call->error) PrepareBody(*call, std::move(promise));
  if (call->body == nullptr) {
    // An answer is known already; the body, if any, is read past and forgotten.
    call->body = std::make_unique<RequestBody>(HttpRequest{}, PayloadPromise{}, RequestBody::Keep::kNowhere);
  }
  return call;
}

void Service::PrepareBody(Call& call, PayloadPromise promise) {
  using Keep = RequestBody::Keep;
  const Operation operation = call.target.operation;
  if (call.target.key.size() > kKeyBytesMax) {
    call.error = S3Error{400, "KeyTooLongError", "Your key is too long", ""};
    return;
  }
  Keep keep = Keep::kMemory;
  FileDescriptor file;
  if (operation == Operation::kPutObject || operation == Operation::kUploadPart) {
    keep = Keep::kFile;
    const auto entry = FindBucket(call.target.bucket);
    const std::string* length = call.request.Header("content-length");
    if (!entry) {
      call.error = NoSuchBucket(call.target.bucket);
    } else if (entry->writable == nullptr) {
      call.error = S3Error{403, "AccessDenied", "Access Denied: this bucket is read-only", ""};
    } else if (length != nullptr && ParseUnsigned(*length).value_or(0) > kPutBytesMax) {
      call.error = S3Error{400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", ""};
    } else if (auto made = entry->writable->NewFile(); made) {
      call.destination = entry->writable;
      call.file = made->second;
      file = std::move(made->first);
    } else {
      call.error = S3Error{500, "InternalError", "s3lab: " + made.error().message, ""};
    }
    if (call.error) return;
  }
  call.body = std::make_unique<RequestBody>(call.request, std::move(promise), keep, std::move(file));
}

Response Service::ErrorResponse(const S3Error& error, const HttpRequest& request) {
  Response response;
  response.status = error.status;
  if (error.status == 304 || request.method == "HEAD") response.without_body = true;
  if (error.code == "AuthorizationHeaderMalformed") response.AddHeader("x-amz-bucket-region", authorizer_.region());
  if (error.status == 304) return response;
  response.AddHeader("Content-Type", "application/xml");
  char id[17];
  std::snprintf(id, sizeof id, "%016llX", static_cast<unsigned long long>(Random::Mix(requests_ + 1)));
  response.text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" + error.code + "</Code><Message>" +
                  XmlText(error.message) + "</Message>" + error.details + "<Resource>" + XmlText(request.raw_path) +
                  "</Resource><RequestId>" + id + "</RequestId><HostId>s3lab</HostId></Error>";
  return response;
}

Response Service::Finish(Call& call, int64_t now_s) {
  if (!call.error) call.error = call.body->Finish();
  Answer answer = call.error ? Answer(tl::unexpected(*call.error)) : Dispatch(call, now_s);
  Response response = answer ? std::move(*answer) : ErrorResponse(answer.error(), call.request);
  const uint64_t id = Random::Mix(++requests_);
  char ids[96];
  std::snprintf(ids, sizeof ids, "x-amz-request-id: %016llX\r\nx-amz-id-2: s3lab%016llx\r\n",
                static_cast<unsigned long long>(id), static_cast<unsigned long long>(Random::Mix(id)));
  response.headers += ids;
  return response;
}

Service::Answer Service::Dispatch(Call& call, int64_t now_s) {
  const Operation operation = call.target.operation;
  if (operation == Operation::kUnknown)
    return tl::unexpected(S3Error{
        501, "NotImplemented",
        "A header or query you provided implies functionality that s3lab does not have: " + call.request.method + " " +
            call.request.raw_path + (call.request.raw_query.empty() ? "" : "?" + call.request.raw_query),
        ""});
  if (operation == Operation::kListBuckets) return ListBuckets();
  if (operation == Operation::kCreateBucket) return CreateBucket(call, now_s);
  const auto entry = FindBucket(call.target.bucket);
  if (!entry) return tl::unexpected(NoSuchBucket(call.target.bucket));
  Response empty;
  switch (operation) {
    case Operation::kHeadBucket:
      empty.AddHeader("x-amz-bucket-region", authorizer_.region());
      empty.without_body = true;
      return empty;
    case Operation::kGetBucketLocation:
      return XmlResponse("LocationConstraint",
                         authorizer_.region() == "us-east-1" ? "" : XmlText(authorizer_.region()));
    case Operation::kListObjects:
    case Operation::kListObjectsV2:
      return ListObjects(call, *entry->bucket);
    case Operation::kGetObject:
    case Operation::kHeadObject:
      return GetOrHead(call, *entry->bucket, operation == Operation::kHeadObject);
    case Operation::kListMultipartUploads:
      return ListUploads(call);
    default:
      break;
  }
  if (entry->writable == nullptr)
    return tl::unexpected(S3Error{403, "AccessDenied", "Access Denied: this bucket is read-only", ""});
  switch (operation) {
    case Operation::kDeleteBucket:
      return DeleteBucket(call);
    case Operation::kPutObject:
      return Put(call, now_s);
    case Operation::kCopyObject:
      return Copy(call, *entry, now_s);
    case Operation::kDeleteObject:
      return Delete(call, *entry->writable);
    case Operation::kDeleteObjects:
      return DeleteMany(call, *entry->writable);
    case Operation::kCreateMultipartUpload:
      return CreateUpload(call, *entry, now_s);
    case Operation::kUploadPart:
      return PutPart(call, now_s);
    case Operation::kCompleteMultipartUpload:
      return CompleteUpload(call, now_s);
    case Operation::kAbortMultipartUpload:
      return AbortUpload(call);
    default:
      return ListParts(call);
  }
}

Service::Answer Service::ListBuckets() {
  std::string inner = "<Owner><ID>s3lab</ID><DisplayName>s3lab</DisplayName></Owner><Buckets>";
  const std::shared_lock lock(buckets_mutex_);
  for (const auto& [name, entry] : buckets_)
    inner += "<Bucket><Name>" + XmlText(name) + "</Name><CreationDate>" + IsoTime(entry.created_s) +
             "</CreationDate></Bucket>";
  return XmlResponse("ListAllMyBucketsResult", inner + "</Buckets>");
}

Service::Answer Service::CreateBucket(const Call& call, int64_t now_s) {
  const std::string& name = call.target.bucket;
  if (directory_.empty())
    return tl::unexpected(S3Error{403, "AccessDenied", "Access Denied: s3lab was started without --directory", ""});
  if (!IsBucketName(name))
    return tl::unexpected(S3Error{400, "InvalidBucketName", "The specified bucket is not valid.", ""});
  const S3Error exists{409, "BucketAlreadyOwnedByYou",
                       "Your previous request to create the named bucket succeeded and you already own it.", ""};
  if (FindBucket(name)) return tl::unexpected(exists);
  auto bucket = DirectoryBucket::Open(directory_ + "/" + name);
  if (!bucket) return tl::unexpected(S3Error{500, "InternalError", "s3lab: " + bucket.error().message, ""});
  std::shared_ptr<DirectoryBucket> made = std::move(*bucket);
  Response response;
  response.AddHeader("Location", "/" + name);
  const std::unique_lock lock(buckets_mutex_);
  if (!buckets_.emplace(name, Entry{made, made, now_s}).second) return tl::unexpected(exists);
  return response;
}

Service::Answer Service::DeleteBucket(const Call& call) {
  std::shared_ptr<DirectoryBucket> removed;
  {
    const std::unique_lock lock(buckets_mutex_);
    const auto found = buckets_.find(call.target.bucket);
    if (found == buckets_.end()) return tl::unexpected(NoSuchBucket(call.target.bucket));
    if (!found->second.writable->empty())
      return tl::unexpected(S3Error{409, "BucketNotEmpty", "The bucket you tried to delete is not empty", ""});
    removed = found->second.writable;
    buckets_.erase(found);
  }
  if (const Status status = removed->RemoveDirectory(); !status)
    return tl::unexpected(S3Error{500, "InternalError", "s3lab: " + status.error().message, ""});
  Response response;
  response.status = 204;
  response.without_body = true;
  return response;
}

Service::Answer Service::GetOrHead(const Call& call, const Bucket& bucket, bool head) {
  const HttpRequest& request = call.request;
  std::shared_ptr<const Object> object;
  std::shared_ptr<const Body> body;
  // A PUT between Find and Open replaces the file; more than a few in a row is not chance.
  for (int attempt = 0; attempt < 10 && body == nullptr; ++attempt) {
    object = bucket.Find(call.target.key);
    if (object == nullptr) return tl::unexpected(NoSuchKey(call.target.key));
    if (head) break;
    body = bucket.Open(*object);
  }
  if (!head && body == nullptr)
    return tl::unexpected(S3Error{500, "InternalError", "s3lab cannot open the object's file", ""});
  const auto failed = CheckConditions(request, *object);
  if (failed && failed->status != 304) return tl::unexpected(*failed);

  Response response;
  response.AddHeader("Last-Modified", HttpTime(object->modified_s));
  response.AddHeader("ETag", "\"" + object->etag + "\"");
  if (failed) {
    response.status = 304;
    response.without_body = true;
    return response;
  }
  const std::string* range_header = call.ignore_range ? nullptr : request.Header("range");
  ByteRange range{ByteRange::Kind::kWhole, 0, object->size};
  if (range_header != nullptr) range = ParseRange(*range_header, object->size);
  if (range.kind == ByteRange::Kind::kUnsatisfiable)
    return tl::unexpected(S3Error{416, "InvalidRange", "The requested range is not satisfiable",
                                  "<RangeRequested>" + XmlText(*range_header) + "</RangeRequested><ActualObjectSize>" +
                                      std::to_string(object->size) + "</ActualObjectSize>"});
  response.AddHeader("Accept-Ranges", "bytes");
  response.AddHeader("Content-Type", object->content_type);
  for (const auto& [name, value] : object->headers) response.AddHeader(name, value);
  if (range.kind == ByteRange::Kind::kPart) {
    response.status = 206;
    response.content_range = "bytes " + std::to_string(range.first) + "-" +
                             std::to_string(range.first + range.length - 1) + "/" + std::to_string(object->size);
  } else if (const std::string* mode = request.Header("x-amz-checksum-mode");
             mode != nullptr && ToLower(*mode) == "enabled") {
    for (const auto& [name, value] : object->checksums) response.AddHeader(name, value);
    if (!object->checksums.empty()) response.AddHeader("x-amz-checksum-type", "FULL_OBJECT");
  }
  response.object_body = std::move(body);
  response.offset = range.first;
  response.length = range.length;
  response.without_body = head;
  return response;
}

Object ObjectFromHeaders(const HttpRequest& request, std::string key, int64_t now_s) {
  Object object;
  object.key = std::move(key);
  object.modified_s = now_s;
  for (const auto& [name, value] : request.headers) {
    if (name == "content-type") {
      object.content_type = value;
    } else if (name == "content-encoding") {
      std::string kept;  // aws-chunked is how the body travelled, not what it is
      for (const std::string& part : Split(value, ','))
        if (Trim(part) != "aws-chunked") kept += (kept.empty() ? "" : ",") + std::string(Trim(part));
      if (!kept.empty()) object.headers.emplace_back(name, kept);
    } else if (name.rfind("x-amz-meta-", 0) == 0 || name == "cache-control" || name == "content-disposition" ||
               name == "content-language" || name == "expires" || name == "x-amz-website-redirect-location") {
      object.headers.emplace_back(name, value);
    }
  }
  return object;
}

namespace {
std::optional<S3Error> WriteError(const Result<WriteOutcome>& outcome, const std::string& key) {
  if (!outcome) return S3Error{500, "InternalError", "s3lab: " + outcome.error().message, ""};
  if (*outcome == WriteOutcome::kPreconditionFailed) return Precondition("If-Match or If-None-Match");
  if (*outcome == WriteOutcome::kNoSuchKey) return NoSuchKey(key);
  return std::nullopt;
}
}  // namespace

Service::Answer Service::Put(Call& call, int64_t now_s) {
  Object object = ObjectFromHeaders(call.request, call.target.key, now_s);
  object.size = call.body->size();
  object.etag = HexEncode(std::string_view(call.body->md5()));
  object.checksums = call.body->checksums();
  object.file = std::exchange(call.file, "");
  Response response;
  response.AddHeader("ETag", "\"" + object.etag + "\"");
  for (const auto& [name, value] : object.checksums) response.AddHeader(name, value);
  if (auto error = WriteError(call.destination->Put(std::move(object), ConditionOf(call.request)), call.target.key))
    return tl::unexpected(*error);
  return response;
}

Service::Answer Service::Copy(Call& call, const Entry& entry, int64_t now_s) {
  std::string source = PercentDecode(*call.request.Header("x-amz-copy-source"), false);
  if (!source.empty() && source[0] == '/') source.erase(0, 1);
  const size_t slash = source.find('/');
  const auto from = FindBucket(std::string_view(source).substr(0, slash));
  if (!from || slash == std::string::npos) return tl::unexpected(NoSuchBucket(source.substr(0, slash)));
  const auto object = from->bucket->Find(std::string_view(source).substr(slash + 1));
  const auto body = object == nullptr ? nullptr : from->bucket->Open(*object);
  if (body == nullptr) return tl::unexpected(NoSuchKey(source.substr(slash + 1)));
  auto file = entry.writable->NewFile();
  if (!file) return tl::unexpected(S3Error{500, "InternalError", "s3lab: " + file.error().message, ""});
  call.destination = entry.writable;
  call.file = file->second;
  HashStream md5(EVP_md5());
  std::string bytes(1u << 20, '\0');
  for (uint64_t at = 0; at < object->size;) {
    const Body::Stretch stretch = body->At(at);
    const size_t size = static_cast<size_t>(std::min<uint64_t>({bytes.size(), stretch.length, object->size - at}));
    const ssize_t got = pread(stretch.descriptor, bytes.data(), size, static_cast<off_t>(stretch.offset));
    if (got <= 0 || !WriteAll(file->first.get(), std::as_bytes(std::span(bytes.data(), static_cast<size_t>(got))), at))
      return tl::unexpected(S3Error{500, "InternalError", "s3lab cannot copy the object's file", ""});
    md5.Add(std::string_view(bytes).substr(0, static_cast<size_t>(got)));
    at += static_cast<uint64_t>(got);
  }
  const std::string* directive = call.request.Header("x-amz-metadata-directive");
  Object copy = directive != nullptr && *directive == "REPLACE"
                    ? ObjectFromHeaders(call.request, call.target.key, now_s)
                    : *object;
  copy.key = call.target.key;
  copy.size = object->size;
  copy.modified_s = now_s;
  copy.checksums = object->checksums;
  copy.etag = HexEncode(std::string_view(md5.Finish()));
  copy.file = std::exchange(call.file, "");
  const std::string inner =
      "<LastModified>" + IsoTime(now_s) + "</LastModified><ETag>&quot;" + copy.etag + "&quot;</ETag>";
  if (auto error = WriteError(entry.writable->Put(std::move(copy), ConditionOf(call.request)), call.target.key))
    return tl::unexpected(*error);
  return XmlResponse("CopyObjectResult", inner);
}

Service::Answer Service::Delete(const Call& call, DirectoryBucket& bucket) {
  if (auto deleted = bucket.Delete(call.target.key); !deleted)
    return tl::unexpected(S3Error{500, "InternalError", "s3lab: " + deleted.error().message, ""});
  Response response;
  response.status = 204;
  response.without_body = true;
  return response;
}

Service::Answer Service::DeleteMany(const Call& call, DirectoryBucket& bucket) {
  const auto items = ReadXmlItems(call.body->memory(), "Object");
  if (!items || items->empty() || items->size() > 1000)
    return tl::unexpected(
        S3Error{400, "MalformedXML",
                "The XML you provided was not well-formed or did not validate against our published schema", ""});
  const auto flags = ReadXmlItems(call.body->memory(), "Delete");
  const bool quiet =
      flags && !flags->empty() && flags->front().contains("Quiet") && flags->front().at("Quiet") == "true";
  std::string inner;
  for (const auto& item : *items) {
    const auto key = item.find("Key");
    if (key == item.end()) continue;
    if (auto deleted = bucket.Delete(key->second); !deleted) {
      inner += "<Error><Key>" + XmlText(key->second) + "</Key><Code>InternalError</Code><Message>" +
               XmlText(deleted.error().message) + "</Message></Error>";
    } else if (!quiet) {
      inner += "<Deleted><Key>" + XmlText(key->second) + "</Key></Deleted>";
    }
  }
  return XmlResponse("DeleteResult", inner);
}

}  // namespace leat::s3lab
