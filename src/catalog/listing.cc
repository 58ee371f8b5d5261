// SPDX-License-Identifier: Apache-2.0
#include "catalog/listing.h"

#include <algorithm>

#include "base/log.h"

namespace leat::catalog {
namespace {

constexpr uint32_t kEmptyPagesMax = 1000;  // in a row; S3 may send some, a loop has no end
constexpr double kPagesLeftToSplit = 1.5;  // a range that is about to end is left alone
constexpr size_t kKeysLearntPerPage = 16;

bool IsAscending(const env::ListPage& page) {
  const auto by_key = [](const ObjectInfo& a, const ObjectInfo& b) { return a.key <= b.key; };
  // is_sorted with <=: equal neighbours are disorder too.
  return std::adjacent_find(page.objects.begin(), page.objects.end(), std::not_fn(by_key)) == page.objects.end() &&
         std::is_sorted(page.common_prefixes.begin(), page.common_prefixes.end());
}

}  // namespace

Listing::Listing(Options options, env::ObjectStore& store, std::shared_ptr<Mailbox> mailbox, OnPage on_page,
                 OnDone on_done)
    : options_(std::move(options)),
      store_(store),
      mailbox_(std::move(mailbox)),
      on_page_(std::move(on_page)),
      on_done_(std::move(on_done)) {}

void Listing::Start() {
  const uint64_t id = next_range_++;
  ranges_.emplace(id, Range{});
  Send(id);
}

void Listing::Send(uint64_t id) {
  const Range& range = ranges_.at(id);
  env::ListRequest request;
  request.prefix = options_.prefix;
  request.delimiter = options_.delimiter;
  request.continuation_token = range.token;
  if (range.token.empty()) request.start_after = range.after;
  store_.List(std::move(request), [self = weak_from_this(), mailbox = mailbox_, priority = options_.priority,
                                   id](Result<env::ListPage> result) {
    auto page = std::make_shared<Result<env::ListPage>>(std::move(result));
    mailbox->Post(priority, [self, id, page] {
      if (const auto listing = self.lock()) listing->Receive(id, std::move(*page));
    });
  });
}

void Listing::Receive(uint64_t id, Result<env::ListPage> page) {
  const auto found = ranges_.find(id);
  if (finished_ || found == ranges_.end()) return;  // of before GoSequential
  const auto self = shared_from_this();             // on_done_ may let go of this
  Range& range = found->second;
  if (!page) {
    const ErrorCode code = page.error().code;
    const bool refused = code == ErrorCode::kInvalidArgument || code == ErrorCode::kNotSupported;
    if (refused && !sequential_ && range.token.empty() && !range.after.empty()) return GoSequential();
    return Finish(Fail(std::move(page).error()));
  }
  const auto is_outside = [&](std::string_view key) { return !key.starts_with(options_.prefix); };
  if (std::any_of(page->objects.begin(), page->objects.end(),
                  [&](const auto& object) { return is_outside(object.key); }) ||
      std::any_of(page->common_prefixes.begin(), page->common_prefixes.end(), is_outside)) {
    return Finish(Fail(ErrorCode::kProtocol, "the listing of \"" + EscapeForDisplay(options_.prefix) +
                                                 "\" holds keys that do not begin so; check the endpoint"));
  }
  const std::string token_before = range.token;
  bool at_end = false;
  if (!Advance(range, *page, at_end)) return GoSequential();
  if (!at_end) {
    const bool again = sequential_ ? !tokens_.insert(page->next_token).second : page->next_token == token_before;
    if (again || range.empty_pages > kEmptyPagesMax) {
      return Finish(Fail(ErrorCode::kProtocol, "the listing of \"" + EscapeForDisplay(options_.prefix) +
                                                   "\" makes no progress: the server repeats a continuation token"));
    }
    range.token = page->next_token;
    Send(id);  // the next page travels while this one is applied
  } else {
    ranges_.erase(found);
  }
  SplitRanges();
  if (Status status = on_page_(*page); !status) return Finish(std::move(status));
  if (ranges_.empty()) Finish({});
}

bool Listing::Advance(Range& range, env::ListPage& page, bool& at_end) {
  at_end = page.next_token.empty();
  range.empty_pages = page.objects.empty() && page.common_prefixes.empty() ? range.empty_pages + 1 : 0;
  if (range.empty_pages != 0 || sequential_) return true;
  std::string first, last;
  if (!page.objects.empty()) {
    first = page.objects.front().key;
    last = page.objects.back().key;
  }
  if (!page.common_prefixes.empty()) {
    if (first.empty() || page.common_prefixes.front() < first) first = page.common_prefixes.front();
    last = std::max(last, page.common_prefixes.back());
  }
  if (!IsAscending(page) || first <= (range.last.empty() ? range.after : range.last)) return false;
  for (size_t i = 0; i < page.objects.size(); i += page.objects.size() / kKeysLearntPerPage + 1) {
    alphabet_.Learn(std::string_view(page.objects[i].key).substr(options_.prefix.size()));
  }
  for (const auto& prefix : page.common_prefixes)
    alphabet_.Learn(std::string_view(prefix).substr(options_.prefix.size()));
  if (range.first.empty()) range.first = first;
  range.last = last;
  ++range.pages;
  if (range.until && last >= *range.until) at_end = true;
  if (range.until && last > *range.until) {  // what lies beyond, another range brings
    std::erase_if(page.objects, [&](const ObjectInfo& object) { return object.key > *range.until; });
    std::erase_if(page.common_prefixes, [&](const std::string& prefix) { return prefix > *range.until; });
  }
  return true;
}

void Listing::GoSequential() {
  LogInfo("listing \"" + options_.prefix + "\" one page after another: the server's pages are not in key order");
  sequential_ = true;
  ranges_.clear();
  Start();
}

void Listing::SplitRanges() {
  while (!sequential_ && ranges_.size() < options_.lists_in_flight_max) {
    Range* longest = nullptr;
    double pages_left_max = kPagesLeftToSplit;
    const auto describe = [&](const Range& range) {
      return KeyRange{options_.prefix, range.first, range.last,
                      range.until ? std::optional<std::string_view>(*range.until) : std::nullopt, range.pages};
    };
    for (auto& [id, range] : ranges_) {
      if (range.pages == 0) continue;  // nothing is known of it yet
      const double pages_left = EstimatePagesLeft(describe(range), alphabet_);
      if (pages_left <= pages_left_max) continue;
      pages_left_max = pages_left;
      longest = &range;
    }
    if (longest == nullptr) return;
    const size_t idle = options_.lists_in_flight_max - ranges_.size();
    const size_t wanted = std::min(idle, static_cast<size_t>(std::min(pages_left_max, 1000.0)));
    const auto cuts = CutPoints(describe(*longest), alphabet_, wanted, !options_.delimiter.empty());
    if (cuts.empty()) return;
    const auto end = longest->until;
    longest->until = cuts.front();
    for (size_t i = 0; i < cuts.size(); ++i) {
      const uint64_t id = next_range_++;
      Range& piece = ranges_[id];
      piece.after = cuts[i];
      piece.until = i + 1 < cuts.size() ? std::optional(cuts[i + 1]) : end;
      Send(id);
    }
  }
}

void Listing::Finish(Status status) {
  finished_ = true;
  ranges_.clear();
  const OnDone done = std::move(on_done_);
  on_page_ = nullptr;
  done(std::move(status));
}

}  // namespace leat::catalog
