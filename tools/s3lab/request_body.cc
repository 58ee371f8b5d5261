// SPDX-License-Identifier: Apache-2.0
#include "request_body.h"

#include <cerrno>
#include <span>

#include "base/check.h"
#include "base/text.h"

namespace leat::s3lab {
namespace {

std::string Base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  out.resize(static_cast<size_t>(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                                 reinterpret_cast<const unsigned char*>(bytes.data()),
                                                 static_cast<int>(bytes.size()))));
  return out;
}

constexpr std::string_view kSignatureExtension = "chunk-signature=";

}  // namespace

HashStream::HashStream(const EVP_MD* algorithm) : context_(EVP_MD_CTX_new()), algorithm_(algorithm) {
  LEAT_CHECK(EVP_DigestInit_ex(context_, algorithm_, nullptr) == 1);
}
void HashStream::Add(std::string_view bytes) {
  LEAT_CHECK(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1);
}
std::string HashStream::Finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  LEAT_CHECK(EVP_DigestFinal_ex(context_, digest, &size) == 1);
  LEAT_CHECK(EVP_DigestInit_ex(context_, algorithm_, nullptr) == 1);
  return std::string(reinterpret_cast<const char*>(digest), size);
}

RequestBody::RequestBody(const HttpRequest& request, PayloadPromise promise, Keep keep, FileDescriptor file)
    : promise_(std::move(promise)),
      keep_(keep),
      file_(std::move(file)),
      md5_(EVP_md5()),
      sha256_(EVP_sha256()),
      chunk_sha256_(EVP_sha256()),
      previous_signature_(promise_.seed_signature) {
  if (const std::string* value = request.Header("content-md5")) content_md5_ = *value;
  if (const std::string* value = request.Header("x-amz-decoded-content-length")) {
    if (const auto size = ParseUnsigned(*value)) decoded_size_ = *size;
  }
  if (promise_.aws_chunked() && !decoded_size_)
    Refuse(411, "MissingContentLength",
           "You must provide the x-amz-decoded-content-length header with an aws-chunked body.");
  if (const std::string* value = request.Header("x-amz-trailer")) trailer_name_ = ToLower(*value);
  if (!trailer_name_.empty() && promise_.kind != PayloadPromise::Kind::kUnsignedTrailer &&
      promise_.kind != PayloadPromise::Kind::kSignedChunksTrailer)
    Refuse(400, "InvalidRequest", "x-amz-trailer needs a payload type with a trailer.");
  bool known = trailer_name_.empty();
  for (const auto& [algorithm, name] : s3::kChecksumHeaders) {
    const std::string* value = request.Header(name);
    if (value != nullptr) promised_.emplace_back(name, *value);
    if (value != nullptr || trailer_name_ == name) running_.emplace_back(name, s3::Checksum(algorithm));
    known = known || trailer_name_ == name;
  }
  if (!known) Refuse(400, "InvalidRequest", "The value specified in the x-amz-trailer header is not supported");
}

void RequestBody::Refuse(int status, std::string code, std::string message) {
  if (!error_) error_ = S3Error{status, std::move(code), std::move(message), ""};
}

void RequestBody::Add(std::string_view bytes) {
  if (error_) return;
  if (!promise_.aws_chunked()) return Store(bytes);
  const auto taken = decoder_.Decode(bytes, *this);
  if (!taken) {
    Refuse(400, "InvalidRequest", "The aws-chunked body is malformed: " + taken.error().message);
  } else if (*taken < bytes.size()) {
    Refuse(400, "InvalidRequest", "The aws-chunked body goes on after its last chunk.");
  }
}

void RequestBody::Store(std::string_view bytes) {
  size_ += bytes.size();
  md5_.Add(bytes);
  if (promise_.kind == PayloadPromise::Kind::kSha256) sha256_.Add(bytes);
  const auto span = std::as_bytes(std::span(bytes.data(), bytes.size()));
  for (auto& [name, checksum] : running_) checksum.Add(span);
  if (keep_ == Keep::kMemory) {
    if (memory_.size() + bytes.size() > kMemoryBytesMax)
      return Refuse(400, "MaxMessageLengthExceeded", "Your request was too large.");
    memory_.append(bytes);
  } else if (keep_ == Keep::kFile) {
    if (const Status written = WriteAll(file_.get(), span, size_ - bytes.size()); !written)
      Refuse(500, "InternalError", "s3lab cannot store the body: " + written.error().message);
  }
}

