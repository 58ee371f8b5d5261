// SPDX-License-Identifier: Apache-2.0
#include "s3/network_loop.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/get_body.h"
#include "s3/xml.h"

namespace leat::s3 {
namespace {

using std::chrono::milliseconds;

// Demand requests always find 1/kDemandPart of the connections, one at least, free of background ones.
constexpr size_t kDemandPart = 32;
constexpr size_t kErrorBodyBytesMax = 64 << 10;
constexpr size_t kAnswerBodyBytesMax = 16 << 20;
constexpr size_t kHeaderBytesMax = 64 << 10;
constexpr long kBufferBytes = 256 << 10;
// A server that sends a byte now and then must not hold a reader for ever.
constexpr long kStallBytesPerSecond = 1024;

bool IsSuccess(int status) { return status >= 200 && status < 300; }

std::string Subject(const Operation& operation, const S3Settings& settings) {
  if (operation.key.empty()) return "bucket '" + settings.options.bucket + "' at " + settings.Endpoint();
  return "object '" + EscapeForDisplay(operation.key) + "' in bucket '" + settings.options.bucket + "'";
}

std::string MessageOf(const Operation& operation, const S3Settings& settings, const ErrorBody& body, ErrorCode code) {
  const int status = operation.response.status;
  const std::string answer =
      "HTTP " + std::to_string(status) + (body.code.empty() ? "" : " " + EscapeForDisplay(body.code));
  const std::string said = body.message.empty() ? "" : ": " + EscapeForDisplay(body.message);
  const std::string subject = Subject(operation, settings);
  switch (code) {
    case ErrorCode::kNoSuchBucket:
      return "bucket '" + settings.options.bucket + "' does not exist at " + settings.Endpoint() + "; check the name";
    case ErrorCode::kNotFound:
      return subject + " does not exist";
    case ErrorCode::kDenied:
      if (body.code == "SignatureDoesNotMatch") {
        return subject + ": access denied (" + answer +
               "); check the secret access key, it does not belong to this key id";
      }
      if (body.code == "InvalidAccessKeyId") {
        return subject + ": access denied (" + answer + "); check the access key id, the server does not know it";
      }
      if (policy::ClassifyFailure({status, body.code}) == policy::RetryClass::kRefreshCredentials) {
        return subject + ": the credentials have expired (" + answer +
               "), and newer ones are not to be found where they came from; unmount, and mount again with fresh "
               "credentials";
      }
      return subject + ": access denied (" + answer + said + "); check the credentials and the bucket's policy";
    case ErrorCode::kWrongRegion:
      return subject + " is not in region '" + settings.region + "' (" + answer + said +
             "); name its region with --region";
    case ErrorCode::kObjectChanged:
      return subject + " is no longer the version asked for (" + answer + ")";
    case ErrorCode::kArchivedStorage:
      return subject + " is archived; restore it in S3 first (aws s3api restore-object)";
    case ErrorCode::kThrottled:
      return subject + ": the server still asks for fewer requests after " + std::to_string(operation.retries) +
             " retries (" + answer + "); try again later";
    default:
      return subject + ": " + answer + said;
  }
}

}  // namespace

NetworkLoop::NetworkLoop(SharedState& shared, uint32_t connections_max, uint64_t random_stream)
    : shared_(shared),
      connections_max_(std::max(connections_max, 1u)),
      random_(static_cast<uint64_t>(shared.clock.WallTimeNs()), random_stream),
      connections_now_(connections_max_) {}

NetworkLoop::~NetworkLoop() {
  Stop();
  for (CURL* easy : idle_easy_) curl_easy_cleanup(easy);
  if (multi_ != nullptr) curl_multi_cleanup(multi_);
}

Status NetworkLoop::Start() {
  epoll_ = FileDescriptor(::epoll_create1(EPOLL_CLOEXEC));
  wake_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event wake{.events = EPOLLIN, .data = {.fd = wake_.get()}};
  if (!epoll_.valid() || !wake_.valid() || ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &wake) != 0)
    return FailErrno(errno, "cannot wait for the sockets of S3 connections");
  multi_ = curl_multi_init();
  if (multi_ == nullptr) return Fail(ErrorCode::kInternal, "libcurl gave no multi handle; free some memory");
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(connections_max_));
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &NetworkLoop::OnSocket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &NetworkLoop::OnTimer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "leat-s3");
    Run();
  });
  return {};
}

