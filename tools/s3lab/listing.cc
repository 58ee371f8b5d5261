// SPDX-License-Identifier: Apache-2.0
#include "listing.h"

#include <algorithm>

namespace leat::s3lab {

std::string PrefixSuccessor(std::string_view prefix) {
  std::string next(prefix);
  while (!next.empty() && static_cast<unsigned char>(next.back()) == 0xff) next.pop_back();
  if (!next.empty()) next.back() = static_cast<char>(static_cast<unsigned char>(next.back()) + 1);
  return next;
}

namespace {
// The common prefix that `key` is rolled into, or "".
std::string_view GroupOf(std::string_view key, const ListQuery& query) {
  if (query.delimiter.empty()) return {};
  const size_t at = key.find(query.delimiter, query.prefix.size());
  return at == std::string_view::npos ? std::string_view() : key.substr(0, at + query.delimiter.size());
}
}  // namespace

ListResult ListPage(const Bucket& bucket, const ListQuery& query) {
  ListResult page;
  if (query.max_keys == 0) return page;
  std::string from = std::max(query.prefix, query.after);
  // When the last page ended with a common prefix, its keys are over.
  if (!query.delimiter.empty() && query.after.size() > query.prefix.size() &&
      GroupOf(query.after, query) == query.after) {
    const std::string next = PrefixSuccessor(query.after);
    if (next.empty()) return page;
    from = std::max(from, next);
  }
  bucket.Scan(from, [&](const Object& object, std::string& seek) {
    const std::string_view key = object.key;
    if (key.substr(0, query.prefix.size()) != query.prefix) return false;
    if (key <= query.after) return true;
    if (page.objects.size() + page.common_prefixes.size() == query.max_keys) {
      page.truncated = true;
      return false;
    }
    const std::string_view group = GroupOf(key, query);
    if (group.empty()) {
      page.objects.push_back({object.key, object.size, object.modified_s, object.etag, {}, {}, {}, {}});
      page.last = object.key;
      return true;
    }
    page.common_prefixes.emplace_back(group);
    page.last = group;
    seek = PrefixSuccessor(group);
    return !seek.empty();
  });
  return page;
}

}  // namespace leat::s3lab
