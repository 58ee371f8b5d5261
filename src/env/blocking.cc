// SPDX-License-Identifier: Apache-2.0
#include "env/blocking.h"

#include <iterator>

namespace leat::env {
namespace {

class BodyCollector : public GetReceiver {
 public:
  explicit BodyCollector(std::promise<Result<ObjectBody>>& promise) : promise_(promise) {}
  void OnStart(const ObjectInfo& info) override { body_.info = info; }
  void OnData(std::span<const std::byte> bytes) override {
    body_.bytes.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void OnDone(Status status) override {
    if (status) {
      promise_.set_value(std::move(body_));
    } else {
      promise_.set_value(Fail(std::move(status).error()));
    }
  }

 private:
  ObjectBody body_;
  std::promise<Result<ObjectBody>>& promise_;
};

}  // namespace

Result<ObjectBody> GetWhole(ObjectStore& store, GetRequest request) {
  std::promise<Result<ObjectBody>> promise;
  auto future = promise.get_future();
  store.Get(std::move(request), std::make_shared<BodyCollector>(promise));
  return future.get();
}

Result<ListPage> ListAll(ObjectStore& store, ListRequest request) {
  ListPage all;
  for (;;) {
    LEAT_ASSIGN_OR_RETURN(ListPage page, Await<ListPage>([&](auto done) { store.List(request, std::move(done)); }));
    std::move(page.objects.begin(), page.objects.end(), std::back_inserter(all.objects));
    std::move(page.common_prefixes.begin(), page.common_prefixes.end(), std::back_inserter(all.common_prefixes));
    if (page.next_token.empty()) return all;
    request.continuation_token = std::move(page.next_token);
  }
}

}  // namespace leat::env