void NetworkLoop::Stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  Wake();
  thread_.join();
}

void NetworkLoop::Wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the loop is awake.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

void NetworkLoop::EndLeftovers() {
  LEAT_CHECK(!thread_.joinable());
  for (TakeIncoming(); !operations_.empty(); TakeIncoming()) {
    const OperationPointer operation = operations_.begin()->second;
    End(operation, Fail(ErrorCode::kCancelled, "the store is closing"));
  }
}

void NetworkLoop::Submit(OperationPointer operation) {
  shared_.counters.in_flight.fetch_add(1, std::memory_order_relaxed);
  operations_count_.fetch_add(1, std::memory_order_relaxed);
  bool was_empty = false;
  {
    const std::lock_guard lock(mutex_);
    was_empty = incoming_.empty();
    incoming_.push_back(std::move(operation));
  }
  if (was_empty && std::this_thread::get_id() != thread_.get_id()) Wake();
}

void NetworkLoop::Cancel(uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    cancels_.push_back(id);
  }
  Wake();
}

void NetworkLoop::CredentialsChanged(Status status) {
  {
    const std::lock_guard lock(mutex_);
    credential_news_.push_back(std::move(status));
  }
  Wake();
}

void NetworkLoop::Run() {
  while (true) {
    TakeIncoming();
    bool stop = false;
    {
      const std::lock_guard lock(mutex_);
      stop = stop_;
    }
    if (stop) {
      while (!operations_.empty()) {
        const OperationPointer operation = operations_.begin()->second;
        End(operation, Fail(ErrorCode::kCancelled, "the store is closing"));
        TakeIncoming();
      }
      return;
    }
    WakeSleepers();
    EndLateWaiters();
    StartPending();
    WaitForSockets();
    FinishTransfers();
  }
}

void NetworkLoop::WaitForSockets() {
  std::array<epoll_event, 128> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), WaitMs());
  LEAT_CHECK(count >= 0 || errno == EINTR);
  int running = 0;
  for (int i = 0; i < count; ++i) {
    const int descriptor = events[i].data.fd;
    if (descriptor == wake_.get()) {
      uint64_t wakes = 0;
      [[maybe_unused]] const ssize_t got = ::read(descriptor, &wakes, sizeof wakes);
      continue;
    }
    const uint32_t ready = events[i].events;
    const int what = ((ready & (EPOLLIN | EPOLLHUP | EPOLLRDHUP)) != 0 ? CURL_CSELECT_IN : 0) |
                     ((ready & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                     ((ready & EPOLLERR) != 0 ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(multi_, descriptor, what, &running);
  }
  if (!timer_due_ || shared_.clock.Now() < *timer_due_) return;
  timer_due_.reset();  // before the call, which may set it again
  curl_multi_socket_action(multi_, CURL_SOCKET_TIMEOUT, 0, &running);
}

int NetworkLoop::OnSocket(CURL*, curl_socket_t socket, int what, void* loop, void* is_known) {
  auto& self = *static_cast<NetworkLoop*>(loop);
  if (what == CURL_POLL_REMOVE) {
    ::epoll_ctl(self.epoll_.get(), EPOLL_CTL_DEL, socket,
                nullptr);  // fails for one that is closed: it has left already
    return 0;
  }
  epoll_event event{
      .events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0u) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0u),
      .data = {.fd = socket}};
  // libcurl forgets `is_known` with the socket, so that a number used anew is a new socket.
  const int operation = is_known != nullptr ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  int set = ::epoll_ctl(self.epoll_.get(), operation, socket, &event);
  if (set != 0 && (errno == ENOENT || errno == EEXIST))
    set = ::epoll_ctl(self.epoll_.get(), operation == EPOLL_CTL_MOD ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, socket, &event);
  if (set != 0) {  // no room for it in the kernel: the transfer fails, and is tried again
    LogError(FailErrno(errno, "cannot wait for a socket of an S3 connection").value().message);
    return -1;
  }
  if (is_known == nullptr) curl_multi_assign(self.multi_, socket, &self);
  return 0;
}

