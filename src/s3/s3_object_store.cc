// SPDX-License-Identifier: Apache-2.0
#include "s3/s3_object_store.h"

#include <curl/curl.h>
#include <openssl/evp.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <future>
#include <utility>

#include "base/text.h"
#include "env/blocking.h"
#include "s3/get_body.h"
#include "s3/network_loop.h"
#include "s3/xml.h"

namespace leat::s3 {
namespace {

using env::RequestKind;

bool IsHeaderText(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

// What S3 and its kin give an object that was uploaded in these parts: the MD5 of the parts' MD5s and their number.
// Empty when the parts' own ETags are no MD5s.
std::string EtagOfParts(const std::vector<env::UploadedPart>& parts) {
  std::string digests;
  for (const env::UploadedPart& part : parts) {
    const std::string_view hex = std::string_view(part.etag).substr(part.etag.starts_with('"') ? 1 : 0, 32);
    for (size_t at = 0; at < 32; at += 2) {
      unsigned value = 0;
      if (hex.size() != 32 || std::sscanf(std::string(hex.substr(at, 2)).c_str(), "%2x", &value) != 1) return {};
      digests += static_cast<char>(value);
    }
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(digests.data(), digests.size(), digest, &size, EVP_md5(), nullptr) != 1) return {};
  return "\"" + HexEncode(std::string_view(reinterpret_cast<const char*>(digest), size)) + "-" +
         std::to_string(parts.size()) + "\"";
}

// The one thread that may block on where credentials come from.
class CredentialThread {
 public:
  CredentialThread(SharedState& shared, std::function<void(Status)> changed)
      : shared_(shared), changed_(std::move(changed)) {}
  ~CredentialThread() { Stop(); }
  void Start() {
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "leat-s3-creds");
      Run();
    });
  }
  void Stop() {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    condition_.notify_one();
    thread_.join();
  }
  void Want(uint64_t refused_generation) {
    {
      const std::lock_guard lock(mutex_);
      wanted_ = true;
      refused_generation_ = std::max(refused_generation_, refused_generation);
    }
    condition_.notify_one();
  }

 private:
  void Run() {
    while (true) {
      uint64_t refused = 0;
      {
        std::unique_lock lock(mutex_);
        condition_.wait(lock, [&] { return wanted_ || stop_; });
        if (stop_) return;
        wanted_ = false;
        refused = refused_generation_;
      }
      const auto fetched = shared_.credentials.Fetch(refused);
      changed_(fetched ? Status() : Status(Fail(fetched.error())));
    }
  }

  SharedState& shared_;
  const std::function<void(Status)> changed_;
  std::thread thread_;
  std::mutex mutex_;  // protects what follows
  std::condition_variable condition_;
  bool wanted_ = false;
  bool stop_ = false;
  uint64_t refused_generation_ = 0;
};

// The processors are for training: a network thread needs half of one to fill 10 Gbit/s.
uint32_t DefaultThreads() { return std::clamp(std::thread::hardware_concurrency() / 4, 1u, 4u); }

class S3ObjectStoreImplementation final : public S3ObjectStore {
 public:
  S3ObjectStoreImplementation(S3Settings settings, const Environment& environment, env::RequestCounters& counters,
                              const env::Clock& clock)
      : options_(settings.options),
        shared_(std::move(settings), environment, counters, clock),
        credential_thread_(shared_, [this](const Status& status) {
          for (const auto& loop : loops_) loop->CredentialsChanged(status);
        }) {
    shared_.fetch_credentials = [this](uint64_t refused) { credential_thread_.Want(refused); };
    const uint32_t threads = std::clamp(options_.threads == 0 ? DefaultThreads() : options_.threads, 1u, 64u);
    for (uint32_t i = 0; i < threads; ++i)
      loops_.push_back(std::make_unique<NetworkLoop>(shared_, std::max(1u, options_.connections_max / threads), i));
  }
  ~S3ObjectStoreImplementation() override {
    for (const auto& loop : loops_) loop->Stop();
    credential_thread_.Stop();
    // A callback of a loop that stopped later may have asked one that had stopped already.
    for (const auto& loop : loops_) loop->EndLeftovers();
    for (const auto& loop : loops_) loop->EndLeftovers();
  }
  Status Start() {
    for (const auto& loop : loops_) LEAT_RETURN_IF_ERROR(loop->Start());
    credential_thread_.Start();
    return {};
  }

