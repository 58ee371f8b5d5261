// SPDX-License-Identifier: Apache-2.0
#include "s3/service_request.h"

#include <curl/curl.h>

namespace leat::s3 {
namespace {

size_t Collect(char* bytes, size_t size, size_t count, void* out) {
  auto& body = *static_cast<std::string*>(out);
  if (body.size() + size * count > kServiceAnswerBytesMax) return 0;
  body.append(bytes, size * count);
  return size * count;
}

}  // namespace

ServiceAnswer Ask(const ServiceRequest& request) {
  ServiceAnswer answer;
  CURL* curl = curl_easy_init();
  if (curl == nullptr) return answer;
  curl_slist* list = nullptr;
  for (const std::string& header : request.headers) list = curl_slist_append(list, header.c_str());
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  if (!request.body.empty()) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
  }
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  // Set even when empty: libcurl would look into this process's environment, which is not the caller's.
  curl_easy_setopt(curl, CURLOPT_PROXY, request.settings != nullptr ? request.settings->proxy.c_str() : "");
  if (request.settings != nullptr) {
    const S3Settings& settings = *request.settings;
    curl_easy_setopt(curl, CURLOPT_NOPROXY, settings.no_proxy.c_str());
    if (!settings.ca_bundle.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, settings.ca_bundle.c_str());
    if (!settings.ca_directory.empty()) curl_easy_setopt(curl, CURLOPT_CAPATH, settings.ca_directory.c_str());
  }
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, request.timeout_ms);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Collect);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer.body);
  const CURLcode code = curl_easy_perform(curl);
  if (code == CURLE_OK) {
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
    answer.reason = "HTTP " + std::to_string(answer.status);
  } else {
    answer.reason = curl_easy_strerror(code);
  }
  curl_slist_free_all(list);
  curl_easy_cleanup(curl);
  return answer;
}

}  // namespace leat::s3
