// SPDX-License-Identifier: Apache-2.0
// ReadBuffer: room for the answer to one READ, taken from those that earlier READs of any mount have left. One for
// every session thread of every mount would be most of a small daemon. Threads: any; a buffer is its owner's alone.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace leat::fuse {

inline constexpr size_t kReadBytesMax = 1u << 20;  // max_pages: what one READ can ask

class ReadBuffer {
 public:
  ReadBuffer();
  ~ReadBuffer();
  ReadBuffer(const ReadBuffer&) = delete;
  ReadBuffer& operator=(const ReadBuffer&) = delete;
  std::span<std::byte> First(size_t size) const { return {bytes_.get(), size < kReadBytesMax ? size : kReadBytesMax}; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
};

}  // namespace leat::fuse
