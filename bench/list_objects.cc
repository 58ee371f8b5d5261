// SPDX-License-Identifier: Apache-2.0
// list_objects: a plain parallel LIST client, the reference for an import: keys and sizes are counted and dropped.
//
// A listing is sequential: each page's request needs the page before. What runs in parallel is different listings, and
// where the bucket has folders they come from those: level by level, all folders of a level at once, until there are as
// many as requests in flight; then each is listed whole, all levels below it in one listing. A bucket without folders
// gives one listing; --split-keys says where to cut it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
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

constexpr const char* kProgram = "list_objects";
constexpr size_t kSplitKeysBytesMax = size_t{1} << 30;

struct Arguments {
  std::string prefix, split_keys;
  s3::S3Options store;
  uint32_t parallel = 16;
};

// One listing, page after page.
struct Listing {
  env::ListRequest request;
  std::string last_key;  // counts keys up to this one; empty: to the end
};

struct Totals {
  uint64_t keys = 0;
  uint64_t bytes = 0;
  uint64_t pages = 0;
  uint64_t listings = 0;
};

Listing ListingOf(const std::string& prefix, const std::string& delimiter) {
  Listing listing;
  listing.request.prefix = prefix;
  listing.request.delimiter = delimiter;
  return listing;
}

// Runs listings, so many at a time. Run from one thread; its callbacks come on the store's.
class ListClient {
 public:
  ListClient(env::ObjectStore& store, uint32_t in_flight_max) : store_(store), in_flight_max_(in_flight_max) {}

  // Blocks until all have ended. After an error, which the caller finds in errors(), no further page is asked for.
  void Run(std::vector<Listing> listings) {
    std::unique_lock lock(mutex_);
    for (Listing& listing : listings) waiting_.push_back(std::make_shared<Listing>(std::move(listing)));
    while (in_flight_ < in_flight_max_ && !waiting_.empty()) StartNext(lock);
    ended_.wait(lock, [&] { return in_flight_ == 0; });
  }

  // The folders found since the last call, in byte order.
  std::vector<std::string> TakeFolders() {
    const std::lock_guard lock(mutex_);
    std::sort(folders_.begin(), folders_.end());
    return std::move(folders_);
  }
  Totals totals() const {
    const std::lock_guard lock(mutex_);
    return totals_;
  }
  uint64_t errors() const {
    const std::lock_guard lock(mutex_);
    return errors_;
  }
  std::string first_error() const {
    const std::lock_guard lock(mutex_);
    return first_error_;
  }

 private:
  void StartNext(std::unique_lock<std::mutex>& lock) {
    std::shared_ptr<Listing> listing = std::move(waiting_.front());
    waiting_.pop_front();
    ++in_flight_;
    ++totals_.listings;
    lock.unlock();
    AskForPage(std::move(listing));
    lock.lock();
  }

  void AskForPage(std::shared_ptr<Listing> listing) {
    env::ListRequest request = listing->request;
    store_.List(std::move(request), [this, listing = std::move(listing)](Result<env::ListPage> page) {
      TakePage(listing, std::move(page));
    });
  }

  void TakePage(const std::shared_ptr<Listing>& listing, Result<env::ListPage> page) {
    Totals counted;
    bool is_last = true;
    if (page) {
      counted.pages = 1;
      is_last = page->next_token.empty();
      for (const ObjectInfo& object : page->objects) {
        if (!listing->last_key.empty() && object.key > listing->last_key) {
          is_last = true;  // the next range's
          break;
        }
        ++counted.keys;
        counted.bytes += object.size_bytes;
      }
      listing->request.continuation_token = std::move(page->next_token);
    }
    std::unique_lock lock(mutex_);
    totals_.pages += counted.pages;
    totals_.keys += counted.keys;
    totals_.bytes += counted.bytes;
    if (page) {
      folders_.insert(folders_.end(), std::make_move_iterator(page->common_prefixes.begin()),
                      std::make_move_iterator(page->common_prefixes.end()));
    } else if (errors_++ == 0) {
      first_error_ = page.error().message;
    }
    if (errors_ == 0 && !is_last) {
      lock.unlock();
      return AskForPage(listing);
    }
    --in_flight_;
    if (errors_ > 0) waiting_.clear();
    if (!waiting_.empty()) StartNext(lock);
    if (in_flight_ == 0) ended_.notify_one();
  }

