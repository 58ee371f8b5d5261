// SPDX-License-Identifier: Apache-2.0
// get_objects: a plain parallel GET client, the reference for cold reads: the same libcurl and the same signatures as
// leat's, and nothing else. No cache; bodies are counted and dropped as they arrive.
//
// A fixed number of requests is kept in flight: each slot asks for the next object from the callback that ended its
// last, on the network thread. After an error no slot asks any more: what has errors is no reference, and a server that
// is not there would be tried again for each of a million keys.
#include <CLI/CLI.hpp>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/text.h"
#include "measurement.h"
#include "posix/system_clock.h"
#include "s3/s3_object_store.h"
#include "store_options.h"

namespace leat::bench {
namespace {

constexpr const char* kProgram = "get_objects";
constexpr size_t kListBytesMax = size_t{4} << 30;

struct Arguments {
  std::string keys, range_bytes;
  s3::S3Options store;
  uint32_t connections = 128;
};

struct Object {
  std::string key;
  uint64_t size_bytes = 0;
};

struct Request {
  uint32_t object = 0;
  uint64_t offset = 0;
  std::optional<uint64_t> length;  // absent: the whole object, with no Range header
};

Result<std::vector<Object>> ReadKeys(const std::string& path, bool needs_size) {
  LEAT_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kListBytesMax));
  std::vector<Object> objects;
  size_t line_number = 0;
  for (const std::string& line : Split(text, '\n')) {
    ++line_number;
    if (line.empty()) continue;
    const size_t tab = line.rfind('\t');
    Object object{line.substr(0, tab)};
    const auto size = ParseUnsigned(tab == std::string::npos ? "" : std::string_view(line).substr(tab + 1));
    if (!size && (needs_size || tab != std::string::npos))
      return Fail(ErrorCode::kInvalidArgument, path + ", line " + std::to_string(line_number) +
                                                   ": write KEY<TAB>SIZE, the size in bytes" +
                                                   (needs_size ? "; --range-bytes needs it" : ", or KEY alone"));
    object.size_bytes = size.value_or(0);
    objects.push_back(std::move(object));
  }
  if (objects.empty()) return Fail(ErrorCode::kInvalidArgument, path + " lists no key; write one a line");
  return objects;
}

std::vector<Request> RequestsFor(const std::vector<Object>& objects, uint64_t range_bytes) {
  std::vector<Request> requests;
  for (uint32_t i = 0; i < objects.size(); ++i) {
    const uint64_t size = objects[i].size_bytes;
    if (range_bytes == 0 || size <= range_bytes) {
      requests.push_back({i, 0, std::nullopt});
      continue;
    }
    for (uint64_t offset = 0; offset < size; offset += range_bytes)
      requests.push_back({i, offset, std::min(range_bytes, size - offset)});
  }
  return requests;
}

// Runs once. Any thread; its slots are called on the store's threads.
class GetClient {
 public:
  GetClient(env::ObjectStore& store, const std::vector<Object>& objects, const std::vector<Request>& requests)
      : store_(store), objects_(objects), requests_(requests), requests_left_(objects.size()) {
    for (const Request& request : requests) requests_left_[request.object].fetch_add(1, std::memory_order_relaxed);
  }

