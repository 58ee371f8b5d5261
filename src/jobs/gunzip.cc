// SPDX-License-Identifier: Apache-2.0
#include "jobs/gunzip.h"

#include <isa-l/igzip_lib.h>

#include <algorithm>

namespace leat::jobs {
namespace {

constexpr size_t kOutBytes = 256u << 10;
constexpr size_t kInBytesMax = 1u << 30;  // ISA-L counts in uint32_t

}  // namespace

struct Gunzip::State {
  enum class Place { kBetween, kMember, kZeros };  // kBetween: a member may begin
  inflate_state inflate;
  Place place = Place::kBetween;
  bool has_member = false;
};

Gunzip::Gunzip() : state_(std::make_unique<State>()), out_(kOutBytes) { isal_inflate_init(&state_->inflate); }
Gunzip::~Gunzip() = default;

Status Gunzip::Write(std::span<const std::byte> bytes, const ByteSink& sink) {
  inflate_state& inflate = state_->inflate;
  while (!bytes.empty()) {
    if (state_->place == State::Place::kBetween && state_->has_member && bytes[0] == std::byte{0}) {
      state_->place = State::Place::kZeros;  // as some writers fill up a block
    }
    if (state_->place == State::Place::kZeros) {
      if (bytes[0] != std::byte{0}) return Fail(ErrorCode::kCorrupt, "something that is no gzip follows the gzip data");
      bytes = bytes.subspan(1);
      continue;
    }
    if (state_->place == State::Place::kBetween) {
      isal_inflate_reset(&inflate);
      inflate.crc_flag = ISAL_GZIP;
      state_->place = State::Place::kMember;
      state_->has_member = true;
    }
    const auto piece = bytes.first(std::min(bytes.size(), kInBytesMax));
    // ISA-L does not write through the pointer; its signature predates const.
    inflate.next_in = reinterpret_cast<uint8_t*>(const_cast<std::byte*>(piece.data()));
    inflate.avail_in = static_cast<uint32_t>(piece.size());
    do {
      inflate.next_out = reinterpret_cast<uint8_t*>(out_.data());
      inflate.avail_out = static_cast<uint32_t>(out_.size());
      const int code = isal_inflate(&inflate);
      if (code < ISAL_DECOMP_OK || code == ISAL_NEED_DICT) {
        return Fail(ErrorCode::kCorrupt, code == ISAL_INCORRECT_CHECKSUM
                                             ? "its gzip checksum does not match what it unpacks to"
                                             : "it is no gzip data, though CompressionType says Gzip");
      }
      const size_t made = out_.size() - inflate.avail_out;
      if (made > 0) LEAT_RETURN_IF_ERROR(sink(std::span(out_).first(made)));
      if (inflate.block_state == ISAL_BLOCK_FINISH) break;
    } while (inflate.avail_in > 0 || inflate.avail_out == 0);
    bytes = bytes.subspan(piece.size() - inflate.avail_in);
    if (inflate.block_state == ISAL_BLOCK_FINISH) state_->place = State::Place::kBetween;
  }
  return {};
}

Status Gunzip::End() const {
  if (state_->place != State::Place::kMember) return {};
  return Fail(ErrorCode::kCorrupt, "its gzip data ends too early");
}

}  // namespace leat::jobs
