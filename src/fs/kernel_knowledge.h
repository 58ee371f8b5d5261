// SPDX-License-Identifier: Apache-2.0
// KernelKnowledge: what the kernel may have cached of this file system, as far as it decides which changes must be told
// to it. An import of a million new names must not send a million notices about names that nobody ever asked for. Errs
// on the side of telling. Threads: any. Memory: two bits for each inode number in use, plus kNegativesMax hashes.
//
// Also the change marks: an answer is read from the catalog first and reaches the kernel later, and a change in between
// would be told before the kernel has anything to forget. So: take the mark, read, answer, and when the mark has moved
// tell the kernel again.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "model/ids.h"

namespace leat::fs {

// Numbers in a set, as bits in pages of 32,768.
class InodeSet {
 public:
  void Insert(InodeId id);
  bool Contains(InodeId id) const;

 private:
  static constexpr uint64_t kBitsPerPage = 32768;
  using Page = std::array<std::atomic<uint64_t>, kBitsPerPage / 64>;
  mutable std::shared_mutex mutex_;  // protects pages_ (not the bits)
  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages_;
};

class KernelKnowledge {
 public:
  static constexpr size_t kNegativesMax = 262'144;

  // Before the answer is read from the catalog, or before it is sent with the mark taken before reading.
  void KnowsInode(InodeId id) { inodes_.Insert(id); }
  void KnowsContents(InodeId directory) { directories_.Insert(directory); }
  void KnowsAbsence(InodeId parent, std::string_view name);
  void KnowsPresence(InodeId parent, std::string_view name);  // it was found after all

  bool MayKnowInode(InodeId id) const { return inodes_.Contains(id); }
  bool MayMissName(InodeId parent, std::string_view name) const;  // would an added name surprise the kernel?

  uint64_t EntryMark(InodeId parent, std::string_view name) const { return marks_[EntrySlot(parent, name)].load(); }
  uint64_t DirectoryMark(InodeId directory) const { return marks_[Slot(1, directory)].load(); }
  uint64_t AttributesMark(InodeId inode) const { return marks_[Slot(2, inode)].load(); }
  void EntryChanged(InodeId parent, std::string_view name);
  void AttributesChanged(InodeId inode) {
    ++attribute_changes_;  // first: who takes the raised mark must see that something has changed
    ++marks_[Slot(2, inode)];
  }
  // Of any inode: for an answer read before the inode's number, and so its mark, was known.
  uint64_t AttributeChanges() const { return attribute_changes_.load(); }

 private:
  static constexpr size_t kMarks = 4096;
  static uint64_t HashOf(InodeId parent, std::string_view name);
  static size_t EntrySlot(InodeId parent, std::string_view name) { return HashOf(parent, name) % kMarks; }
  static size_t Slot(uint64_t kind, InodeId id);

  InodeSet inodes_, directories_;
  mutable std::mutex mutex_;  // protects what follows
  std::unordered_set<uint64_t> negatives_;
  bool negatives_overflowed_ = false;
  std::array<std::atomic<uint64_t>, kMarks> marks_{};
  std::atomic<uint64_t> attribute_changes_{0};
};

}  // namespace leat::fs
