// SPDX-License-Identifier: Apache-2.0
// One operation of the object store (a GET, a LIST...): what is asked, how far it got, and the attempt now running.
// Confined to the network thread that carries it, once submitted.
#pragma once

#include <curl/curl.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "env/object_store.h"
#include "env/request_counters.h"
#include "policy/retry.h"
#include "s3/checksum.h"
#include "s3/sigv4.h"

namespace leat::s3 {

struct Response {
  int status = 0;
  NameValues headers;  // lower-case names
  size_t header_bytes = 0;
  std::string body;                                      // not of a successful GET, whose bytes go to its receiver
  std::string_view Header(std::string_view name) const;  // empty when absent
};

struct Operation {
  // What is asked; constant once submitted.
  uint64_t id = 0;
  env::RequestKind kind = env::RequestKind::kGet;
  const char* method = "GET";
  std::string key;  // empty: the bucket itself
  NameValues query;
  NameValues headers;                       // to be signed; lower-case names
  std::shared_ptr<const std::string> body;  // null: the request has none
  bool background = false;
  bool is_check = false;  // Check(): each attempt must fit into the deadline
  std::chrono::milliseconds patience{60'000};
  std::chrono::seconds stall_timeout{10};
  // Exactly one of these ends the operation. `finish` may turn a 2xx into a failure, and says whether to try again.
  std::shared_ptr<env::GetReceiver> receiver;
  env::GetRequest get;
  std::function<void(Result<Response>)> finish;
  // For operations whose 200 may hold an <Error>: the code to treat as a failure, empty when all is well.
  std::function<std::string(const Response&)> hidden_error;

  // How far it got.
  env::MonotonicTime deadline;
  uint32_t retries = 0;
  bool refreshed = false, clock_corrected = false, redirected = false, ended = false;
  bool started = false;     // OnStart was called
  uint64_t delivered = 0;   // bytes handed to the receiver
  uint64_t end = 0;         // after OnStart: the offset behind the last byte to deliver
  std::string pinned_etag;  // of the body being delivered
  std::optional<Checksum> checksum;
  std::string expected_checksum;

  // The attempt now running.
  CURL* easy = nullptr;
  curl_slist* header_list = nullptr;
  Response response;
  bool body_checked = false;
  std::optional<Error> attempt_error;  // found by us in the answer
  bool attempt_error_is_final = false;
  uint64_t delivered_before = 0;
  uint64_t credentials_generation = 0;
  std::string region;  // signed for
  std::array<char, CURL_ERROR_SIZE> curl_message{};

  // Answers soon or not at all, unlike a transfer of contents: the deadline bounds each attempt as a whole.
  bool IsSmall() const { return receiver == nullptr && std::string_view(method) != "PUT"; }
  bool IsRanged() const { return get.offset > 0 || get.length.has_value() || delivered > 0; }
};

}  // namespace leat::s3
