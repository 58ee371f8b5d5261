// SPDX-License-Identifier: Apache-2.0
// Waiting for an asynchronous call, for code that has a thread to spare (the command line, jobs, tests).
//
//   Result<ListPage> page = Await<ListPage>([&](auto done) { store.List(request, std::move(done)); });
#pragma once

#include <future>
#include <memory>
#include <utility>

#include "env/object_store.h"

namespace leat::env {

template <class T, class Start>
Result<T> Await(Start start) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  auto future = promise->get_future();
  start(Callback<T>([promise](Result<T> result) { promise->set_value(std::move(result)); }));
  return future.get();
}

// The whole object (or range) in memory; for small objects such as scripts and manifests.
struct ObjectBody {
  ObjectInfo info;
  std::string bytes;
};
Result<ObjectBody> GetWhole(ObjectStore& store, GetRequest request);
// Every page of a listing, in order.
Result<ListPage> ListAll(ObjectStore& store, ListRequest request);

}  // namespace leat::env
