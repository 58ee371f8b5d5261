// SPDX-License-Identifier: Apache-2.0
#include "fs/kernel_knowledge.h"

#include "base/random.h"

namespace leat::fs {

void InodeSet::Insert(InodeId id) {
  const uint64_t bit = Value(id) % kBitsPerPage;
  const uint64_t mask = uint64_t{1} << (bit % 64);
  {
    std::shared_lock lock(mutex_);
    if (const auto found = pages_.find(Value(id) / kBitsPerPage); found != pages_.end()) {
      std::atomic<uint64_t>& word = (*found->second)[bit / 64];
      if ((word.load(std::memory_order_relaxed) & mask) == 0) word.fetch_or(mask);
      return;
    }
  }
  std::unique_lock lock(mutex_);
  std::unique_ptr<Page>& page = pages_[Value(id) / kBitsPerPage];
  if (!page) page = std::make_unique<Page>();
  (*page)[bit / 64].fetch_or(mask);
}

bool InodeSet::Contains(InodeId id) const {
  const uint64_t bit = Value(id) % kBitsPerPage;
  std::shared_lock lock(mutex_);
  const auto found = pages_.find(Value(id) / kBitsPerPage);
  return found != pages_.end() && ((*found->second)[bit / 64].load() >> (bit % 64) & 1) != 0;
}

uint64_t KernelKnowledge::HashOf(InodeId parent, std::string_view name) {
  uint64_t hash = Random::Mix(Value(parent) + 0x51ed270b0929f2d1u);
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;  // FNV-1a's step
  return Random::Mix(hash);
}

size_t KernelKnowledge::Slot(uint64_t kind, InodeId id) { return Random::Mix(Value(id) * 4 + kind) % kMarks; }

void KernelKnowledge::KnowsAbsence(InodeId parent, std::string_view name) {
  std::lock_guard lock(mutex_);
  if (negatives_overflowed_) return;
  negatives_.insert(HashOf(parent, name));
  if (negatives_.size() <= kNegativesMax) return;
  negatives_overflowed_ = true;  // from now on every added name is told
  negatives_.clear();
}

void KernelKnowledge::KnowsPresence(InodeId parent, std::string_view name) {
  std::lock_guard lock(mutex_);
  negatives_.erase(HashOf(parent, name));
}

bool KernelKnowledge::MayMissName(InodeId parent, std::string_view name) const {
  if (!inodes_.Contains(parent)) return false;
  if (directories_.Contains(parent)) return true;
  std::lock_guard lock(mutex_);
  return negatives_overflowed_ || negatives_.contains(HashOf(parent, name));
}

void KernelKnowledge::EntryChanged(InodeId parent, std::string_view name) {
  ++marks_[EntrySlot(parent, name)];
  ++marks_[Slot(1, parent)];
}

}  // namespace leat::fs
