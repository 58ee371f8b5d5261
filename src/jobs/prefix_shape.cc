// SPDX-License-Identifier: Apache-2.0
#include "jobs/prefix_shape.h"

#include <algorithm>
#include <cstdint>

#include "jobs/stoppable.h"
#include "jobs/transfer.h"

namespace leat::jobs {
namespace {

constexpr uint32_t kListedMax = 10;  // keys: two different ones tell enough

bool IsMarker(const ObjectInfo& object) { return object.size_bytes == 0 && object.key.ends_with('/'); }

}  // namespace

Result<PrefixShape> ShapeOfPrefix(RepositoryFactory& repositories, const std::string& uri, const StopCheck& stopped) {
  const RepositoryLocation location = LocationOf(uri);
  LEAT_ASSIGN_OR_RETURN(const Repository repository, repositories.Open(location.repository, 1));
  const auto list = [&](const std::string& prefix, const std::string& delimiter) {
    env::ListRequest request;
    request.prefix = prefix;
    request.delimiter = delimiter;
    request.keys_max = kListedMax;
    return AwaitUnlessStopped<env::ListPage>(stopped,
                                             [&](auto done) { repository.store->List(request, std::move(done)); });
  };
  std::string folder = location.key;
  if (!folder.empty() && folder.back() != '/') {
    LEAT_ASSIGN_OR_RETURN(const auto page, list(folder, "/"));
    folder += '/';
    if (page.objects.empty() && page.common_prefixes.empty() && page.next_token.empty()) return PrefixShape::kNothing;
    const bool is_alone = page.objects.empty() && page.next_token.empty() && page.common_prefixes.size() == 1 &&
                          page.common_prefixes[0] == folder;
    if (!is_alone) return PrefixShape::kOther;
  }
  LEAT_ASSIGN_OR_RETURN(const auto page, list(folder, ""));
  const bool has_any = !page.next_token.empty() || !std::ranges::all_of(page.objects, IsMarker);
  return has_any ? PrefixShape::kFolder : PrefixShape::kNothing;
}

}  // namespace leat::jobs
