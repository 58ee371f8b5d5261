// SPDX-License-Identifier: Apache-2.0
#include "http_request.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "base/text.h"

namespace leat::s3lab {

const std::string* HttpRequest::Header(std::string_view name) const {
  for (const auto& [found, value] : headers)
    if (found == name) return &value;
  return nullptr;
}

const std::string* HttpRequest::Query(std::string_view name) const {
  for (const auto& [found, value] : query)
    if (found == name) return &value;
  return nullptr;
}

namespace {

bool IsToken(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

Status ParseRequestLine(std::string_view line, HttpRequest* request) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || last == first) return Fail(ErrorCode::kProtocol, "not an HTTP request line");
  const std::string_view version = line.substr(last + 1);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return Fail(ErrorCode::kProtocol, "not HTTP/1.1");
  request->keep_alive = version == "HTTP/1.1";
  request->method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  if (target.empty() || target[0] != '/' || target.find(' ') != std::string_view::npos)
    return Fail(ErrorCode::kProtocol, "the request target must be a path");
  const size_t mark = target.find('?');
  request->raw_path = target.substr(0, mark);
  if (mark == std::string_view::npos) return {};
  request->raw_query = target.substr(mark + 1);
  for (const std::string& part : Split(request->raw_query, '&')) {
    if (part.empty()) continue;
    const size_t equals = part.find('=');
    request->query.emplace_back(
        PercentDecode(std::string_view(part).substr(0, equals), true),
        equals == std::string::npos ? "" : PercentDecode(std::string_view(part).substr(equals + 1), true));
  }
  return {};
}

}  // namespace

Result<HttpRequest> ParseHead(std::string_view head) {
  HttpRequest request;
  size_t end = head.find("\r\n");
  if (end == std::string_view::npos) return Fail(ErrorCode::kProtocol, "no request line");
  LEAT_RETURN_IF_ERROR(ParseRequestLine(head.substr(0, end), &request));
  request.headers.reserve(16);
  for (size_t at = end + 2; at < head.size(); at = end + 2) {
    end = head.find("\r\n", at);
    if (end == std::string_view::npos) return Fail(ErrorCode::kProtocol, "a header line without its end");
    const std::string_view line = head.substr(at, end - at);
    if (line.empty()) break;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !IsToken(line.substr(0, colon)))
      return Fail(ErrorCode::kProtocol, "a header line that is not Name: value");
    request.headers.emplace_back(ToLower(line.substr(0, colon)), Trim(line.substr(colon + 1)));
  }
  if (const std::string* connection = request.Header("connection")) {
    const std::string value = ToLower(*connection);
    if (value.find("close") != std::string::npos) request.keep_alive = false;
    if (value.find("keep-alive") != std::string::npos) request.keep_alive = true;
  }
  return request;
}

ByteRange ParseRange(std::string_view header, uint64_t size) {
  constexpr std::string_view kUnit = "bytes=";
  ByteRange whole{ByteRange::Kind::kWhole, 0, size};
  if (header.substr(0, kUnit.size()) != kUnit) return whole;
  const std::string_view spec = Trim(header.substr(kUnit.size()));
  const size_t dash = spec.find('-');
  if (dash == std::string_view::npos) return whole;
  const std::string_view from = spec.substr(0, dash), to = spec.substr(dash + 1);
  if (from.empty()) {
    const auto suffix = ParseUnsigned(to);
    if (!suffix) return whole;
    if (*suffix == 0 || size == 0) return {ByteRange::Kind::kUnsatisfiable, 0, 0};
    const uint64_t length = std::min(*suffix, size);
    return {ByteRange::Kind::kPart, size - length, length};
  }
  const auto first = ParseUnsigned(from);
  if (!first) return whole;
  uint64_t last = size == 0 ? 0 : size - 1;
  if (!to.empty()) {
    const auto given = ParseUnsigned(to);
    if (!given || *given < *first) return whole;
    last = std::min(last, *given);
  }
  if (*first >= size) return {ByteRange::Kind::kUnsatisfiable, 0, 0};
  return {ByteRange::Kind::kPart, *first, last - *first + 1};
}

namespace {
std::string FormatTime(int64_t epoch_s, const char* format) {
  const std::time_t time = epoch_s;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[64];
  return std::string(text, std::strftime(text, sizeof text, format, &parts));
}
}  // namespace

std::string HttpTime(int64_t epoch_s) { return FormatTime(epoch_s, "%a, %d %b %Y %H:%M:%S GMT"); }
std::string IsoTime(int64_t epoch_s) { return FormatTime(epoch_s, "%Y-%m-%dT%H:%M:%S.000Z"); }

std::string XmlText(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "&#" + std::to_string(static_cast<unsigned char>(c)) + ";";
        } else {
          out += c;
        }
    }
  }
  return out;
}

std::string UrlEncodeKey(std::string_view key) {
  const std::string encoded = PercentEncode(key, true);
  std::string out;
  out.reserve(encoded.size());
  for (size_t i = 0; i < encoded.size(); ++i) {
    if (encoded.compare(i, 3, "%20") == 0) {
      out += '+';
      i += 2;
    } else {
      out += encoded[i];
    }
  }
  return out;
}

bool ETagMatches(std::string_view condition, std::string_view etag) {
  for (const std::string& part : Split(condition, ',')) {
    std::string_view tag = Trim(part);
    if (tag == "*") return true;
    if (tag.substr(0, 2) == "W/") tag.remove_prefix(2);
    if (tag.size() >= 2 && tag.front() == '"' && tag.back() == '"') tag = tag.substr(1, tag.size() - 2);
    if (tag == etag) return true;
  }
  return false;
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 416:
      return "Requested Range Not Satisfiable";
    case 429:
      return "Too Many Requests";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Status";
  }
}

}  // namespace leat::s3lab