  // Blocks until every request has ended, or after an error those in flight.
  void Run(uint32_t in_flight) {
    for (uint32_t i = 0; i < in_flight; ++i) slots_.push_back(std::make_shared<Slot>(*this));
    slots_running_ = in_flight;
    for (const auto& slot : slots_) slot->Next();
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [&] { return slots_running_ == 0; });
  }

  uint64_t objects() const { return objects_done_.load(); }
  uint64_t errors() const { return errors_.load(); }
  const std::string& first_error() const { return first_error_; }
  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const auto& slot : slots_) sum += slot->bytes;
    return sum;
  }

 private:
  // One request in flight. Its calls follow one another, whatever thread each comes on.
  struct Slot : env::GetReceiver, std::enable_shared_from_this<Slot> {
    explicit Slot(GetClient& the_client) : client(the_client) {}
    void Next() {
      const Request* request = client.TakeRequest();
      if (request == nullptr) return client.EndSlot();
      object = request->object;
      env::GetRequest get;
      get.key = client.objects_[object].key;
      get.offset = request->offset;
      get.length = request->length;
      client.store_.Get(std::move(get), shared_from_this());
    }
    void OnStart(const ObjectInfo&) override {}
    void OnData(std::span<const std::byte> data) override { bytes += data.size(); }
    void OnDone(Status status) override {
      client.EndRequest(object, status);
      Next();
    }

    GetClient& client;
    uint32_t object = 0;
    uint64_t bytes = 0;
  };

  const Request* TakeRequest() {
    if (errors_.load(std::memory_order_relaxed) > 0) return nullptr;
    const size_t at = next_.fetch_add(1, std::memory_order_relaxed);
    return at < requests_.size() ? &requests_[at] : nullptr;
  }
  void EndRequest(uint32_t object, const Status& status) {
    if (!status) {
      if (errors_.fetch_add(1) == 0) first_error_ = status.error().message;
    } else if (requests_left_[object].fetch_sub(1, std::memory_order_relaxed) == 1) {
      objects_done_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  void EndSlot() {
    const std::lock_guard lock(mutex_);
    if (--slots_running_ == 0) ended_.notify_one();
  }

  env::ObjectStore& store_;
  const std::vector<Object>& objects_;
  const std::vector<Request>& requests_;
  std::vector<std::shared_ptr<Slot>> slots_;
  std::vector<std::atomic<uint32_t>> requests_left_;  // by object
  std::atomic<size_t> next_{0};
  std::atomic<uint64_t> objects_done_{0}, errors_{0};
  std::string first_error_;  // written by the one that counts the first error; read after Run
  std::mutex mutex_;         // protects what follows
  std::condition_variable ended_;
  uint32_t slots_running_ = 0;
};

Result<int> Run(const Arguments& arguments) {
  uint64_t range_bytes = 0;
  if (!arguments.range_bytes.empty()) {
    LEAT_ASSIGN_OR_RETURN(range_bytes, ParseBytes(arguments.range_bytes));
    if (range_bytes == 0) return Fail(ErrorCode::kInvalidArgument, "--range-bytes must be more than nothing");
  }
  LEAT_ASSIGN_OR_RETURN(const auto objects, ReadKeys(arguments.keys, range_bytes > 0));
  const std::vector<Request> requests = RequestsFor(objects, range_bytes);
  s3::S3Options options = arguments.store;
  options.connections_max = arguments.connections;
  env::RequestCounters counters;
  const posix::SystemClock clock;
  LEAT_ASSIGN_OR_RETURN(const auto store,
                        s3::S3ObjectStore::Create(options, s3::ProcessEnvironment(), counters, clock));
  GetClient client(*store, objects, requests);
  const Stopwatch watch;
  client.Run(arguments.connections);
  const Measured measured = watch.Stop();
  Json result = {{"objects", client.objects()},
                 {"requests", counters.Of(env::RequestKind::kGet).load()},
                 {"retries", counters.retries.load()},
                 {"bytes", client.bytes()},
                 {"seconds", measured.seconds},
                 {"objects_per_second", PerSecond(client.objects(), measured.seconds)},
                 {"bytes_per_second", PerSecond(client.bytes(), measured.seconds)},
                 {"user_seconds", measured.user_seconds},
                 {"system_seconds", measured.system_seconds},
                 {"connections", arguments.connections}};
  return Report(kProgram, std::move(result), client.errors(), client.first_error());
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Fetches objects with a fixed number of GETs in flight, drops their bytes, and says how fast that was.\n"
      "Credentials come from the environment, as leat's do.\n\n"
      "Example: get_objects --endpoint-url http://127.0.0.1:9090 --bucket data --keys keys --connections 128",
      kProgram);
  AddStoreOptions(app, arguments.store);
  app.add_option("--keys", arguments.keys, "a file with one object a line: KEY, or KEY<TAB>SIZE")->required();
  app.add_option("--connections", arguments.connections, "requests kept in flight")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  app.add_option("--range-bytes", arguments.range_bytes,
                 "fetch larger objects in parallel ranges of this size, such as 8M (the keys' sizes must be given)");
  if (const auto status = ParseArguments(app, argc, argv)) return *status;
  const auto status = Run(arguments);
  return status ? *status : Refuse(kProgram, status.error());
}

}  // namespace
}  // namespace leat::bench

int main(int argc, char** argv) { return leat::bench::Main(argc, argv); }