int NetworkLoop::OnTimer(CURLM*, long wait_ms, void* loop) {
  auto& self = *static_cast<NetworkLoop*>(loop);
  self.timer_due_.reset();
  if (wait_ms >= 0) self.timer_due_ = self.shared_.clock.Now() + milliseconds(wait_ms);
  return 0;
}

void NetworkLoop::TakeIncoming() {
  std::vector<OperationPointer> incoming;
  std::vector<uint64_t> cancels;
  std::vector<Status> news;
  {
    const std::lock_guard lock(mutex_);
    incoming.swap(incoming_);
    cancels.swap(cancels_);
    news.swap(credential_news_);
  }
  for (OperationPointer& operation : incoming) {
    operation->deadline = shared_.clock.Now() + operation->patience;
    operations_.emplace(operation->id, operation);
    if (operation->attempt_error) {  // refused before it is sent; its callback still runs here
      const Error error = *operation->attempt_error;
      End(operation, Fail(error));
      continue;
    }
    (operation->background ? background_ : demand_).push_back(std::move(operation));
  }
  for (const uint64_t id : cancels) {
    const auto found = operations_.find(id);
    if (found == operations_.end()) continue;
    const OperationPointer operation = found->second;
    End(operation, Fail(ErrorCode::kCancelled, "the read was cancelled"));
  }
  for (const Status& status : news) {
    std::vector<OperationPointer> waiting;
    waiting.swap(waiting_for_credentials_);
    for (OperationPointer& operation : waiting) {
      if (operation->ended) continue;
      if (status) {
        (operation->background ? background_ : demand_).push_front(std::move(operation));
      } else {
        End(operation, Fail(status.error()));
      }
    }
  }
}

void NetworkLoop::WakeSleepers() {
  const env::MonotonicTime now = shared_.clock.Now();
  while (!sleeping_.empty() && sleeping_.begin()->first <= now) {
    OperationPointer operation = std::move(sleeping_.begin()->second);
    sleeping_.erase(sleeping_.begin());
    if (!operation->ended) (operation->background ? background_ : demand_).push_back(std::move(operation));
  }
}

// Where credentials come from may hang, or hand out what is of no use again and again.
void NetworkLoop::EndLateWaiters() {
  if (waiting_for_credentials_.empty()) return;
  const env::MonotonicTime now = shared_.clock.Now();
  std::vector<OperationPointer> waiting;
  waiting.swap(waiting_for_credentials_);
  for (OperationPointer& operation : waiting) {
    if (operation->ended) continue;
    if (now < operation->deadline) {
      waiting_for_credentials_.push_back(std::move(operation));
      continue;
    }
    End(operation, Fail(ErrorCode::kTimedOut, Subject(*operation, *shared_.settings()) +
                                                  ": no credentials have come in time; check the container's or the "
                                                  "machine's credential service"));
  }
}

void NetworkLoop::StartPending() {
  const auto take = [&](std::deque<OperationPointer>& queue, size_t limit) {
    while (!queue.empty() && active_.size() < limit) {
      const OperationPointer operation = std::move(queue.front());
      queue.pop_front();
      if (!operation->ended) StartAttempt(operation);
    }
  };
  take(demand_, ConnectionLimit());
  take(background_, BackgroundLimit());
}

size_t NetworkLoop::ConnectionLimit() const { return static_cast<size_t>(std::max(1.0, connections_now_)); }

size_t NetworkLoop::BackgroundLimit() const {
  const size_t limit = ConnectionLimit();
  // A limit of one is shared: background would starve for ever otherwise.
  return limit == 1 ? 1 : limit - std::max<size_t>(1, limit / kDemandPart);
}

int NetworkLoop::WaitMs() const {
  {
    // A callback on this thread may have submitted more; it does not wake us.
    auto& mutex = const_cast<std::mutex&>(mutex_);
    const std::lock_guard lock(mutex);
    if (!incoming_.empty() || stop_) return 0;
  }
  if (!demand_.empty() && active_.size() < ConnectionLimit()) return 0;
  if (!background_.empty() && active_.size() < BackgroundLimit()) return 0;
  const env::MonotonicTime now = shared_.clock.Now();
  // Those who wait for credentials have deadlines to be looked at.
  env::MonotonicTime due = now + milliseconds(waiting_for_credentials_.empty() ? 1000 : 100);
  if (!sleeping_.empty()) due = std::min(due, sleeping_.begin()->first);
  if (timer_due_) due = std::min(due, *timer_due_);
  return static_cast<int>(std::max<int64_t>(std::chrono::ceil<milliseconds>(due - now).count(), 0));
}

