// SPDX-License-Identifier: Apache-2.0
// RocksCatalog::Apply, for the files that change the catalog. Internal to catalog/.
#pragma once

#include <utility>

#include "catalog/catalog_rocksdb.h"

namespace leat::catalog {

template <class Edit>
Status RocksCatalog::Apply(Edit edit) {
  std::vector<Event> events;
  {
    const std::lock_guard write_lock(write_mutex_);
    Change change(storage_, counters_);
    Status status = edit(change);
    if (status) status = change.Commit();
    if (!status) {
      // Some may have been made by what is now not committed. Without the moves a sweep keeps more, never less.
      ForgetDirectories();
      moved_from_.clear();
      return status;
    }
    if (!change.empty()) {
      const std::lock_guard lock(counters_mutex_);
      counters_ = change.counters();
    }
    events = change.TakeEvents();
  }
  Notify(std::move(events));
  return {};
}

}  // namespace leat::catalog
