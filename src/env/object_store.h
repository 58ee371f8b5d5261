// SPDX-License-Identifier: Apache-2.0
// ObjectStore: one repository's objects, asynchronously. Implementations: s3/ (HTTP), posix/ (a directory), sim/
// (memory).
//
// Threads: any thread may call. Callbacks run on a thread of the store's own, never inside the call that asked; they
// must not block for long (a pwrite to the page cache is fine, a lock held across I/O or a wait for another request is
// not). Every request ends in exactly one final callback, also when cancelled and when the store is destroyed
// (kCancelled). Retries, backoff, resuming a body after a cut or a standstill and checksum verification happen inside.
// Keys are the bucket's true keys, raw bytes, no leading slash added or removed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "env/clock.h"
#include "model/object.h"

namespace leat::env {

struct GetRequest {
  std::string key;
  uint64_t offset = 0;
  std::optional<uint64_t>
      length;               // absent: to the end. A whole-object GET (offset 0, no length) sends no Range header.
  std::string if_match;     // ETag with quotes; empty: no condition. 412 ends in kObjectChanged.
  bool background = false;  // background requests wait while demand ones fill the connections
};

// Receives one GET. Called on the store's thread, in order, never concurrently for one request.
class GetReceiver {
 public:
  virtual ~GetReceiver() = default;
  // The repository asked for fewer requests (503 SlowDown); the store waits and tries again. Perhaps several times, at
  // any moment before the last call.
  virtual void OnThrottled() {}
  // Once, before any data: the object's version and metadata. Not called when the request fails before a body.
  virtual void OnStart(const ObjectInfo& info) = 0;
  // Consecutive bytes from the asked offset; all of them exactly once, whatever was retried underneath.
  virtual void OnData(std::span<const std::byte> bytes) = 0;
  // Last call. Success only if every asked byte arrived and S3's checksum, if it sent one, agreed (else kCorrupt).
  virtual void OnDone(Status status) = 0;
};

struct ListRequest {
  std::string prefix;
  std::string delimiter;           // "" or "/"
  std::string start_after;         // first page only; keys greater than this, bytewise
  std::string continuation_token;  // from the page before
  uint32_t keys_max = 1000;
};

struct ListPage {
  std::vector<ObjectInfo> objects;           // in the server's order (S3: bytewise by key)
  std::vector<std::string> common_prefixes;  // full, ending with the delimiter
  std::string next_token;                    // empty on the last page
};

struct PutRequest {
  std::string key;
  std::shared_ptr<const std::string> body;
  UserMetadata user_metadata;
  std::string content_type;  // empty: binary/octet-stream
  std::string if_match;
  bool if_none_match = false;  // If-None-Match: *, so an existing key gives kExists
};

struct UploadedPart {
  uint32_t number = 0;  // 1..10,000
  std::string etag;
};

template <class T>
using Callback = std::function<void(Result<T>)>;

enum class RequestId : uint64_t {};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  virtual RequestId Get(GetRequest request, std::shared_ptr<GetReceiver> receiver) = 0;
  virtual void Head(std::string key, Callback<ObjectInfo> done) = 0;
  virtual void List(ListRequest request, Callback<ListPage> done) = 0;
  // done gets the new ETag.
  virtual void Put(PutRequest request, Callback<std::string> done) = 0;
  virtual void Delete(std::string key, Callback<void> done) = 0;

  // done gets the upload id.
  virtual void CreateMultipartUpload(PutRequest request_without_body, Callback<std::string> done) = 0;
  virtual void UploadPart(std::string key, std::string upload_id, uint32_t number,
                          std::shared_ptr<const std::string> body, Callback<UploadedPart> done) = 0;
  // done gets the new ETag.
  virtual void CompleteMultipartUpload(std::string key, std::string upload_id, std::vector<UploadedPart> parts,
                                       Callback<std::string> done) = 0;
  virtual void AbortMultipartUpload(std::string key, std::string upload_id, Callback<void> done) = 0;

  // Ends a Get early; its receiver gets OnDone(kCancelled), unless it has ended already. Unknown ids are ignored.
  virtual void Cancel(RequestId id) = 0;
};

}  // namespace leat::env
