// SPDX-License-Identifier: Apache-2.0
#include "jobs/read_ahead.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "jobs/stoppable.h"

namespace leat::jobs {

void StreamBell::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
}

bool StreamBell::stopped() const {
  std::lock_guard lock(mutex_);
  return stopped_;
}

// One GET. The store's thread writes until OnDone, the reader reads after it; the bell's mutex is between the two.
class ReadAhead::Fetch final : public env::GetReceiver {
 public:
  Fetch(std::shared_ptr<StreamBell> bell, uint64_t bytes_max) : bell_(std::move(bell)), bytes_max_(bytes_max) {}
  void OnStart(const ObjectInfo& info) override {
    info_ = info;
    bytes_.reserve(std::min<uint64_t>(bytes_max_, info.size_bytes));
  }
  void OnData(std::span<const std::byte> bytes) override {
    is_too_long_ = is_too_long_ || bytes.size() > bytes_max_ - bytes_.size();
    if (!is_too_long_) bytes_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void OnDone(Status status) override {
    status_ = std::move(status);
    if (status_ && is_too_long_) status_ = Fail(ErrorCode::kProtocol, "the repository sent more than was asked for");
    {
      std::lock_guard lock(bell_->mutex_);
      is_done_ = true;
    }
    bell_->changed_.notify_all();
  }

 private:
  friend class ReadAhead;
  const std::shared_ptr<StreamBell> bell_;
  const uint64_t bytes_max_;
  ObjectInfo info_;
  std::string bytes_;
  bool is_too_long_ = false;
  Status status_;
  bool is_done_ = false;  // protected by bell_->mutex_
};

ReadAhead::ReadAhead(Source source, std::shared_ptr<StreamBell> bell, ReadAheadLimits limits)
    : source_(std::move(source)), bell_(std::move(bell)), limits_(limits) {}

ReadAhead::~ReadAhead() {
  for (const auto& piece : pieces_) {
    if (piece.fetch) piece.part->store->Cancel(piece.request);
  }
}

void ReadAhead::Fill() {
  size_t requests = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < limits_.parts_max && requests < limits_.requests_max && bytes < limits_.bytes_max; ++i) {
    if (i == pieces_.size()) {
      auto next = source_ended_ ? std::nullopt : source_();
      if (!next) {
        source_ended_ = true;
        return;
      }
      Piece piece;
      piece.part = std::make_shared<StreamPart>(std::move(*next));
      piece.is_first = true;
      piece.is_size_known = !piece.part->store || piece.part->size_bytes;
      piece.length =
          !piece.part->store ? piece.part->literal.size() : piece.part->size_bytes.value_or(limits_.unknown_bytes);
      pieces_.push_back(std::move(piece));
    }
    if (pieces_[i].part->store && !pieces_[i].fetch && pieces_[i].length > 0) Start(i);
    requests += pieces_[i].fetch ? 1 : 0;
    bytes += pieces_[i].length;
  }
}

void ReadAhead::Start(size_t place) {
  if (pieces_[place].length > limits_.piece_bytes) {
    Piece rest = pieces_[place];
    rest.offset += limits_.piece_bytes;
    rest.length -= limits_.piece_bytes;
    rest.is_first = false;
    pieces_[place].length = limits_.piece_bytes;
    pieces_.insert(pieces_.begin() + static_cast<std::ptrdiff_t>(place) + 1, std::move(rest));
  }
  Piece& piece = pieces_[place];
  const StreamPart& part = *piece.part;
  env::GetRequest get;
  get.key = part.key;
  get.if_match = part.etag;
  get.offset = piece.offset;
  // The whole object at once is the only GET whose bytes S3 gives a checksum for.
  if (!piece.is_size_known || piece.offset > 0 || piece.length < *part.size_bytes) get.length = piece.length;
  piece.fetch = std::make_shared<Fetch>(bell_, piece.length);
  piece.request = part.store->Get(std::move(get), piece.fetch);
}

Status ReadAhead::Wait(const Piece& piece) {
  Fetch& fetch = *piece.fetch;
  {
    std::unique_lock lock(bell_->mutex_);
    bell_->changed_.wait(lock, [&] { return fetch.is_done_ || bell_->stopped_; });
    if (bell_->stopped_) return Fail(ErrorCode::kCancelled, "stopped");
  }
  if (fetch.status_) {
    if (!piece.is_size_known || fetch.bytes_.size() == piece.length) return {};
    return Fail(ErrorCode::kProtocol, EscapeForDisplay(piece.part->uri) + ": the repository sent " +
                                          std::to_string(fetch.bytes_.size()) + " bytes of the " +
                                          std::to_string(piece.length) + " that were asked for");
  }
  return Fail(fetch.status_.error().code, EscapeForDisplay(piece.part->uri) + ": " + fetch.status_.error().message);
}

// A range of an object without bytes does not exist, and S3 refuses it.
bool ReadAhead::IsEmptyObject(const StreamPart& part) {
  const auto info = AwaitUnlessStopped<ObjectInfo>([this] { return bell_->stopped(); },
                                                   [&](auto done) { part.store->Head(part.key, std::move(done)); });
  return info && info->size_bytes == 0;
}

// The size of the first piece's object, from its first bytes; the rest of it becomes a piece of its own.
Status ReadAhead::Learn() {
  Piece& first = pieces_.front();
  const Status status = Wait(first);
  if (!status) {
    const ErrorCode code = status.error().code;
    if (code == ErrorCode::kCancelled || code == ErrorCode::kNotFound || !IsEmptyObject(*first.part)) return status;
    first.part->size_bytes = first.length = 0;
    return {};
  }
  const Fetch& fetch = *first.fetch;
  const uint64_t size = fetch.info_.size_bytes, got = fetch.bytes_.size();
  if (got != std::min(size, first.length)) {
    return Fail(ErrorCode::kProtocol, EscapeForDisplay(first.part->uri) + ": the repository sent " +
                                          std::to_string(got) + " bytes of an object of " + std::to_string(size));
  }
  first.part->size_bytes = size;
  first.part->etag = fetch.info_.etag;
  first.length = got;
  first.is_size_known = true;
  if (got == size) return {};
  Piece rest;
  rest.part = first.part;
  rest.offset = got;
  rest.length = size - got;
  pieces_.insert(pieces_.begin() + 1, std::move(rest));
  return {};
}

Result<bool> ReadAhead::Next() {
  LEAT_CHECK(position_ == size_);
  Fill();
  if (pieces_.empty()) return false;
  LEAT_CHECK(pieces_.front().is_first);
  if (!pieces_.front().is_size_known) LEAT_RETURN_IF_ERROR(Learn());
  const Piece& first = pieces_.front();
  part_ = first.part;
  size_ = part_->store ? *part_->size_bytes : part_->literal.size();
  position_ = 0;
  if (size_ == 0) pieces_.pop_front();
  return true;
}

Result<std::string> ReadAhead::Read() {
  if (position_ == size_) return std::string();
  Fill();
  Piece& piece = pieces_.front();
  if (piece.fetch) LEAT_RETURN_IF_ERROR(Wait(piece));
  std::string bytes = std::move(piece.fetch ? piece.fetch->bytes_ : piece.part->literal);
  position_ += bytes.size();
  pieces_.pop_front();
  Fill();
  return bytes;
}

bool ReadAhead::MustWait() const {
  if (pieces_.empty()) return false;
  const Piece& piece = pieces_.front();
  if (!piece.fetch) return piece.part->store && piece.length > 0;
  std::lock_guard lock(bell_->mutex_);
  return !piece.fetch->is_done_;
}

}  // namespace leat::jobs
