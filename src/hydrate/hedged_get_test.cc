// SPDX-License-Identifier: Apache-2.0
#include "hydrate/hedged_get.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "sim/held_object_store.h"
#include "sim/memory_object_store.h"

namespace leat::hydrate {
namespace {

using std::chrono::milliseconds;

class Recorder final : public env::GetReceiver {
 public:
  void OnStart(const ObjectInfo&) override { calls += "start "; }
  void OnData(std::span<const std::byte> bytes) override {
    calls += std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) + " ";
  }
  void OnDone(Status status) override { calls += status ? "done" : ErrorCodeName(status.error().code); }
  std::string calls;
};

class HedgedGetTest : public testing::Test {
 protected:
  HedgedGetTest() {
    request_.key = "held";
    request_.offset = 5;
    request_.length = 100;
    request_.if_match = "\"v1\"";
    request_.background = true;
    get_ = std::make_shared<HedgedGet>(store_, request_, recorder_);
  }
  static env::MonotonicTime At(int64_t ms) { return env::MonotonicTime(milliseconds(ms)); }
  static Status Error(ErrorCode code) { return Fail(code, "injected"); }

  sim::MemoryObjectStore unused_;
  sim::HeldObjectStore store_{unused_};
  env::GetRequest request_;
  std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
  std::shared_ptr<HedgedGet> get_;
};

TEST_F(HedgedGetTest, OneRequestIsPassedOn) {
  EXPECT_FALSE(get_->WaitsSince().has_value());
  EXPECT_FALSE(get_->Hedge(At(0)));
  get_->Start(At(10));
  EXPECT_EQ(get_->WaitsSince(), At(10));
  store_.Begin(0, 1000);
  EXPECT_FALSE(get_->WaitsSince().has_value());
  EXPECT_FALSE(get_->Hedge(At(20)));  // the answer has begun
  EXPECT_EQ(get_->FirstByteAt(At(50)).first, milliseconds(40));
  EXPECT_FALSE(get_->FirstByteAt(At(50)).hedge.has_value());
  store_.Send(0, "a");
  store_.Send(0, "b");
  store_.End(0);
  EXPECT_EQ(recorder_->calls, "start a b done");
  EXPECT_EQ(store_.count(), 1u);
  EXPECT_EQ(recorder_.use_count(), 1);
}

TEST_F(HedgedGetTest, TheHedgeAsksForTheSameAndMayWin) {
  get_->Start(At(0));
  EXPECT_TRUE(get_->Hedge(At(80)));
  EXPECT_FALSE(get_->Hedge(At(200)));  // once
  ASSERT_EQ(store_.count(), 2u);
  EXPECT_EQ(store_.RequestOf(1).key, "held");
  EXPECT_EQ(store_.RequestOf(1).offset, 5u);
  EXPECT_EQ(store_.RequestOf(1).length, 100u);
  EXPECT_EQ(store_.RequestOf(1).if_match, "\"v1\"");
  EXPECT_FALSE(store_.RequestOf(1).background);
  store_.Begin(1, 1000);
  EXPECT_TRUE(store_.CancelledOf(0));
  EXPECT_FALSE(store_.CancelledOf(1));
  EXPECT_EQ(get_->FirstByteAt(At(110)).first, milliseconds(110));
  EXPECT_EQ(get_->FirstByteAt(At(110)).hedge, milliseconds(30));
  // The cancel was too late for it: nothing of its bytes gets in between.
  store_.Begin(0, 1000);
  store_.Send(1, "a");
  store_.Send(0, "x");
  store_.Send(1, "b");
  store_.End(0);
  store_.Send(1, "c");
  store_.End(1);
  EXPECT_EQ(recorder_->calls, "start a b c done");
}

TEST_F(HedgedGetTest, TheHedgeMayLose) {
  get_->Start(At(0));
  EXPECT_TRUE(get_->Hedge(At(80)));
  store_.Begin(0, 1000);
  EXPECT_TRUE(store_.CancelledOf(1));
  EXPECT_FALSE(get_->FirstByteAt(At(90)).hedge.has_value());
  store_.Send(0, "a");
  store_.End(1, Error(ErrorCode::kCancelled));
  store_.End(0);
  EXPECT_EQ(recorder_->calls, "start a done");
}

TEST_F(HedgedGetTest, TheOthersAnswerMayComeAfterTheGetIsOver) {
  get_->Start(At(0));
  EXPECT_TRUE(get_->Hedge(At(80)));
  store_.Begin(1, 1000);
  store_.Send(1, "a");
  store_.End(1);
  EXPECT_EQ(recorder_.use_count(), 1);  // nobody will call it any more
  get_ = nullptr;
  store_.Begin(0, 1000);
  store_.Send(0, "x");
  store_.End(0, Error(ErrorCode::kUnavailable));
  EXPECT_EQ(recorder_->calls, "start a done");
}

TEST_F(HedgedGetTest, AnErrorOfTheWinnerIsTheEnd) {
  get_->Start(At(0));
  EXPECT_TRUE(get_->Hedge(At(80)));
  store_.Begin(1, 1000);
  store_.Send(1, "a");
  store_.End(1, Error(ErrorCode::kCorrupt));
  EXPECT_EQ(recorder_->calls, "start a corrupt");
}

TEST_F(HedgedGetTest, AnErrorThatMayPassWaitsForTheOtherRequest) {
  for (const size_t failing : {0u, 1u}) {
    recorder_->calls.clear();
    get_ = std::make_shared<HedgedGet>(store_, request_, recorder_);
    const size_t base = store_.count();
    get_->Start(At(0));
    EXPECT_TRUE(get_->Hedge(At(80)));
    store_.End(base + failing, Error(ErrorCode::kUnavailable));
    EXPECT_EQ(recorder_->calls, "");
    EXPECT_FALSE(get_->WaitsSince().has_value());  // not a third time
    store_.Begin(base + 1 - failing, 1000);
    store_.Send(base + 1 - failing, "a");
    store_.End(base + 1 - failing);
    EXPECT_EQ(recorder_->calls, "start a done");
  }
}

TEST_F(HedgedGetTest, BothMayFail) {
  get_->Start(At(0));
  EXPECT_TRUE(get_->Hedge(At(80)));
  store_.End(1, Error(ErrorCode::kThrottled));
  store_.End(0, Error(ErrorCode::kTimedOut));
  EXPECT_EQ(recorder_->calls, "timed_out");
}

TEST_F(HedgedGetTest, WhatTheOtherWouldSayTooEndsBoth) {
  for (const ErrorCode code : {ErrorCode::kObjectChanged, ErrorCode::kNotFound, ErrorCode::kDenied}) {
    recorder_->calls.clear();
    get_ = std::make_shared<HedgedGet>(store_, request_, recorder_);
    const size_t base = store_.count();
    get_->Start(At(0));
    EXPECT_TRUE(get_->Hedge(At(80)));
    store_.End(base + 1, Error(code));
    EXPECT_EQ(recorder_->calls, ErrorCodeName(code));
    EXPECT_TRUE(store_.CancelledOf(base));
    store_.Begin(base, 1000);
    store_.Send(base, "x");
    store_.End(base);
    EXPECT_EQ(recorder_->calls, ErrorCodeName(code));
  }
}

TEST_F(HedgedGetTest, CancelEndsBoth) {
  get_->Start(At(0));
  EXPECT_TRUE(get_->Hedge(At(80)));
  get_->Cancel();
  EXPECT_TRUE(store_.CancelledOf(0));
  EXPECT_TRUE(store_.CancelledOf(1));
  store_.End(1, Error(ErrorCode::kCancelled));
  EXPECT_EQ(recorder_->calls, "cancelled");
  store_.End(0, Error(ErrorCode::kCancelled));
  EXPECT_EQ(recorder_->calls, "cancelled");
}

TEST_F(HedgedGetTest, CancelledBeforeItIsSent) {
  get_->Cancel();
  get_->Start(At(0));
  EXPECT_TRUE(store_.CancelledOf(0));
  EXPECT_FALSE(get_->Hedge(At(80)));
  store_.End(0, Error(ErrorCode::kCancelled));
  EXPECT_EQ(recorder_->calls, "cancelled");
}

TEST_F(HedgedGetTest, SlowDownIsNoted) {
  get_->Start(At(0));
  EXPECT_FALSE(get_->TakeThrottled());
  store_.Throttle(0);
  EXPECT_TRUE(get_->TakeThrottled());
  EXPECT_FALSE(get_->TakeThrottled());
  get_->Cancel();
  store_.End(0, Error(ErrorCode::kCancelled));
}

}  // namespace
}  // namespace leat::hydrate