NameValues NetworkLoop::SignedRequestHeaders(Operation& operation, const S3Settings& settings, const std::string& path,
                                             const std::string& query, const Credentials* credentials) {
  NameValues headers = operation.headers;
  headers.emplace_back("host", settings.authority);
  if (settings.options.requester_pays) headers.emplace_back("x-amz-request-payer", "requester");
  if (operation.receiver != nullptr) {
    if (operation.IsRanged()) {
      std::string range = "bytes=" + std::to_string(operation.get.offset + operation.delivered) + "-";
      if (operation.get.length) range += std::to_string(operation.get.offset + *operation.get.length - 1);
      headers.emplace_back("range", std::move(range));
    } else {
      headers.emplace_back("x-amz-checksum-mode", "ENABLED");
    }
    const std::string& etag = operation.started ? operation.pinned_etag : operation.get.if_match;
    if (!etag.empty()) headers.emplace_back("if-match", etag);
  }
  if (credentials == nullptr) return headers;
  std::string payload(kEmptyPayloadSha256);
  if (operation.body != nullptr && !operation.body->empty())
    payload = settings.scheme == "https" ? "UNSIGNED-PAYLOAD" : HexEncode(Sha256(*operation.body));
  const std::string date = AmzDate(shared_.clock.WallTimeNs() / 1'000'000'000 + shared_.clock_skew_seconds.load());
  headers.emplace_back("x-amz-content-sha256", payload);
  headers.emplace_back("x-amz-date", date);
  if (!credentials->session_token.empty())
    headers.emplace_back("x-amz-security-token", credentials->session_token.Reveal());
  const std::string day = date.substr(0, 8);
  if (signing_key_.day != day || signing_key_.region != settings.region ||
      signing_key_.generation != credentials->generation) {
    signing_key_ = {day, settings.region, credentials->generation,
                    SigningKey(credentials->secret_access_key, day, settings.region, "s3")};
  }
  const std::string request = CanonicalRequest(operation.method, path, query, headers, payload);
  const std::string signature = Signature(signing_key_.key, date, settings.region, "s3", request);
  headers.emplace_back("authorization", Authorization(credentials->access_key_id, date, settings.region, "s3",
                                                      SignedHeaders(headers), signature));
  return headers;
}

void NetworkLoop::Configure(Operation& operation, const S3Settings& settings) {
  CURL* easy = operation.easy;
  const S3Options& options = settings.options;
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);  // keys may hold "." and ".." segments
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kBufferBytes);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "leat");
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, operation.header_list);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &NetworkLoop::OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &operation);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &NetworkLoop::OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &operation);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, operation.curl_message.data());
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, kStallBytesPerSecond);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(operation.stall_timeout.count()));
  const auto left = std::chrono::duration_cast<milliseconds>(operation.deadline - shared_.clock.Now()).count();
  if (operation.IsSmall()) curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<int64_t>(left, 1)));
  if (operation.is_check) {
    curl_easy_setopt(
        easy, CURLOPT_CONNECTTIMEOUT_MS,
        static_cast<long>(std::min<int64_t>(options.connect_timeout.count(), std::max<int64_t>(left / 2, 1))));
  }
  if (!settings.ca_bundle.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, settings.ca_bundle.c_str());
  if (!settings.ca_directory.empty()) curl_easy_setopt(easy, CURLOPT_CAPATH, settings.ca_directory.c_str());
  const bool is_loopback = settings.authority.starts_with("127.") || settings.authority.starts_with("localhost") ||
                           settings.authority.starts_with("[::1]");
  // Set even when empty: libcurl would look into this process's environment, which is not the mount's.
  curl_easy_setopt(easy, CURLOPT_PROXY, is_loopback ? "" : settings.proxy.c_str());
  curl_easy_setopt(easy, CURLOPT_NOPROXY, settings.no_proxy.c_str());
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);  // the proxy's answer is not S3's
  const std::string_view method = operation.method;
  if (method == "HEAD") {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  } else if (operation.body != nullptr) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, operation.body->data());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(operation.body->size()));
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, operation.method);
  } else if (method != "GET") {
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, operation.method);
  }
}

