// SPDX-License-Identifier: Apache-2.0
// A request's body on its way in: decoded (aws-chunked), hashed, held against what the head promised
// (x-amz-content-sha256, chunk signatures, Content-MD5, x-amz-checksum-*), and kept in memory, in a file, or nowhere.
// Confined to one thread.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "authorizer.h"
#include "base/file.h"
#include "chunked_body.h"
#include "s3/checksum.h"
#include "s3_error.h"

namespace leat::s3lab {

class HashStream {  // MD5 or SHA-256 of bytes as they come
 public:
  explicit HashStream(const EVP_MD* algorithm);
  ~HashStream() { EVP_MD_CTX_free(context_); }
  HashStream(const HashStream&) = delete;
  HashStream& operator=(const HashStream&) = delete;
  void Add(std::string_view bytes);
  std::string Finish();  // the raw digest; starts again

 private:
  EVP_MD_CTX* context_;
  const EVP_MD* algorithm_;
};

class RequestBody : private ChunkedDecoder::Listener {
 public:
  enum class Keep { kNowhere, kMemory, kFile };
  static constexpr size_t kMemoryBytesMax = 8u << 20;  // 10,000 parts of a completion, 1,000 keys of a deletion

  // `file` when keep is kFile. The head's promises are read here.
  RequestBody(const HttpRequest& request, PayloadPromise promise, Keep keep, FileDescriptor file = {});
  // Takes body bytes as they arrive (after any HTTP chunking). The first error stays: later bytes are dropped, so that
  // the client can finish sending and read the answer.
  void Add(std::string_view bytes);
  std::optional<S3Error> Finish();

  const std::string& memory() const { return memory_; }
  uint64_t size() const { return size_; }
  const std::string& md5() const { return md5_digest_; }  // raw, after Finish
  const std::vector<std::pair<std::string, std::string>>& checksums() const {
    return checksums_;
  }  // that were sent and hold
  int descriptor() const { return file_.get(); }

 private:
  Status ChunkBegins(uint64_t size, std::string_view extension) override;
  Status ChunkBytes(std::string_view bytes) override;
  Status ChunkEnds() override;
  void Store(std::string_view bytes);
  std::string ChunkSignature(std::string_view kind, std::string_view hashes) const;
  void CheckTrailerSignature();
  void CheckDigests();
  void Refuse(int status, std::string code, std::string message);

  const PayloadPromise promise_;
  const Keep keep_;
  FileDescriptor file_;
  std::string memory_;
  uint64_t size_ = 0;
  std::optional<uint64_t> decoded_size_;
  std::string content_md5_;
  std::vector<std::pair<std::string, std::string>> promised_;  // checksum header -> Base64, from the head
  std::string trailer_name_;
  std::vector<std::pair<std::string, s3::Checksum>> running_;
  HashStream md5_, sha256_, chunk_sha256_;
  std::string md5_digest_;
  std::vector<std::pair<std::string, std::string>> checksums_;
  ChunkedDecoder decoder_;
  std::string chunk_signature_, previous_signature_;
  std::optional<S3Error> error_;
};

}  // namespace leat::s3lab