  env::RequestId Get(env::GetRequest request, std::shared_ptr<env::GetReceiver> receiver) override {
    auto operation = New(RequestKind::kGet, "GET", request.key);
    operation->background = request.background;
    if (request.background) operation->patience = options_.background_deadline;
    operation->get = std::move(request);
    operation->receiver = std::move(receiver);
    const auto id = env::RequestId(operation->id);
    const env::GetRequest& get = operation->get;
    if (get.key.empty() || (get.length && (*get.length == 0 || get.offset + *get.length < get.offset)) ||
        !IsHeaderText(get.if_match))
      operation->attempt_error =
          Error{ErrorCode::kInvalidArgument, "a read of no key, of no bytes, or of a range that does not exist"};
    Submit(std::move(operation));
    return id;
  }

  void Head(std::string key, env::Callback<ObjectInfo> done) override {
    auto operation = New(RequestKind::kHead, "HEAD", key);
    operation->finish = [key, done = std::move(done)](Result<Response> response) {
      if (!response) return done(Fail(response.error()));
      const auto size = ParseUnsigned(response->Header("content-length"));
      if (!size) return done(Fail(ErrorCode::kProtocol, "the server gave no Content-Length for '" + key + "'"));
      done(InfoFromHeaders(key, *response, *size));
    };
    Submit(std::move(operation));
  }

  void List(env::ListRequest request, env::Callback<env::ListPage> done) override {
    ListWith(std::move(request), std::move(done), false);
  }

  void Put(env::PutRequest request, env::Callback<std::string> done) override {
    auto operation = New(RequestKind::kPut, "PUT", request.key);
    operation->body = request.body != nullptr ? request.body : std::make_shared<const std::string>();
    AddWriteHeaders(*operation, request);
    operation->headers.emplace_back("x-amz-checksum-crc32c",
                                    ChecksumBase64(ChecksumAlgorithm::kCrc32c, *operation->body));
    operation->finish = FinishEtag(std::move(done), request.if_none_match);
    Submit(std::move(operation));
  }

  void Delete(std::string key, env::Callback<void> done) override {
    auto operation = New(RequestKind::kDelete, "DELETE", std::move(key));
    operation->finish = FinishNothing(std::move(done));
    Submit(std::move(operation));
  }

  void CreateMultipartUpload(env::PutRequest request, env::Callback<std::string> done) override {
    auto operation = New(RequestKind::kMultipart, "POST", request.key);
    operation->query = {{"uploads", ""}};
    operation->body = std::make_shared<const std::string>();
    request.if_match.clear();  // conditions are for the completion
    request.if_none_match = false;
    AddWriteHeaders(*operation, request);
    operation->finish = [done = std::move(done)](Result<Response> response) {
      if (!response) return done(Fail(response.error()));
      done(ParseUploadId(response->body));
    };
    Submit(std::move(operation));
  }

  void UploadPart(std::string key, std::string upload_id, uint32_t number, std::shared_ptr<const std::string> body,
                  env::Callback<env::UploadedPart> done) override {
    auto operation = New(RequestKind::kMultipart, "PUT", std::move(key));
    operation->query = {{"partNumber", std::to_string(number)}, {"uploadId", std::move(upload_id)}};
    operation->body = std::move(body);
    operation->headers = {{"content-type", "application/octet-stream"},
                          {"x-amz-checksum-crc32c", ChecksumBase64(ChecksumAlgorithm::kCrc32c, *operation->body)}};
    operation->finish = FinishEtag(
        [number, done = std::move(done)](Result<std::string> etag) {
          if (!etag) return done(Fail(etag.error()));
          done(env::UploadedPart{number, *etag});
        },
        false);
    Submit(std::move(operation));
  }

