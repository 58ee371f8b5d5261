// SPDX-License-Identifier: Apache-2.0
// One network thread: takes operations, signs and sends them over its own connections, retries, and ends them.
//
// The loop waits with epoll and tells libcurl which socket is ready (curl_multi_socket_action): with curl_multi_perform
// every transfer's socket is looked at in every round, a fifth of all the time at 128 connections
// (docs/decisions/0013-sockets-by-epoll.md).
//
// Threads: Submit, Cancel, CredentialsChanged and Stop from any; the rest is the loop's own thread. No lock is held
// while a callback runs.
#pragma once

#include <curl/curl.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "base/result.h"
#include "env/clock.h"
#include "env/request_counters.h"
#include "policy/retry.h"
#include "s3/config.h"
#include "s3/credentials.h"
#include "s3/operation.h"

namespace leat::s3 {

// What the loops of one store share. Any thread.
class SharedState {
 public:
  SharedState(S3Settings resolved, Environment environment, env::RequestCounters& request_counters,
              const env::Clock& the_clock)
      : counters(request_counters),
        clock(the_clock),
        credentials(resolved, std::move(environment), the_clock),
        settings_(std::make_shared<const S3Settings>(std::move(resolved))) {}

  std::shared_ptr<const S3Settings> settings() const {
    const std::lock_guard lock(mutex_);
    return settings_;
  }
  void MoveToRegion(const std::string& region) {
    const std::lock_guard lock(mutex_);
    settings_ = std::make_shared<const S3Settings>(WithRegion(*settings_, region));
  }
  void OnSuccess() {
    const std::lock_guard lock(mutex_);
    budget_.OnSuccess();
  }
  std::chrono::milliseconds NextDelay(policy::RetryClass kind, uint32_t retries, double random,
                                      std::chrono::milliseconds hint) {
    const std::lock_guard lock(mutex_);
    return budget_.NextDelay(kind, retries, random, hint);
  }

  env::RequestCounters& counters;
  const env::Clock& clock;
  CredentialChain credentials;
  std::atomic<int64_t> clock_skew_seconds{0};
  std::function<void(uint64_t refused_generation)> fetch_credentials;  // set before any loop starts

 private:
  mutable std::mutex mutex_;  // protects what follows
  std::shared_ptr<const S3Settings> settings_;
  policy::RetryBudget budget_;
};

class NetworkLoop {
 public:
  NetworkLoop(SharedState& shared, uint32_t connections_max, uint64_t random_stream);
  ~NetworkLoop();
  Status Start();
  void Stop();  // ends every operation with kCancelled and joins
  // After Stop: ends what another loop's callback has submitted since, on the calling thread.
  void EndLeftovers();

  void Submit(std::shared_ptr<Operation> operation);
  void Cancel(uint64_t id);
  void CredentialsChanged(Status status);
  // Submitted and not ended. Any thread.
  uint32_t operations() const { return operations_count_.load(std::memory_order_relaxed); }

 private:
  using OperationPointer = std::shared_ptr<Operation>;
  struct Easy;

  void Run();
  void TakeIncoming();
  void WakeSleepers();
  void EndLateWaiters();
  void StartPending();
  size_t ConnectionLimit() const;  // what may run now
  size_t BackgroundLimit() const;  // of these, with background requests
  void StartAttempt(const OperationPointer& operation);
  void Configure(Operation& operation, const S3Settings& settings);
  NameValues SignedRequestHeaders(Operation& operation, const S3Settings& settings, const std::string& path,
                                  const std::string& query, const Credentials* credentials);
  void FinishTransfers();
  void ReleaseEasy(Operation& operation);
  void EndAttempt(const OperationPointer& operation, CURLcode code);
  void Succeed(const OperationPointer& operation);
  void RetryOrFail(const OperationPointer& operation, policy::RetryClass kind, Error error);
  bool Correct(Operation& operation, policy::RetryClass kind);
  void End(const OperationPointer& operation, Status status);
  void WaitForSockets();
  int WaitMs() const;
  void OnThrottled();
  void Wake();

  static size_t OnHeader(char* bytes, size_t size, size_t count, void* operation);
  static size_t OnBody(char* bytes, size_t size, size_t count, void* operation);
  static int OnSocket(CURL* easy, curl_socket_t socket, int what, void* loop, void* is_known);
  static int OnTimer(CURLM* multi, long wait_ms, void* loop);

  SharedState& shared_;
  const uint32_t connections_max_;
  FileDescriptor epoll_, wake_;  // wake_: an eventfd that epoll_ watches
  CURLM* multi_ = nullptr;
  std::thread thread_;

  std::atomic<uint32_t> operations_count_{0};
  std::mutex mutex_;  // protects what follows
  std::vector<OperationPointer> incoming_;
  std::vector<uint64_t> cancels_;
  std::vector<Status> credential_news_;
  bool stop_ = false;

  // The loop's thread only.
  Random random_;
  std::unordered_map<uint64_t, OperationPointer> operations_;
  std::unordered_map<CURL*, OperationPointer> active_;
  std::deque<OperationPointer> demand_, background_;
  std::multimap<env::MonotonicTime, OperationPointer> sleeping_;
  std::vector<OperationPointer> waiting_for_credentials_;
  std::vector<CURL*> idle_easy_;
  std::optional<env::MonotonicTime> timer_due_;  // when libcurl wants to be called, whatever the sockets do
  double connections_now_;                       // additive increase, halved on SlowDown
  env::MonotonicTime next_halving_{};
  struct {
    std::string day, region;
    uint64_t generation = 0;
    Digest key{};
  } signing_key_;
};

}  // namespace leat::s3
