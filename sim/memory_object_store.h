// SPDX-License-Identifier: Apache-2.0
// MemoryObjectStore: an env::ObjectStore in memory, for tests: S3's semantics (bytewise listing, ETags, conditions), a
// second client's changes by Put/Remove, seeded delays and faults, counts of what was asked.
//
// Threads: any; requests run on `threads` threads of its own, in an order that the seed shuffles.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "env/object_store.h"
#include "env/request_counters.h"

namespace leat::sim {

struct MemoryObjectStoreOptions {
  uint64_t seed = 1;
  unsigned threads = 2;
  std::chrono::microseconds delay_max{0};  // each request waits a seeded time up to this
  size_t data_piece_bytes = 65536;         // OnData is called with pieces of at most this size
  uint32_t keys_per_page_max = 1000;       // server's own limit on a LIST page
};

// What a fault does to a request that it matches.
struct Fault {
  env::RequestKind kind = env::RequestKind::kGet;
  std::string key_prefix;                     // matches keys (LIST: prefixes) that begin with this
  ErrorCode error = ErrorCode::kUnavailable;  // how it ends
  uint64_t after_bytes = 0;                   // GET: data handed over before it ends
  bool flip_bit = false;                      // GET: one wrong bit, noticed by the checksum at the end (kCorrupt)
  bool stall = false;                         // never ends until ReleaseStalled() or Cancel
  int count = 1;                              // how many requests it hits; then it is spent
};

class MemoryObjectStore final : public env::ObjectStore {
 public:
  explicit MemoryObjectStore(MemoryObjectStoreOptions options = {});
  ~MemoryObjectStore() override;  // every waiting request ends with kCancelled

  // --- the second client
  std::string PutObject(const std::string& key, std::string bytes, UserMetadata metadata = {});  // returns the ETag
  void RemoveObject(const std::string& key);
  std::map<std::string, std::string> Contents() const;  // key -> bytes

  // --- faults and counts
  void AddFault(Fault fault);
  int FaultsFired() const;
  void ReleaseStalled();
  env::RequestCounters& counters() { return counters_; }
  uint64_t GetsOf(const std::string& key) const;
  std::vector<std::string> GetsInOrder() const;  // their keys, as they were asked for

  env::RequestId Get(env::GetRequest request, std::shared_ptr<env::GetReceiver> receiver) override;
  void Head(std::string key, env::Callback<ObjectInfo> done) override;
  void List(env::ListRequest request, env::Callback<env::ListPage> done) override;
  void Put(env::PutRequest request, env::Callback<std::string> done) override;
  void Delete(std::string key, env::Callback<void> done) override;
  void CreateMultipartUpload(env::PutRequest request_without_body, env::Callback<std::string> done) override;
  void UploadPart(std::string key, std::string upload_id, uint32_t number, std::shared_ptr<const std::string> body,
                  env::Callback<env::UploadedPart> done) override;
  void CompleteMultipartUpload(std::string key, std::string upload_id, std::vector<env::UploadedPart> parts,
                               env::Callback<std::string> done) override;
  void AbortMultipartUpload(std::string key, std::string upload_id, env::Callback<void> done) override;
  void Cancel(env::RequestId id) override;

 private:
  struct Object {
    std::shared_ptr<const std::string> bytes;
    std::string etag;
    int64_t last_modified_ns = 0;
    UserMetadata metadata;
  };
  struct Upload {
    std::string key;
    UserMetadata metadata;
    std::map<uint32_t, std::shared_ptr<const std::string>> parts;
  };
  struct Task {
    env::RequestId id{};
    std::function<void(bool cancelled)> run;  // exactly once
  };

  void Enqueue(env::RequestId id, std::function<void(bool cancelled)> run);
  env::RequestId NextId();
  void Work();
  bool TakeFault(env::RequestKind kind, const std::string& key, Fault& fault);
  // Waits while a stall fault holds; false when cancelled or stopping.
  bool Stall(env::RequestId id);
  void RunGet(env::RequestId id, const env::GetRequest& request, env::GetReceiver& receiver);
  Result<ObjectInfo> DescribeLocked(const std::string& key, const Object& object) const;
  Result<env::ListPage> ListNow(const env::ListRequest& request) const;
  Result<std::string> PutNow(const env::PutRequest& request);
  template <class T>
  void Start(env::RequestKind kind, std::string key, env::Callback<T> done, std::function<Result<T>()> action);

  const MemoryObjectStoreOptions options_;
  env::RequestCounters counters_;

  mutable std::mutex mutex_;  // protects everything below
  std::condition_variable wake_;
  Random random_;
  std::map<std::string, Object> objects_;
  std::map<std::string, Upload> uploads_;
  std::map<std::string, uint64_t> gets_;
  std::vector<std::string> gets_in_order_;
  std::vector<Task> tasks_;
  std::vector<Fault> faults_;
  std::set<uint64_t> cancelled_;
  int faults_fired_ = 0;
  uint64_t version_ = 0;
  uint64_t next_id_ = 1;
  uint64_t stall_epoch_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace leat::sim
