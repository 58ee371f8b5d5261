// SPDX-License-Identifier: Apache-2.0
// Listing: everything under a prefix, by several LISTs side by side over contiguous key ranges that are split as they
// turn out to be long. No key is missed: a range ends only at its upper bound or at the end of the listing, and a split
// moves a bound, nothing else. A server whose pages are not in bytewise order (directory buckets) or that refuses
// start-after is listed again by one sequence of tokens. Thread: confined to the one that takes from the mailbox;
// callbacks run there. Held by shared_ptr; answers after its end are dropped. Memory: at most one page per range waits
// to be applied, the next one is on its way.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include "catalog/key_range.h"
#include "catalog/mailbox.h"
#include "env/object_store.h"

namespace leat::catalog {

class Listing : public std::enable_shared_from_this<Listing> {
 public:
  struct Options {
    std::string prefix;
    std::string delimiter;
    uint32_t lists_in_flight_max = 16;
    Mailbox::Priority priority = Mailbox::Priority::kBackground;
  };
  using OnPage = std::function<Status(const env::ListPage&)>;  // keys may come twice
  using OnDone = std::function<void(Status)>;                  // once; after it nothing more is called

  Listing(Options options, env::ObjectStore& store, std::shared_ptr<Mailbox> mailbox, OnPage on_page, OnDone on_done);
  void Start();

 private:
  struct Range {
    std::string after;                 // where it began; keys greater than this
    std::optional<std::string> until;  // up to this key, itself included
    std::string first, last;           // keys seen
    std::string token;
    uint64_t pages = 0;
    uint32_t empty_pages = 0;  // in a row
  };

  void Send(uint64_t id);
  void Receive(uint64_t id, Result<env::ListPage> page);
  bool Advance(Range& range, env::ListPage& page, bool& at_end);  // false: not in order
  void GoSequential();
  void SplitRanges();
  void Finish(Status status);

  const Options options_;
  env::ObjectStore& store_;
  const std::shared_ptr<Mailbox> mailbox_;
  OnPage on_page_;
  OnDone on_done_;
  KeyAlphabet alphabet_;
  std::map<uint64_t, Range> ranges_;  // each has one LIST in flight
  uint64_t next_range_ = 0;
  bool sequential_ = false;
  std::unordered_set<std::string> tokens_;  // of the one sequence: a token that comes again would never end
  bool finished_ = false;
};

}  // namespace leat::catalog