  env::ObjectStore& store_;
  const uint32_t in_flight_max_;
  mutable std::mutex mutex_;  // protects what follows
  std::condition_variable ended_;
  std::deque<std::shared_ptr<Listing>> waiting_;
  uint32_t in_flight_ = 0;
  std::vector<std::string> folders_;
  Totals totals_;
  uint64_t errors_ = 0;
  std::string first_error_;
};

Result<std::vector<Listing>> SplitByKeys(const Arguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(const std::string text, ReadFile(arguments.split_keys, kSplitKeysBytesMax));
  std::vector<std::string> keys = Split(text, '\n');
  keys.erase(std::remove(keys.begin(), keys.end(), ""), keys.end());
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  for (const std::string& key : keys) {
    if (!key.starts_with(arguments.prefix))
      return Fail(ErrorCode::kInvalidArgument, arguments.split_keys + ": '" + key +
                                                   "' does not begin with the prefix '" + arguments.prefix +
                                                   "'; give keys below it");
  }
  std::vector<Listing> listings;
  std::string start_after;
  for (size_t i = 0; i <= keys.size(); ++i) {
    Listing listing = ListingOf(arguments.prefix, "");
    listing.request.start_after = start_after;
    if (i < keys.size()) listing.last_key = start_after = keys[i];
    listings.push_back(std::move(listing));
  }
  return listings;
}

// Fans out over folders.
void ListFolders(ListClient& client, const Arguments& arguments) {
  std::vector<std::string> folders = {arguments.prefix};
  while (!folders.empty() && client.errors() == 0) {
    const bool is_wide = folders.size() >= arguments.parallel;
    std::vector<Listing> listings;
    for (const std::string& folder : folders) listings.push_back(ListingOf(folder, is_wide ? "" : "/"));
    client.Run(std::move(listings));
    folders = client.TakeFolders();  // none when listed whole
  }
}

Result<int> Run(const Arguments& arguments) {
  std::vector<Listing> ranges;
  if (!arguments.split_keys.empty()) {
    LEAT_ASSIGN_OR_RETURN(ranges, SplitByKeys(arguments));
  }
  s3::S3Options options = arguments.store;
  options.connections_max = arguments.parallel;
  env::RequestCounters counters;
  const posix::SystemClock clock;
  LEAT_ASSIGN_OR_RETURN(const auto store,
                        s3::S3ObjectStore::Create(options, s3::ProcessEnvironment(), counters, clock));
  ListClient client(*store, arguments.parallel);
  const Stopwatch watch;
  if (ranges.empty()) {
    ListFolders(client, arguments);
  } else {
    client.Run(std::move(ranges));
  }
  const Measured measured = watch.Stop();
  const Totals totals = client.totals();
  Json result = {{"keys", totals.keys},
                 {"bytes", totals.bytes},
                 {"pages", totals.pages},
                 {"listings", totals.listings},
                 {"retries", counters.retries.load()},
                 {"seconds", measured.seconds},
                 {"keys_per_second", PerSecond(totals.keys, measured.seconds)},
                 {"user_seconds", measured.user_seconds},
                 {"system_seconds", measured.system_seconds},
                 {"parallel", arguments.parallel}};
  return Report(kProgram, std::move(result), client.errors(), client.first_error());
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Lists a bucket with several LISTs in flight, drops what they give, and says how fast that was.\n"
      "Credentials come from the environment, as leat's do.\n\n"
      "Example: list_objects --endpoint-url http://127.0.0.1:9090 --bucket data --prefix data/ --parallel 16",
      kProgram);
  AddStoreOptions(app, arguments.store);
  app.add_option("--prefix", arguments.prefix, "only keys that begin with it; folders end with '/'");
  app.add_option("--parallel", arguments.parallel, "requests kept in flight, where there is something to divide")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  app.add_option("--split-keys", arguments.split_keys,
                 "a file with keys to cut a bucket without folders at, one a line: each begins a range after itself");
  if (const auto status = ParseArguments(app, argc, argv)) return *status;
  const auto status = Run(arguments);
  return status ? *status : Refuse(kProgram, status.error());
}

}  // namespace
}  // namespace leat::bench

int main(int argc, char** argv) { return leat::bench::Main(argc, argv); }