Status RequestBody::ChunkBegins(uint64_t, std::string_view extension) {
  chunk_signature_.clear();
  if (extension.substr(0, kSignatureExtension.size()) == kSignatureExtension)
    chunk_signature_ = extension.substr(kSignatureExtension.size());
  return {};
}

Status RequestBody::ChunkBytes(std::string_view bytes) {
  if (promise_.check_chunks) chunk_sha256_.Add(bytes);
  Store(bytes);
  return {};
}

std::string RequestBody::ChunkSignature(std::string_view kind, std::string_view hashes) const {
  std::string text(kind);
  text.append("\n").append(promise_.amz_date).append("\n").append(promise_.scope).append("\n");
  text.append(previous_signature_).append("\n").append(hashes);
  return HexEncode(s3::HmacSha256(promise_.signing_key, text));
}

Status RequestBody::ChunkEnds() {
  const bool is_signed = promise_.kind == PayloadPromise::Kind::kSignedChunks ||
                         promise_.kind == PayloadPromise::Kind::kSignedChunksTrailer;
  if (!is_signed || !promise_.check_chunks) return {};
  const std::string expected =
      ChunkSignature("AWS4-HMAC-SHA256-PAYLOAD",
                     std::string(s3::kEmptyPayloadSha256) + "\n" + HexEncode(std::string_view(chunk_sha256_.Finish())));
  if (!EqualInConstantTime(expected, chunk_signature_))
    Refuse(403, "SignatureDoesNotMatch", "The signature of a chunk does not match.");
  previous_signature_ = expected;
  return {};
}

void RequestBody::CheckTrailerSignature() {
  std::string text, given;
  for (const auto& [name, value] : decoder_.trailers()) {
    if (name == "x-amz-trailer-signature") {
      given = value;
    } else {
      text += name + ":" + value + "\n";
    }
  }
  const std::string expected = ChunkSignature("AWS4-HMAC-SHA256-TRAILER", HexEncode(s3::Sha256(text)));
  if (!EqualInConstantTime(expected, given))
    Refuse(403, "SignatureDoesNotMatch", "The signature of the trailer does not match.");
}

void RequestBody::CheckDigests() {
  if (promise_.kind == PayloadPromise::Kind::kSha256 &&
      HexEncode(std::string_view(sha256_.Finish())) != promise_.sha256)
    Refuse(400, "XAmzContentSHA256Mismatch",
           "The provided 'x-amz-content-sha256' header does not match what was computed.");
  md5_digest_ = md5_.Finish();
  if (!content_md5_.empty() && content_md5_ != Base64(md5_digest_))
    Refuse(400, "BadDigest", "The Content-MD5 you specified did not match what we received.");
  for (auto& [name, checksum] : running_) {
    const std::string computed = checksum.Base64();
    std::string sent;
    for (const auto& [header, value] : promised_)
      if (header == name) sent = value;
    for (const auto& [header, value] : decoder_.trailers())
      if (header == name) sent = value;
    if (sent != computed)
      Refuse(400, "BadDigest",
             "The " + name + " you specified (" + sent + ") did not match what we calculated (" + computed + ").");
    checksums_.emplace_back(name, computed);
  }
}

std::optional<S3Error> RequestBody::Finish() {
  if (error_) return error_;
  if (promise_.aws_chunked()) {
    if (!decoder_.done()) Refuse(400, "IncompleteBody", "The aws-chunked body ended before its last chunk.");
    if (size_ != decoded_size_)
      Refuse(400, "IncompleteBody", "The request body does not have the size that x-amz-decoded-content-length gives.");
    if (promise_.kind == PayloadPromise::Kind::kSignedChunksTrailer && promise_.check_chunks) CheckTrailerSignature();
  }
  CheckDigests();
  return error_;
}

}  // namespace leat::s3lab
