// SPDX-License-Identifier: Apache-2.0
#include "connection.h"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>

#include "base/log.h"
#include "base/text.h"

namespace leat::s3lab {
namespace {

constexpr size_t kReceiveBytes = 256u << 10;
constexpr size_t kControlBodyMax = 8u << 20;
constexpr uint64_t kPacedSlices = 50;  // a limited connection sends this many slices a second
constexpr uint64_t kAlteredSliceBytes = 64u << 10;
constexpr uint64_t kLongBodyBytes = 1000;

int64_t NowSeconds() { return std::time(nullptr); }

// The "Date" header's line, made once a second.
const std::string& DateLine() {
  thread_local int64_t made_s = 0;
  thread_local std::string line;
  if (const int64_t now_s = NowSeconds(); now_s != made_s) {
    made_s = now_s;
    line = "Date: " + HttpTime(now_s) + "\r\nServer: s3lab\r\n";
  }
  return line;
}

// What an HTTP-chunked request body holds goes to the connection.
class BodySink final : public ChunkedDecoder::Listener {
 public:
  explicit BodySink(std::string* out) : out_(out) {}
  Status ChunkBegins(uint64_t, std::string_view) override { return {}; }
  Status ChunkBytes(std::string_view bytes) override {
    out_->append(bytes);
    return {};
  }
  Status ChunkEnds() override { return {}; }

