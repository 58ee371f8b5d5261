// SPDX-License-Identifier: Apache-2.0
#include "chunked_body.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace leat::s3lab {

Result<size_t> ChunkedDecoder::Decode(std::string_view input, Listener& listener) {
  size_t at = 0;
  while (at < input.size() && !done()) {
    if (state_ == State::kBytes) {
      const size_t size = static_cast<size_t>(std::min<uint64_t>(left_, input.size() - at));
      LEAT_RETURN_IF_ERROR(listener.ChunkBytes(input.substr(at, size)));
      at += size;
      left_ -= size;
      if (left_ == 0) {
        LEAT_RETURN_IF_ERROR(listener.ChunkEnds());
        state_ = State::kBytesEnd;
      }
      continue;
    }
    const char c = input[at++];
    line_ += c;
    if (line_.size() > kLineBytesMax) return Fail(ErrorCode::kProtocol, "a chunk line is too long");
    if (c != '\n') continue;
    if (line_.size() < 2 || line_[line_.size() - 2] != '\r')
      return Fail(ErrorCode::kProtocol, "a chunk line must end with CRLF");
    line_.resize(line_.size() - 2);
    LEAT_RETURN_IF_ERROR(TakeLine(line_, listener));
    line_.clear();
  }
  return at;
}

Status ChunkedDecoder::TakeLine(std::string_view line, Listener& listener) {
  if (state_ == State::kBytesEnd) {
    if (!line.empty()) return Fail(ErrorCode::kProtocol, "a chunk is longer than it says");
    state_ = State::kSize;
    return {};
  }
  if (state_ == State::kTrailer) {
    if (line.empty()) {
      state_ = State::kDone;
      return {};
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || trailers_.size() == kTrailersMax)
      return Fail(ErrorCode::kProtocol, "a trailer that is not Name: value");
    trailers_.emplace_back(ToLower(line.substr(0, colon)), Trim(line.substr(colon + 1)));
    return {};
  }
  const size_t semicolon = line.find(';');
  const std::string_view digits = line.substr(0, semicolon);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), left_, 16);
  if (error != std::errc() || end != digits.data() + digits.size())
    return Fail(ErrorCode::kProtocol, "a chunk size that is not hexadecimal");
  const std::string_view extension = semicolon == std::string_view::npos ? "" : line.substr(semicolon + 1);
  LEAT_RETURN_IF_ERROR(listener.ChunkBegins(left_, extension));
  state_ = left_ == 0 ? State::kTrailer : State::kBytes;
  if (left_ == 0) LEAT_RETURN_IF_ERROR(listener.ChunkEnds());
  return {};
}

}  // namespace leat::s3lab
