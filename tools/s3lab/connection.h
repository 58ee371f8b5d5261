// SPDX-License-Identifier: Apache-2.0
// One client's connection: reads a request, lets the service answer, sends the answer as slowly and as wrongly as shape
// and faults say. Never blocks; confined to its loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"
#include "chunked_body.h"
#include "control.h"
#include "faults.h"
#include "response.h"
#include "service.h"
#include "shape.h"
#include "statistics.h"

namespace leat::s3lab {

struct Endpoint {  // what every connection shares; outlives them
  Service& service;
  Control& control;
  FaultRules& faults;
  Shape& shape;
  Statistics& statistics;
  bool log_requests = false;
};

class Connection {
 public:
  Connection(FileDescriptor socket, Endpoint& endpoint);
  ~Connection();

  // Goes as far as it can. False: the connection is over and must be destroyed (its destructor closes, or resets, the
  // socket).
  bool Advance(int64_t now_ns);
  void SetReadable() { readable_ = true; }
  // Whether an answer is under way: then a client that has closed does not want it.
  bool answering() const { return state_ == State::kWait || state_ == State::kSend; }
  int64_t wake_ns() const { return wake_ns_; }  // Advance again then; 0 is on socket events only
  int socket() const { return socket_.get(); }

 private:
  enum class State { kHead, kBody, kWait, kSend };
  enum class Step { kGoOn, kBlocked, kOver };

  struct Sending {  // the answer on its way
    std::string head;
    Response response;
    size_t head_sent = 0;
    uint64_t sent = 0;         // of the body
    uint64_t end = 0;          // where the body stops
    uint64_t padding = 0;      // bytes after the body that are no part of it
    uint64_t bytes_per_s = 0;  // 0: no limit
    int64_t next_ns = 0;       // with a limit: not before
    std::optional<uint64_t> stall_at, flip_at;
    int64_t stall_ns = 0;
    bool close = false, reset = false;
  };

  Step Receive();
  Step ReadHead(int64_t now_ns);
  Step RefuseFraming();  // neither where this request ends nor where the next begins is known
  Step BeginCall(HttpRequest request, int64_t now_ns);
  Step ReadBody();
  void TakeBody(std::string_view bytes);
  Step Respond(int64_t now_ns);
  void ApplyFault(const FaultAction& fault, Response* response, uint64_t* announced, int64_t* delay_ns);
  void BuildHead(uint64_t announced);
  Step Send(int64_t now_ns);
  Step SendBody(int64_t now_ns);
  ssize_t SendStretch(uint64_t most);
  Step SendFailed();
  Step FinishAnswer();
  Step Reset();
  void CountCall();

  FileDescriptor socket_;
  Endpoint& endpoint_;
  State state_ = State::kHead;
  bool readable_ = true;
  int64_t wake_ns_ = 0;
  std::string in_;
  // Of the request at hand.
  std::unique_ptr<Call> call_;  // nullptr for a control request
  std::optional<HttpRequest> control_;
  std::string control_body_;
  std::optional<FaultAction> fault_;
  std::optional<ChunkedDecoder> http_chunks_;
  uint64_t body_left_ = 0, body_bytes_ = 0;
  bool keep_alive_ = true;
  Sending out_;
};

}  // namespace leat::s3lab