 private:
  std::string* out_;
};

}  // namespace

Connection::Connection(FileDescriptor socket, Endpoint& endpoint) : socket_(std::move(socket)), endpoint_(endpoint) {
  endpoint_.statistics.ConnectionOpened();
}

Connection::~Connection() {
  if (answering()) CountCall();
  endpoint_.statistics.ConnectionClosed();
}

bool Connection::Advance(int64_t now_ns) {
  for (;;) {
    Step step = Step::kOver;
    switch (state_) {
      case State::kHead:
        step = ReadHead(now_ns);
        break;
      case State::kBody:
        step = ReadBody();
        if (step == Step::kGoOn && state_ == State::kWait) step = Respond(now_ns);
        break;
      case State::kWait:
        if (now_ns < wake_ns_) return true;
        wake_ns_ = 0;
        state_ = State::kSend;
        step = Step::kGoOn;
        break;
      case State::kSend:
        wake_ns_ = 0;
        step = Send(now_ns);
        break;
    }
    if (step == Step::kBlocked) return true;
    if (step == Step::kOver) return false;
  }
}

Connection::Step Connection::Receive() {
  if (!readable_) return Step::kBlocked;
  thread_local std::string buffer(kReceiveBytes, '\0');
  const ssize_t got = recv(socket_.get(), buffer.data(), buffer.size(), 0);
  if (got == 0) return Step::kOver;
  if (got < 0) {
    if (errno == EINTR) return Step::kGoOn;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return Step::kOver;
    readable_ = false;
    return Step::kBlocked;
  }
  in_.append(buffer, 0, static_cast<size_t>(got));
  return Step::kGoOn;
}

Connection::Step Connection::ReadHead(int64_t now_ns) {
  const size_t end = in_.find("\r\n\r\n");
  if (end == std::string::npos) {
    if (in_.size() > kHeadBytesMax) return Step::kOver;
    return Receive();
  }
  auto request = ParseHead(std::string_view(in_).substr(0, end + 4));
  in_.erase(0, end + 4);
  if (!request) return RefuseFraming();
  return BeginCall(std::move(*request), now_ns);
}

Connection::Step Connection::RefuseFraming() {
  static constexpr std::string_view kBad = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  [[maybe_unused]] const ssize_t sent = send(socket_.get(), kBad.data(), kBad.size(), MSG_NOSIGNAL);
  return Step::kOver;
}

Connection::Step Connection::BeginCall(HttpRequest request, int64_t now_ns) {
  keep_alive_ = request.keep_alive;
  body_left_ = body_bytes_ = 0;
  out_ = Sending();
  fault_.reset();
  http_chunks_.reset();
  control_body_.clear();
  state_ = State::kBody;
  const std::string* expect = request.Header("expect");
  const std::string* length = request.Header("content-length");
  const std::string* encoding = request.Header("transfer-encoding");
  std::optional<S3Error> framing;
  if (encoding != nullptr) {
    http_chunks_.emplace();
    if (ToLower(*encoding) != "chunked" || length != nullptr) return RefuseFraming();
  } else if (length != nullptr) {
    const auto size = ParseUnsigned(*length);
    if (!size) return RefuseFraming();
    body_left_ = *size;
  } else if (request.method == "PUT") {
    framing = S3Error{411, "MissingContentLength", "You must provide the Content-Length HTTP header.", ""};
  }
  const bool waits = expect != nullptr && ToLower(*expect) == "100-continue";
  if (std::string_view(request.raw_path).substr(0, kControlPath.size()) == kControlPath) {
    call_.reset();
    control_ = std::move(request);
  } else {
    control_.reset();
    const bool admitted = endpoint_.shape.Admit(now_ns);
    call_ = endpoint_.service.Begin(std::move(request), NowSeconds());
    if (!call_->error) call_->error = framing;
    if (!admitted) call_->error = S3Error{503, "SlowDown", "Please reduce your request rate.", ""};
    if (!call_->error && (fault_ = endpoint_.faults.Take(call_->target))) {
      if (fault_->kind == FaultAction::Kind::kReset) return Reset();
      if (fault_->kind == FaultAction::Kind::kStatus)
        call_->error = S3Error{fault_->status, fault_->code, fault_->message, ""};
      call_->ignore_range = fault_->kind == FaultAction::Kind::kIgnoreRange;
    }
    if (call_->error && waits) {
      // The client has sent no body and need not: the answer ends the connection, since what comes next could be
      // either.
      keep_alive_ = false;
      http_chunks_.reset();
      body_left_ = 0;
      return Step::kGoOn;
    }
  }
  // Also before an empty body, as S3 does: Debian's boto3 takes a final answer that comes at once for one without a
  // length.
  if (waits) {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    if (send(socket_.get(), kContinue.data(), kContinue.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(kContinue.size()))
      return Step::kOver;
  }
  return Step::kGoOn;
}

void Connection::TakeBody(std::string_view bytes) {
  body_bytes_ += bytes.size();
  if (call_ != nullptr) {
    call_->body->Add(bytes);
  } else if (control_body_.size() + bytes.size() <= kControlBodyMax) {
    control_body_.append(bytes);
  }
}

Connection::Step Connection::ReadBody() {
  for (;;) {
    if (!in_.empty() && http_chunks_) {
      std::string decoded;
      BodySink sink(&decoded);
      const auto taken = http_chunks_->Decode(in_, sink);
      if (!taken) return RefuseFraming();
      TakeBody(decoded);
      in_.erase(0, *taken);
    } else if (!in_.empty()) {
      const size_t size = static_cast<size_t>(std::min<uint64_t>(body_left_, in_.size()));
      TakeBody(std::string_view(in_).substr(0, size));
      in_.erase(0, size);
      body_left_ -= size;
    }
    if (http_chunks_ ? http_chunks_->done() : body_left_ == 0) {
      state_ = State::kWait;
      return Step::kGoOn;
    }
    if (const Step step = Receive(); step != Step::kGoOn) return step;
  }
}

Connection::Step Connection::Respond(int64_t now_ns) {
  out_ = Sending();
  Response response = call_ != nullptr ? endpoint_.service.Finish(*call_, NowSeconds())
                                       : endpoint_.control.Answer(*control_, control_body_);
  if (endpoint_.log_requests) {
    const HttpRequest& request = call_ != nullptr ? call_->request : *control_;
    LogInfo(request.method + " " + request.raw_path + (request.raw_query.empty() ? "" : "?" + request.raw_query) + " " +
            std::to_string(response.status));
  }
  const uint64_t whole =
      response.object_body != nullptr || response.without_body ? response.length : response.text.size();
  uint64_t announced = whole;
  int64_t delay_ns = 0;
  out_.end = whole;
  if (call_ != nullptr) {
    delay_ns = endpoint_.shape.FirstByteDelayNs();
    out_.bytes_per_s = endpoint_.shape.settings().bandwidth_bytes_per_s;
    if (fault_) ApplyFault(*fault_, &response, &announced, &delay_ns);
    if (fault_ && fault_->kind == FaultAction::Kind::kResetAfter) return Reset();
  }
  if (response.without_body) out_.end = out_.padding = 0;
  out_.close = out_.close || response.close || !keep_alive_;
  out_.response = std::move(response);
  BuildHead(announced);
  state_ = State::kWait;
  wake_ns_ = delay_ns > 0 ? now_ns + delay_ns : 0;
  return Step::kGoOn;
}

void Connection::ApplyFault(const FaultAction& fault, Response* response, uint64_t* announced, int64_t* delay_ns) {
  using Kind = FaultAction::Kind;
  const uint64_t whole = out_.end;
  const uint64_t some = fault.bytes && *fault.bytes < whole ? *fault.bytes : whole / 2;
  switch (fault.kind) {
    case Kind::kResetMidBody:
      out_.end = some;
      out_.reset = true;
      break;
    case Kind::kShortBody:
      out_.end = some;
      if (fault.announce) *announced = some;
      out_.close = !fault.announce;
      break;
    case Kind::kLongBody:
      out_.padding = fault.bytes.value_or(kLongBodyBytes);
      if (fault.announce) *announced += out_.padding;
      out_.close = !fault.announce;
      break;
    case Kind::kWrongContentRange:
      // Of the same length, one byte further on.
      response->status = 206;
      response->content_range = "bytes " + std::to_string(response->offset + 1) + "-" +
                                std::to_string(response->offset + whole) + "/" +
                                std::to_string(response->offset + whole + 1);
      break;
    case Kind::kStall:
      out_.stall_at = std::min(fault.bytes.value_or(whole / 2), whole);
      out_.stall_ns = static_cast<int64_t>(fault.ms) * 1'000'000;
      break;
    case Kind::kDelay:
      *delay_ns += static_cast<int64_t>(fault.ms) * 1'000'000;
      break;
    case Kind::kFlipBits:
      if (whole > 0) out_.flip_at = some;
      break;
    case Kind::kTrickle:
      out_.bytes_per_s = *fault.bytes;
      break;
    case Kind::kStatus:
    case Kind::kReset:
    case Kind::kResetAfter:
    case Kind::kIgnoreRange:
      break;
  }
  if (out_.flip_at && response->object_body == nullptr)
    response->text[*out_.flip_at] = static_cast<char>(response->text[*out_.flip_at] ^ 1);
}

void Connection::BuildHead(uint64_t announced) {
  const Response& response = out_.response;
  std::string& head = out_.head;
  head.reserve(512);
  head.append("HTTP/1.1 ")
      .append(std::to_string(response.status))
      .append(" ")
      .append(ReasonPhrase(response.status))
      .append("\r\n");
  head.append(DateLine()).append(response.headers);
  if (!response.content_range.empty()) head.append("Content-Range: ").append(response.content_range).append("\r\n");
  const bool has_length = !response.without_body || response.status == 200 || response.status == 206;
  if (has_length) head.append("Content-Length: ").append(std::to_string(announced)).append("\r\n");
  if (out_.close) head.append("Connection: close\r\n");
  head.append("\r\n");
}

Connection::Step Connection::SendFailed() {
  if (errno == EINTR) return Step::kGoOn;
  return errno == EAGAIN || errno == EWOULDBLOCK ? Step::kBlocked : Step::kOver;
}

Connection::Step Connection::Send(int64_t now_ns) {
  if (out_.head_sent < out_.head.size()) {
    // The body follows at once, unless a fault or a limit holds it back.
    const bool more = out_.end > 0 && !out_.stall_at && out_.bytes_per_s == 0;
    const ssize_t sent = send(socket_.get(), out_.head.data() + out_.head_sent, out_.head.size() - out_.head_sent,
                              MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    if (sent < 0) return SendFailed();
    out_.head_sent += static_cast<size_t>(sent);
    return Step::kGoOn;
  }
  if (out_.stall_at && out_.sent >= *out_.stall_at) {
    out_.stall_at.reset();
    wake_ns_ = now_ns + out_.stall_ns;
    state_ = State::kWait;
    return Step::kGoOn;
  }
  if (out_.sent < out_.end || out_.padding > 0) return SendBody(now_ns);
  return FinishAnswer();
}

Connection::Step Connection::SendBody(int64_t now_ns) {
  uint64_t most = out_.end - out_.sent;
  if (out_.stall_at) most = std::min(most, *out_.stall_at - out_.sent);
  if (out_.bytes_per_s > 0) {
    if (now_ns < out_.next_ns) {
      wake_ns_ = out_.next_ns;
      state_ = State::kWait;
      return Step::kGoOn;
    }
    most = std::min(most, std::max<uint64_t>(1, out_.bytes_per_s / kPacedSlices));
  }
  ssize_t sent = 0;
  if (out_.sent == out_.end) {
    static const std::string kPadding(4096, 'x');
    sent = send(socket_.get(), kPadding.data(), static_cast<size_t>(std::min<uint64_t>(out_.padding, kPadding.size())),
                MSG_NOSIGNAL);
    if (sent < 0) return SendFailed();
    out_.padding -= static_cast<uint64_t>(sent);
    return Step::kGoOn;
  }
  sent = SendStretch(most);
  if (sent < 0) return SendFailed();
  if (sent == 0) return Step::kOver;  // the file is shorter than it was: the client sees a short body
  out_.sent += static_cast<uint64_t>(sent);
  if (out_.bytes_per_s > 0)
    out_.next_ns = std::max(out_.next_ns, now_ns) +
                   static_cast<int64_t>(1e9 * static_cast<double>(sent) / static_cast<double>(out_.bytes_per_s));
  return Step::kGoOn;
}

ssize_t Connection::SendStretch(uint64_t most) {
  const Response& response = out_.response;
  if (response.object_body == nullptr) return send(socket_.get(), response.text.data() + out_.sent, most, MSG_NOSIGNAL);
  const Body::Stretch stretch = response.object_body->At(response.offset + out_.sent);
  uint64_t size = std::min(most, stretch.length);
  off_t offset = static_cast<off_t>(stretch.offset);
  if (!out_.flip_at) return sendfile(socket_.get(), stretch.descriptor, &offset, size);
  char bytes[kAlteredSliceBytes];
  size = std::min<uint64_t>(size, sizeof bytes);
  const ssize_t got = pread(stretch.descriptor, bytes, size, offset);
  if (got <= 0) return got;
  if (*out_.flip_at >= out_.sent && *out_.flip_at < out_.sent + static_cast<uint64_t>(got))
    bytes[*out_.flip_at - out_.sent] = static_cast<char>(bytes[*out_.flip_at - out_.sent] ^ 1);
  return send(socket_.get(), bytes, static_cast<size_t>(got), MSG_NOSIGNAL);
}

void Connection::CountCall() {
  if (call_ != nullptr) endpoint_.statistics.Count(call_->target, out_.response.status, body_bytes_, out_.sent);
}

Connection::Step Connection::FinishAnswer() {
  CountCall();
  state_ = State::kHead;
  if (out_.reset) return Reset();
  if (out_.close) return Step::kOver;
  call_.reset();
  control_.reset();
  out_.response = Response();
  return Step::kGoOn;
}

Connection::Step Connection::Reset() {
  // Closing with a linger time of zero sends RST and throws away what is queued.
  const linger now{1, 0};
  setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  if (state_ != State::kHead) CountCall();
  state_ = State::kHead;
  return Step::kOver;
}

}  // namespace leat::s3lab
