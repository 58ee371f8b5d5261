// SPDX-License-Identifier: Apache-2.0
// ReadOrder: in which order the files of a file system were first read since it was mounted, or since its contents were
// last dropped; kept in a file (docs/formats/read-order.md), so that the same epoch can be fetched in that order again.
//
// A file's first READ reaches the daemon even when the cache answers it, because a mount begins with no page cached:
// what is seen is the true order of the first epoch, hydration ahead or not. Later epochs that the page cache answers
// send no message and are not seen. What was not read this time keeps its place of before, after what was.
//
// Threads: any. Memory: 128 KiB, and 8 bytes for each file read, at most kFilesMax. A hint: a file that is damaged, or
// of another catalog, is no error; who follows the order passes over files that exist no more.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "model/ids.h"

namespace leat::fs {

class ReadOrder {
 public:
  static constexpr size_t kFilesMax = 1u << 20;

  // `path`: where it is kept; empty: in memory only.
  explicit ReadOrder(std::string path) : path_(std::move(path)), seen_(std::make_unique<Seen>()) {}

  // A READ of the file. One load, unless it is the first.
  void OnRead(InodeId file) {
    if (!WasSeen(file)) Note(file);
  }
  // Keeps the order as known now, and begins anew. A failure goes to the log.
  void Save();

  // The order as known now: what was seen, then what is kept (which may name a file again). Confined to one thread; the
  // ReadOrder outlives it.
  class Reader {
   public:
    explicit Reader(ReadOrder& order);
    std::vector<InodeId> Next(size_t count);  // at most `count`; empty: no more

   private:
    ReadOrder& order_;
    size_t next_ = 0, end_ = 0;  // of what was seen
    FileDescriptor kept_;
    uint64_t kept_next_ = 0, kept_end_ = 0;  // bytes of the file
  };

 private:
  // Inode numbers are given out one after another, so that two files share a bit only when a million lie between
  // them; the second then counts as seen, and is fetched in the listing's order.
  static constexpr uint64_t kBits = 1u << 20;
  using Seen = std::array<std::atomic<uint64_t>, kBits / 64>;
  bool WasSeen(InodeId file) const {
    const uint64_t bit = Value(file) % kBits;
    return ((*seen_)[bit / 64].load(std::memory_order_relaxed) >> (bit % 64) & 1) != 0;
  }
  void Note(InodeId file);

  const std::string path_;
  const std::unique_ptr<Seen> seen_;
  std::atomic<bool> saving_{false};
  std::mutex mutex_;
  std::deque<InodeId> order_;  // under mutex_
};

// The file's bytes.
std::string EncodeReadOrder(const std::deque<InodeId>& order);
// Whether they are whole and of this version, told in pieces: how many files it names. kCorrupt.
Result<uint64_t> CheckReadOrder(int file);

}  // namespace leat::fs
