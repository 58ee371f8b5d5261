// SPDX-License-Identifier: Apache-2.0
// The chunked grammar, which HTTP's Transfer-Encoding: chunked and S3's Content-Encoding: aws-chunked share:
// "size[;extension]" CRLF, that many bytes, CRLF, ..., "0[;extension]" CRLF, trailer lines, an empty line. Confined to
// one thread; fed in any pieces.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace leat::s3lab {

class ChunkedDecoder {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual Status ChunkBegins(uint64_t size, std::string_view extension) = 0;  // the last chunk too, with size 0
    virtual Status ChunkBytes(std::string_view bytes) = 0;
    virtual Status ChunkEnds() = 0;
  };

  // Takes what it can of `input` and returns how much: less than all only once done().
  Result<size_t> Decode(std::string_view input, Listener& listener);
  bool done() const { return state_ == State::kDone; }
  const std::vector<std::pair<std::string, std::string>>& trailers() const { return trailers_; }  // names in lower case

 private:
  enum class State { kSize, kBytes, kBytesEnd, kTrailer, kDone };
  static constexpr size_t kLineBytesMax = 4096;  // a size line carries one signature, a trailer one checksum
  static constexpr size_t kTrailersMax = 16;

  Status TakeLine(std::string_view line, Listener& listener);

  State state_ = State::kSize;
  std::string line_;
  uint64_t left_ = 0;
  std::vector<std::pair<std::string, std::string>> trailers_;
};

}  // namespace leat::s3lab
