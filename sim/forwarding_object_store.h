// SPDX-License-Identifier: Apache-2.0
// ForwardingObjectStore: passes every call on to another store. Tests override the calls that they want to see, hold
// back or answer otherwise. Threads: as the other store's.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "env/object_store.h"

namespace leat::sim {

class ForwardingObjectStore : public env::ObjectStore {
 public:
  explicit ForwardingObjectStore(env::ObjectStore& store) : store_(store) {}

  env::RequestId Get(env::GetRequest request, std::shared_ptr<env::GetReceiver> receiver) override {
    return store_.Get(std::move(request), std::move(receiver));
  }
  void Head(std::string key, env::Callback<ObjectInfo> done) override { store_.Head(std::move(key), std::move(done)); }
  void List(env::ListRequest request, env::Callback<env::ListPage> done) override {
    store_.List(std::move(request), std::move(done));
  }
  void Put(env::PutRequest request, env::Callback<std::string> done) override {
    store_.Put(std::move(request), std::move(done));
  }
  void Delete(std::string key, env::Callback<void> done) override { store_.Delete(std::move(key), std::move(done)); }
  void CreateMultipartUpload(env::PutRequest request, env::Callback<std::string> done) override {
    store_.CreateMultipartUpload(std::move(request), std::move(done));
  }
  void UploadPart(std::string key, std::string upload_id, uint32_t number, std::shared_ptr<const std::string> body,
                  env::Callback<env::UploadedPart> done) override {
    store_.UploadPart(std::move(key), std::move(upload_id), number, std::move(body), std::move(done));
  }
  void CompleteMultipartUpload(std::string key, std::string upload_id, std::vector<env::UploadedPart> parts,
                               env::Callback<std::string> done) override {
    store_.CompleteMultipartUpload(std::move(key), std::move(upload_id), std::move(parts), std::move(done));
  }
  void AbortMultipartUpload(std::string key, std::string upload_id, env::Callback<void> done) override {
    store_.AbortMultipartUpload(std::move(key), std::move(upload_id), std::move(done));
  }
  void Cancel(env::RequestId id) override { store_.Cancel(id); }

 private:
  env::ObjectStore& store_;
};

}  // namespace leat::sim