void NetworkLoop::StartAttempt(const OperationPointer& operation) {
  std::shared_ptr<const Credentials> credentials;
  if (!shared_.credentials.anonymous()) {
    credentials = shared_.credentials.Get();
    if (credentials == nullptr) {
      waiting_for_credentials_.push_back(operation);
      shared_.fetch_credentials(0);
      return;
    }
    if (shared_.credentials.WantsRefresh()) shared_.fetch_credentials(0);
    operation->credentials_generation = credentials->generation;
  }
  const auto settings = shared_.settings();
  operation->region = settings->region;
  operation->response = {};
  operation->attempt_error.reset();
  operation->attempt_error_is_final = false;
  operation->body_checked = false;
  operation->delivered_before = operation->delivered;
  std::string path = settings->base_path;
  if (!operation->key.empty() || path.empty()) path += "/" + PercentEncode(operation->key, true);
  const std::string query = CanonicalQuery(operation->query);
  const NameValues headers = SignedRequestHeaders(*operation, *settings, path, query, credentials.get());
  curl_slist* list = curl_slist_append(nullptr, "Expect:");
  std::string line;
  for (const auto& [name, value] : headers) {
    line.assign(name).append(value.empty() ? ";" : ": ").append(value);
    list = curl_slist_append(list, line.c_str());
  }
  operation->header_list = list;
  if (idle_easy_.empty()) {
    operation->easy = curl_easy_init();
    LEAT_CHECK(operation->easy != nullptr);
  } else {
    operation->easy = idle_easy_.back();
    idle_easy_.pop_back();
  }
  const std::string url = settings->Endpoint() + path + (query.empty() ? "" : "?" + query);
  curl_easy_setopt(operation->easy, CURLOPT_URL, url.c_str());
  Configure(*operation, *settings);
  shared_.counters.Of(operation->kind).fetch_add(1, std::memory_order_relaxed);
  if (operation->body != nullptr)
    shared_.counters.bytes_sent.fetch_add(operation->body->size(), std::memory_order_relaxed);
  active_.emplace(operation->easy, operation);
  LEAT_CHECK(curl_multi_add_handle(multi_, operation->easy) == CURLM_OK);
}

size_t NetworkLoop::OnHeader(char* bytes, size_t size, size_t count, void* data) {
  auto& operation = *static_cast<Operation*>(data);
  const std::string_view line(bytes, size * count);
  Response& response = operation.response;
  if (line.starts_with("HTTP/")) {  // also after a 100 Continue: the last answer counts
    response.headers.clear();
    const size_t space = line.find(' ');
    const auto status = ParseUnsigned(line.substr(std::min(space + 1, line.size()), 3));
    response.status = status ? static_cast<int>(*status) : 0;
  } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    response.headers.emplace_back(ToLower(line.substr(0, colon)), Trim(line.substr(colon + 1)));
  }
  response.header_bytes += line.size();
  if (response.header_bytes <= kHeaderBytesMax) return line.size();
  operation.attempt_error =
      Error{ErrorCode::kProtocol, "the server's headers are longer than 64 KiB; check the endpoint"};
  return 0;
}

size_t NetworkLoop::OnBody(char* bytes, size_t size, size_t count, void* data) {
  auto& operation = *static_cast<Operation*>(data);
  const size_t length = size * count;
  if (operation.receiver != nullptr && IsSuccess(operation.response.status)) {
    if (!operation.body_checked && !BeginBody(operation)) return 0;
    return DeliverBytes(operation, std::as_bytes(std::span(bytes, length))) ? length : 0;
  }
  std::string& body = operation.response.body;
  const bool is_error = !IsSuccess(operation.response.status);
  if (body.size() + length > (is_error ? kErrorBodyBytesMax : kAnswerBodyBytesMax)) {
    if (is_error) return length;  // the rest of an over-long error page is of no use
    operation.attempt_error =
        Error{ErrorCode::kProtocol, "the server's answer is longer than 16 MiB; check the endpoint"};
    return 0;
  }
  body.append(bytes, length);
  return length;
}