  void CompleteMultipartUpload(std::string key, std::string upload_id, std::vector<env::UploadedPart> parts,
                               env::Callback<std::string> done) override {
    auto operation = New(RequestKind::kMultipart, "POST", key);
    operation->patience = std::max(options_.demand_deadline, options_.completion_deadline);
    operation->stall_timeout = options_.completion_stall_timeout;
    operation->query = {{"uploadId", std::move(upload_id)}};
    std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
    std::string body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
    for (const env::UploadedPart& part : parts)
      body += "<Part><PartNumber>" + std::to_string(part.number) + "</PartNumber><ETag>" + EscapeXml(part.etag) +
              "</ETag></Part>";
    operation->body = std::make_shared<const std::string>(body + "</CompleteMultipartUpload>");
    operation->headers = {{"content-type", "application/xml"}};
    operation->hidden_error = [](const Response& response) {
      ErrorBody error;
      (void)ParseCompletion(response.body, &error);
      return error.code;
    };
    operation->finish = [this, operation = operation.get(), key, etag = EtagOfParts(parts),
                         done = std::move(done)](Result<Response> response) {
      const auto verify = [this, &key, &etag, &done](const Error& error) {
        Head(key, [etag, done, error](const Result<ObjectInfo>& found) {
          if (found && found->etag == etag) return done(etag);
          done(Fail(error));
        });
      };
      if (response) {
        ErrorBody error;
        auto completed = ParseCompletion(response->body, &error);
        if (completed || etag.empty()) return done(std::move(completed));
        return verify(completed.error());  // Ceph 16 leaves the answer's ETag empty
      }
      // An attempt whose answer was lost may have completed the upload, which a later attempt then finds gone.
      const Error& error = response.error();
      if (error.code != ErrorCode::kNotFound || operation->retries == 0 || etag.empty()) return done(Fail(error));
      verify(error);
    };
    Submit(std::move(operation));
  }

  void AbortMultipartUpload(std::string key, std::string upload_id, env::Callback<void> done) override {
    auto operation = New(RequestKind::kMultipart, "DELETE", std::move(key));
    operation->query = {{"uploadId", std::move(upload_id)}};
    operation->finish = FinishNothing(std::move(done));
    Submit(std::move(operation));
  }

  void Cancel(env::RequestId id) override {
    const auto value = static_cast<uint64_t>(id);
    loops_[value % loops_.size()]->Cancel(value);
  }

  void RenewCredentials(const Environment& environment) override {
    if (!shared_.credentials.anonymous()) shared_.credentials.Renew(environment);
  }

  Result<bool> Check(const std::string& prefix) override {
    env::ListRequest request;
    request.prefix = prefix;
    request.keys_max = 1;
    auto page = env::Await<env::ListPage>([&](auto done) { ListWith(request, std::move(done), true); });
    if (!page) return Fail(page.error());
    return !page->objects.empty() || !page->common_prefixes.empty();
  }

 private:
  // An id tells its loop. Requests do not end evenly, and a loop's connections serve it alone.
  size_t LeastBusyLoop() const {
    const auto least = std::min_element(loops_.begin(), loops_.end(), [](const auto& one, const auto& other) {
      return one->operations() < other->operations();
    });
    return static_cast<size_t>(least - loops_.begin());
  }
  std::shared_ptr<Operation> New(RequestKind kind, const char* method, std::string key) {
    auto operation = std::make_shared<Operation>();
    operation->id = next_id_.fetch_add(1, std::memory_order_relaxed) * loops_.size() + LeastBusyLoop();
    operation->kind = kind;
    operation->method = method;
    operation->key = std::move(key);
    operation->patience = options_.demand_deadline;
    operation->stall_timeout = options_.stall_timeout;
    return operation;
  }
  void Submit(std::shared_ptr<Operation> operation) {
    const bool is_list = operation->kind == RequestKind::kList;
    if (!is_list && operation->key.empty() && !operation->attempt_error)
      operation->attempt_error = Error{ErrorCode::kInvalidArgument, "the request names no key"};
    for (const auto& [name, value] : operation->headers) {
      if (!IsHeaderText(name) || !IsHeaderText(value))
        operation->attempt_error =
            Error{ErrorCode::kInvalidArgument,
                  "metadata of '" + operation->key + "' holds a line break or NUL; HTTP cannot carry it"};
    }
    loops_[operation->id % loops_.size()]->Submit(std::move(operation));
  }

