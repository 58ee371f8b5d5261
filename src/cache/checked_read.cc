// SPDX-License-Identifier: Apache-2.0
#include "cache/checked_read.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/crc32c.h"

namespace leat::cache {
namespace {

using Pieces = std::array<std::span<std::byte>, 3>;

ReadOutcome ReadPieces(int file, uint64_t position, Pieces pieces) {
  for (;;) {
    std::array<iovec, 3> vectors{};
    int count = 0;
    for (const auto& piece : pieces) {
      if (!piece.empty()) vectors[static_cast<size_t>(count++)] = {piece.data(), piece.size()};
    }
    if (count == 0) return ReadOutcome::kChecked;
    const ssize_t got = ::preadv(file, vectors.data(), count, static_cast<off_t>(position));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ReadOutcome::kFailed;
    if (got == 0) return ReadOutcome::kMismatch;
    position += static_cast<uint64_t>(got);
    auto left = static_cast<size_t>(got);
    for (auto& piece : pieces) {
      const size_t taken = std::min(left, piece.size());
      piece = piece.subspan(taken);
      left -= taken;
    }
  }
}

}  // namespace

ReadOutcome ReadChecked(int file, uint64_t base, uint64_t size, std::span<const uint32_t> checksums, uint64_t offset,
                        std::span<std::byte> out, const Trailer* trailer) {
  const uint64_t first = offset / kChecksumBytes * kChecksumBytes;
  const uint64_t end = std::min(RoundUp(offset + out.size(), kChecksumBytes), size);
  const uint64_t head_bytes = offset - first;
  const uint64_t tail_bytes = end - (offset + out.size());
  const uint64_t trailer_bytes = trailer != nullptr && end == size ? kTrailerBytes : 0;
  if (checksums.size() < ChunkCount(end - first)) return ReadOutcome::kMismatch;

  // What is read beside the caller's range: less than a chunk on either side, and the trailer.
  thread_local const auto scratch = std::make_unique<std::byte[]>(2 * kChecksumBytes + kTrailerBytes);
  const std::span<std::byte> head(scratch.get(), head_bytes);
  const std::span<std::byte> tail(scratch.get() + kChecksumBytes, tail_bytes + trailer_bytes);
  const ReadOutcome outcome = ReadPieces(file, base + first, {head, out, tail});
  if (outcome != ReadOutcome::kChecked) return outcome;

  Pieces pieces = {head, out, tail.first(tail_bytes)};
  for (uint64_t at = first, chunk = 0; at < end; at += kChecksumBytes, ++chunk) {
    uint64_t left = std::min(kChecksumBytes, end - at);
    uint32_t checksum = 0;
    for (auto& piece : pieces) {
      const size_t taken = std::min<uint64_t>(left, piece.size());
      if (taken == 0) continue;
      checksum = Crc32c(piece.first(taken), checksum);
      piece = piece.subspan(taken);
      left -= taken;
    }
    if (checksum != checksums[chunk]) return ReadOutcome::kMismatch;
  }
  if (trailer_bytes != 0 && std::memcmp(tail.data() + tail_bytes, trailer->data(), kTrailerBytes) != 0) {
    return ReadOutcome::kMismatch;
  }
  return ReadOutcome::kChecked;
}

}  // namespace leat::cache