void NetworkLoop::FinishTransfers() {
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    const auto found = active_.find(message->easy_handle);
    LEAT_CHECK(found != active_.end());
    const OperationPointer operation = found->second;
    ReleaseEasy(*operation);
    EndAttempt(operation, code);
  }
}

void NetworkLoop::ReleaseEasy(Operation& operation) {
  if (operation.easy == nullptr) return;
  curl_multi_remove_handle(multi_, operation.easy);
  active_.erase(operation.easy);
  curl_easy_reset(operation.easy);
  curl_slist_free_all(operation.header_list);
  operation.header_list = nullptr;
  idle_easy_.push_back(operation.easy);
  operation.easy = nullptr;
}

void NetworkLoop::EndAttempt(const OperationPointer& operation, CURLcode code) {
  using policy::RetryClass;
  Operation& op = *operation;
  const uint64_t received = op.delivered - op.delivered_before;
  if (received > 0) {
    shared_.counters.bytes_received.fetch_add(received, std::memory_order_relaxed);
    op.deadline = shared_.clock.Now() + op.patience;  // the deadline is for standing still
  }
  const auto settings = shared_.settings();
  if (op.receiver != nullptr && code == CURLE_OK && IsSuccess(op.response.status) && !op.body_checked) BeginBody(op);
  if (op.attempt_error) {
    if (op.attempt_error_is_final) return End(operation, Fail(*op.attempt_error));
    return RetryOrFail(operation, RetryClass::kTransient, *op.attempt_error);
  }
  if (code != CURLE_OK) {
    const std::string detail = op.curl_message[0] != '\0' ? op.curl_message.data() : curl_easy_strerror(code);
    const std::string subject = Subject(op, *settings);
    // The first group is final: trying again finds the same certificates. A handshake fails also when it is cut.
    const bool is_untrusted = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
                              code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CERTPROBLEM ||
                              code == CURLE_SSL_PINNEDPUBKEYNOTMATCH;
    if (is_untrusted || code == CURLE_SSL_CONNECT_ERROR)
      return RetryOrFail(
          operation, is_untrusted ? RetryClass::kNever : RetryClass::kTransient,
          {ErrorCode::kUnavailable, subject + ": no trusted TLS connection (" + EscapeForDisplay(detail) +
                                        "); check the endpoint URL and AWS_CA_BUNDLE"});
    const bool no_server =
        code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY;
    return RetryOrFail(
        operation, RetryClass::kTransient,
        {code == CURLE_OPERATION_TIMEDOUT ? ErrorCode::kTimedOut : ErrorCode::kUnavailable,
         subject + (no_server ? ": cannot connect to " + settings->Endpoint() + " (" : ": the connection failed (") +
             EscapeForDisplay(detail) + "); check the endpoint URL and the network"});
  }
  if (IsSuccess(op.response.status)) {
    ErrorBody hidden;
    if (op.hidden_error) hidden.code = op.hidden_error(op.response);
    if (hidden.code.empty()) return Succeed(operation);
    const policy::Failure failure{500, hidden.code};
    return RetryOrFail(
        operation, policy::ClassifyFailure(failure),
        {policy::FinalCode(failure),
         Subject(op, *settings) + ": the server failed after it had begun: " + EscapeForDisplay(hidden.code)});
  }
  const ErrorBody body = ParseErrorBody(op.response.body);
  const policy::Failure failure{op.response.status, body.code};
  RetryClass kind = policy::ClassifyFailure(failure);
  ErrorCode final_code = policy::FinalCode(failure);
  std::string region(op.response.Header("x-amz-bucket-region"));
  if (region.empty()) region = body.region;
  // A HEAD's refusal has no body to read a code from.
  const bool is_elsewhere =
      !region.empty() && region != op.region && (op.response.status == 301 || op.response.status == 400);
  if (is_elsewhere) {
    kind = RetryClass::kOtherRegion;
    final_code = ErrorCode::kWrongRegion;
  }
  const std::string message = MessageOf(op, *settings, body, final_code);
  if (kind == RetryClass::kOtherRegion) {
    if (op.redirected || region.empty() || region == op.region)
      return RetryOrFail(operation, RetryClass::kNever, {final_code, message});
    op.redirected = true;
    if (shared_.settings()->region == op.region) shared_.MoveToRegion(region);
  }
  if (kind == RetryClass::kThrottled) {
    OnThrottled();
    if (op.receiver != nullptr) op.receiver->OnThrottled();
  }
  RetryOrFail(operation, kind, {final_code, message});
}