  void ListWith(env::ListRequest request, env::Callback<env::ListPage> done, bool is_check) {
    auto operation = New(RequestKind::kList, "GET", "");
    operation->is_check = is_check;
    if (is_check) operation->patience = options_.check_deadline;
    operation->query = {{"list-type", "2"},
                        {"encoding-type", "url"},
                        {"max-keys", std::to_string(std::clamp(request.keys_max, 1u, 1000u))},
                        {"prefix", request.prefix}};
    if (!request.delimiter.empty()) operation->query.emplace_back("delimiter", request.delimiter);
    if (!request.continuation_token.empty()) {
      operation->query.emplace_back("continuation-token", request.continuation_token);
    } else if (!request.start_after.empty()) {
      operation->query.emplace_back("start-after", request.start_after);
    }
    operation->finish = [token = request.continuation_token, done = std::move(done)](Result<Response> response) {
      if (!response) return done(Fail(response.error()));
      auto page = ParseListPage(response->body);
      if (page && !token.empty() && page->next_token == token)
        return done(Fail(ErrorCode::kProtocol,
                         "the server repeats a listing's continuation token, so that the listing would never end; "
                         "check the endpoint"));
      done(std::move(page));
    };
    Submit(std::move(operation));
  }

  static void AddWriteHeaders(Operation& operation, const env::PutRequest& request) {
    operation.headers.emplace_back("content-type",
                                   request.content_type.empty() ? "binary/octet-stream" : request.content_type);
    if (!request.if_match.empty()) operation.headers.emplace_back("if-match", request.if_match);
    if (request.if_none_match) operation.headers.emplace_back("if-none-match", "*");
    for (const auto& [name, value] : request.user_metadata)
      operation.headers.emplace_back("x-amz-meta-" + ToLower(name), value);
  }
  static std::function<void(Result<Response>)> FinishEtag(env::Callback<std::string> done, bool if_none_match) {
    return [done = std::move(done), if_none_match](Result<Response> response) {
      if (!response) {
        Error error = response.error();
        if (if_none_match && error.code == ErrorCode::kObjectChanged) error.code = ErrorCode::kExists;
        return done(Fail(std::move(error)));
      }
      std::string etag(response->Header("etag"));
      if (etag.empty())
        return done(Fail(ErrorCode::kProtocol, "the server stored an object but gave no ETag; check the endpoint"));
      done(std::move(etag));
    };
  }
  static std::function<void(Result<Response>)> FinishNothing(env::Callback<void> done) {
    return [done = std::move(done)](Result<Response> response) {
      if (!response && response.error().code != ErrorCode::kNotFound) return done(Fail(response.error()));
      done({});  // what is not there is deleted already
    };
  }

  const S3Options options_;
  SharedState shared_;
  std::atomic<uint64_t> next_id_{1};
  std::vector<std::unique_ptr<NetworkLoop>> loops_;
  CredentialThread credential_thread_;
};

}  // namespace

Result<std::unique_ptr<S3ObjectStore>> S3ObjectStore::Create(const S3Options& options, const Environment& environment,
                                                             env::RequestCounters& counters, const env::Clock& clock) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (initialised != CURLE_OK) return Fail(ErrorCode::kInternal, "libcurl does not start; check its installation");
  LEAT_ASSIGN_OR_RETURN(S3Settings settings, ResolveS3Settings(options, environment));
  auto store = std::make_unique<S3ObjectStoreImplementation>(std::move(settings), environment, counters, clock);
  LEAT_RETURN_IF_ERROR(store->Start());
  return std::unique_ptr<S3ObjectStore>(std::move(store));
}

}  // namespace leat::s3
