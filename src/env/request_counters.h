// SPDX-License-Identifier: Apache-2.0
// What an object store has asked for and got, counted since it was made. Written by the store, read by `status`; any
// thread.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace leat::env {

enum class RequestKind { kGet, kHead, kList, kPut, kMultipart, kDelete };
inline constexpr std::array<std::string_view, 6> kRequestKindNames = {"get", "head",      "list",
                                                                      "put", "multipart", "delete"};

struct RequestCounters {
  // HTTP requests sent, retries included, by kind.
  std::array<std::atomic<uint64_t>, 6> requests{};
  std::atomic<uint64_t> retries{0};
  std::atomic<uint64_t> errors{0};          // operations that failed for good, 404 and 412 not counted
  std::atomic<uint64_t> bytes_received{0};  // bodies of GETs
  std::atomic<uint64_t> bytes_sent{0};      // bodies of PUTs
  std::atomic<uint64_t> in_flight{0};

  std::atomic<uint64_t>& Of(RequestKind kind) { return requests[static_cast<size_t>(kind)]; }
};

}  // namespace leat::env
