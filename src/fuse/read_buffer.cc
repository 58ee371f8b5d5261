// SPDX-License-Identifier: Apache-2.0
#include "fuse/read_buffer.h"

#include <mutex>
#include <utility>
#include <vector>

namespace leat::fuse {
namespace {

constexpr size_t kKeptMax = 8;  // more are made while so many READs are answered at once

struct Kept {
  std::mutex mutex;
  std::vector<std::unique_ptr<std::byte[]>> buffers;  // the last used, whose pages are in the processor's cache, last
};

Kept& AllKept() {
  static Kept kept;
  return kept;
}

}  // namespace

ReadBuffer::ReadBuffer() {
  Kept& kept = AllKept();
  {
    std::lock_guard lock(kept.mutex);
    if (!kept.buffers.empty()) {
      bytes_ = std::move(kept.buffers.back());
      kept.buffers.pop_back();
    }
  }
  if (!bytes_) bytes_.reset(new std::byte[kReadBytesMax]);
}

ReadBuffer::~ReadBuffer() {
  Kept& kept = AllKept();
  std::lock_guard lock(kept.mutex);
  if (kept.buffers.size() < kKeptMax) kept.buffers.push_back(std::move(bytes_));
}

}  // namespace leat::fuse