void NetworkLoop::OnThrottled() {
  // Once a second: the answers to the requests already under way tell nothing new.
  const env::MonotonicTime now = shared_.clock.Now();
  if (now < next_halving_) return;
  next_halving_ = now + std::chrono::seconds(1);
  connections_now_ = std::max(1.0, connections_now_ / 2);
}

void NetworkLoop::Succeed(const OperationPointer& operation) {
  Status status;
  if (operation->receiver != nullptr) {
    status = EndBody(*operation);
    if (!status && status.error().code == ErrorCode::kUnavailable)
      return RetryOrFail(operation, policy::RetryClass::kTransient, status.error());
  }
  shared_.OnSuccess();
  connections_now_ = std::min<double>(connections_max_, connections_now_ + 1 / connections_now_);
  End(operation, std::move(status));
}

// Whether the cause can be put right, which is tried once an operation.
bool NetworkLoop::Correct(Operation& operation, policy::RetryClass kind) {
  if (kind == policy::RetryClass::kRefreshCredentials) {
    return !shared_.credentials.anonymous() && !std::exchange(operation.refreshed, true);
  }
  if (kind == policy::RetryClass::kCorrectClock) {
    const auto server = ParseHttpTime(operation.response.Header("date"));
    if (!server || std::exchange(operation.clock_corrected, true)) return false;
    shared_.clock_skew_seconds = (*server - shared_.clock.WallTimeNs()) / 1'000'000'000;
    LogWarning("this machine's clock is " + std::to_string(-shared_.clock_skew_seconds.load()) +
               " s ahead of S3's; requests are signed with S3's time");
    return true;
  }
  return true;
}

void NetworkLoop::RetryOrFail(const OperationPointer& operation, policy::RetryClass kind, Error error) {
  if (kind == policy::RetryClass::kNever || !Correct(*operation, kind)) return End(operation, Fail(std::move(error)));
  const auto hint = ParseUnsigned(operation->response.Header("x-amz-retry-after"));
  const milliseconds delay =
      shared_.NextDelay(kind, operation->retries, random_.Unit(),
                        milliseconds(hint ? static_cast<int64_t>(std::min<uint64_t>(*hint, 20'000)) : 0));
  const env::MonotonicTime due = shared_.clock.Now() + delay;
  if (due > operation->deadline) return End(operation, Fail(std::move(error)));
  ++operation->retries;
  shared_.counters.retries.fetch_add(1, std::memory_order_relaxed);
  if (kind == policy::RetryClass::kRefreshCredentials) {
    waiting_for_credentials_.push_back(operation);
    shared_.fetch_credentials(operation->credentials_generation);
    return;
  }
  sleeping_.emplace(due, operation);
}

void NetworkLoop::End(const OperationPointer& operation, Status status) {
  if (operation->ended) return;
  operation->ended = true;
  ReleaseEasy(*operation);
  operations_.erase(operation->id);
  shared_.counters.in_flight.fetch_sub(1, std::memory_order_relaxed);
  operations_count_.fetch_sub(1, std::memory_order_relaxed);
  if (!status) {
    const ErrorCode code = status.error().code;
    if (code != ErrorCode::kNotFound && code != ErrorCode::kObjectChanged && code != ErrorCode::kCancelled)
      shared_.counters.errors.fetch_add(1, std::memory_order_relaxed);
  }
  if (operation->receiver != nullptr) {
    operation->receiver->OnDone(std::move(status));
  } else if (status) {
    operation->finish(std::move(operation->response));
  } else {
    operation->finish(Fail(std::move(status).error()));
  }
}

}  // namespace leat::s3
