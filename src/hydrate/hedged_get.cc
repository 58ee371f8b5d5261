// SPDX-License-Identifier: Apache-2.0
#include "hydrate/hedged_get.h"

#include <utility>

namespace leat::hydrate {
namespace {

// Whether the same request sent at the same time may end otherwise.
bool MayDiffer(ErrorCode code) {
  switch (code) {
    case ErrorCode::kCancelled:
    case ErrorCode::kObjectChanged:
    case ErrorCode::kNotFound:
    case ErrorCode::kNoSuchBucket:
    case ErrorCode::kDenied:
    case ErrorCode::kArchivedStorage:
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotSupported:
      return false;
    default:
      return true;
  }
}

}  // namespace

class HedgedGet::Attempt final : public env::GetReceiver {
 public:
  Attempt(std::shared_ptr<HedgedGet> get, int number) : get_(std::move(get)), number_(number) {}
  void OnThrottled() override { get_->throttled_ = true; }
  void OnStart(const ObjectInfo& info) override { get_->OnStart(number_, info); }
  void OnData(std::span<const std::byte> bytes) override { get_->OnData(number_, bytes); }
  void OnDone(Status status) override { get_->OnDone(number_, std::move(status)); }

 private:
  const std::shared_ptr<HedgedGet> get_;
  const int number_;
};

void HedgedGet::Start(env::MonotonicTime now) {
  {
    std::lock_guard lock(mutex_);
    sent_[0] = Sent{now, {}};
  }
  Send(0);
}

bool HedgedGet::Hedge(env::MonotonicTime now) {
  {
    std::lock_guard lock(mutex_);
    if (!receiver_ || cancelled_ || winner_ != kNone || !sent_[0] || sent_[1]) return false;
    sent_[1] = Sent{now, {}};
  }
  Send(1);
  return true;
}

void HedgedGet::Send(int number) {
  env::GetRequest request = request_;
  // A hedge is late already; there are few of them.
  if (number == 1) request.background = false;
  const env::RequestId id = store_.Get(std::move(request), std::make_shared<Attempt>(shared_from_this(), number));
  bool unwanted = false;
  {
    std::lock_guard lock(mutex_);
    Sent& sent = *sent_[static_cast<size_t>(number)];
    sent.id = id;
    // What was decided while the store was being asked could not cancel it.
    unwanted = !sent.ended && (cancelled_ || (winner_ == kNone ? !receiver_ : winner_ != number));
  }
  if (unwanted) store_.Cancel(id);
}

void HedgedGet::Cancel() {
  std::array<std::optional<Sent>, 2> sent;
  {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    sent = sent_;
  }
  for (const auto& request : sent) {
    if (request && request->id && !request->ended) store_.Cancel(*request->id);
  }
}

std::optional<env::MonotonicTime> HedgedGet::WaitsSince() const {
  std::lock_guard lock(mutex_);
  if (!receiver_ || cancelled_ || winner_ != kNone || !sent_[0] || sent_[1]) return std::nullopt;
  return sent_[0]->at;
}

HedgedGet::FirstByte HedgedGet::FirstByteAt(env::MonotonicTime now) const {
  std::lock_guard lock(mutex_);
  FirstByte first_byte{now - sent_[0]->at, {}};
  if (winner_ == 1) first_byte.hedge = now - sent_[1]->at;
  return first_byte;
}

std::optional<env::RequestId> HedgedGet::OtherThan(int number) const {
  const auto& other = sent_[static_cast<size_t>(1 - number)];
  return other && !other->ended ? other->id : std::nullopt;
}

void HedgedGet::OnStart(int number, const ObjectInfo& info) {
  std::shared_ptr<env::GetReceiver> receiver;
  std::optional<env::RequestId> loser;
  {
    std::lock_guard lock(mutex_);
    if (!receiver_ || winner_ != kNone) return;
    winner_ = number;
    receiver = receiver_;
    loser = OtherThan(number);
  }
  if (loser) store_.Cancel(*loser);
  receiver->OnStart(info);
}

void HedgedGet::OnData(int number, std::span<const std::byte> bytes) {
  // Of the winner, on its own thread, which alone will take the receiver away: no lock is needed.
  if (winner_ == number) receiver_->OnData(bytes);
}

void HedgedGet::OnDone(int number, Status status) {
  std::shared_ptr<env::GetReceiver> receiver;
  std::optional<env::RequestId> other;
  {
    std::lock_guard lock(mutex_);
    sent_[static_cast<size_t>(number)]->ended = true;
    if (!receiver_ || (winner_ != kNone && winner_ != number)) return;
    const bool other_runs = sent_[static_cast<size_t>(1 - number)] && !sent_[static_cast<size_t>(1 - number)]->ended;
    if (winner_ == kNone && other_runs && !cancelled_ && !status && MayDiffer(status.error().code)) return;
    if (winner_ == kNone) other = OtherThan(number);
    receiver = std::exchange(receiver_, nullptr);
  }
  if (other) store_.Cancel(*other);
  receiver->OnDone(std::move(status));
}

}  // namespace leat::hydrate
