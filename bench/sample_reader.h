// SPDX-License-Identifier: Apache-2.0
// SampleReader: reads one sample after another into one buffer, by the fewest system calls that read it for certain.
//
//   a whole file      open, read() until it gives 0, close. A short read is no proof of the end on every file system,
//   so
//                     a file smaller than the buffer costs two reads. With `direct`, a short read is the end: the next
//                     one would begin between two blocks.
//   a part of a shard open, pread() until the part is complete, close; one pread when it fits the buffer
//   mapped            open, fstat, mmap (private, as PyTorch maps), one word of each page (all words with `checksum`),
//                     munmap, close
//
// There is no stat before the open and no fadvise: the same calls on each file system that is compared.
// Confined to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "sample_list.h"

namespace leat::bench {

struct ReadOptions {
  uint64_t read_bytes = 1 << 20;  // the buffer, and the most that one call asks for
  bool mapped = false;
  bool direct = false;     // O_DIRECT: read_bytes and every range must be multiples of kDirectAlignment
  bool keep_open = false;  // shards stay open until the reader ends; whole files do not
  bool checksum = false;
};
inline constexpr uint64_t kDirectAlignment = 4096;

class SampleReader {
 public:
  // `list` must outlive the reader.
  SampleReader(const SampleList& list, const ReadOptions& options);

  // Fails when the file cannot be opened, read, or is shorter than the list says; nothing of it is counted then.
  Status Read(const Sample& sample);

  uint64_t bytes() const { return bytes_; }
  // The sum, modulo 2^64, of one number for each sample: of its listed path, its offset and its bytes (CRC-32C). It
  // does not depend on the order of reading or on the root.
  uint64_t checksum() const { return checksum_; }

 private:
  struct FreeBuffer {
    void operator()(std::byte* buffer) const;
  };

  Result<int> Open(const Sample& sample);
  Result<uint64_t> ReadWhole(int descriptor, uint32_t* crc);
  Result<uint64_t> ReadRange(int descriptor, const Sample& sample, uint32_t* crc);
  Result<uint64_t> ReadMapped(int descriptor, const Sample& sample, uint32_t* crc);
  void AddChecksum(const Sample& sample, uint32_t crc);

  const SampleList& list_;
  const ReadOptions options_;
  const std::unique_ptr<std::byte, FreeBuffer> buffer_;
  std::vector<FileDescriptor> shards_;  // by file; only with keep_open
  uint64_t bytes_ = 0;
  uint64_t checksum_ = 0;
  volatile uint64_t touched_ = 0;  // so that the compiler keeps the reads of mapped pages
};

}  // namespace leat::bench
