// SPDX-License-Identifier: Apache-2.0
#include "policy/hydration_trigger.h"

#include <algorithm>

namespace leat::policy {

HydrationTrigger::Directory& HydrationTrigger::Touch(InodeId id) {
  if (const auto found = directories_.find(Value(id)); found != directories_.end()) {
    by_age_.splice(by_age_.begin(), by_age_, found->second.age);
    return found->second;
  }
  while (directories_.size() >= std::max<size_t>(options_.directories_max, 1)) {
    directories_.erase(Value(by_age_.back()));
    by_age_.pop_back();
  }
  by_age_.push_front(id);
  Directory& directory = directories_[Value(id)];
  directory.age = by_age_.begin();
  return directory;
}

std::optional<InodeId> HydrationTrigger::OnMiss(InodeId file, std::span<const InodeId> ancestors) {
  std::optional<InodeId> deepest;
  InodeId child = file;
  for (const InodeId ancestor : ancestors) {
    Directory& directory = Touch(ancestor);
    if (directory.named) {
      // All below is being hydrated already, whatever was found below; what is above may still widen.
      deepest.reset();
    } else if (directory.children.size() < options_.distinct_children &&
               std::find(directory.children.begin(), directory.children.end(), child) == directory.children.end()) {
      directory.children.push_back(child);
    }
    if (!directory.named && !deepest && directory.children.size() >= options_.distinct_children) {
      deepest = ancestor;
    }
    child = ancestor;
  }
  if (deepest) {
    if (const auto found = directories_.find(Value(*deepest)); found != directories_.end()) found->second.named = true;
  }
  return deepest;
}

void HydrationTrigger::Forget(InodeId directory) {
  const auto found = directories_.find(Value(directory));
  if (found == directories_.end()) return;
  by_age_.erase(found->second.age);
  directories_.erase(found);
}

void HydrationTrigger::Clear() {
  directories_.clear();
  by_age_.clear();
}

}  // namespace leat::policy
