// SPDX-License-Identifier: Apache-2.0
#include "s3/xml.h"

#include <expat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>

#include "base/text.h"

namespace leat::s3 {
namespace {

constexpr size_t kDocumentBytesMax = 16u << 20;  // 1,000 keys of 1,024 bytes, percent-encoded, are 4 MiB
constexpr size_t kTextBytesMax = 16u << 10;
constexpr int kDepthMax = 16;

// Calls `on_text` with "Parent/Name" of every leaf's end and its text, and `on_open` with a name at its start.
class Walker {
 public:
  std::function<void(const std::string& path)> on_open;
  std::function<void(const std::string& path, const std::string& text)> on_close;

  bool Parse(std::string_view document) {
    if (document.size() > kDocumentBytesMax) return false;
    const std::unique_ptr<XML_ParserStruct, void (*)(XML_Parser)> parser(XML_ParserCreate("UTF-8"), XML_ParserFree);
    parser_ = parser.get();
    XML_SetUserData(parser_, this);
    XML_SetElementHandler(parser_, &Walker::Open, &Walker::Close);
    XML_SetCharacterDataHandler(parser_, &Walker::Characters);
    XML_SetStartDoctypeDeclHandler(parser_, &Walker::Doctype);
    const bool well_formed = XML_Parse(parser_, document.data(), static_cast<int>(document.size()), 1) == XML_STATUS_OK;
    return well_formed && !refused_;
  }

 private:
  void Refuse() {
    refused_ = true;
    XML_StopParser(parser_, XML_FALSE);
  }
  static void Open(void* self, const char* name, const char**) {
    auto& walker = *static_cast<Walker*>(self);
    if (++walker.depth_ > kDepthMax) return walker.Refuse();
    walker.path_ += "/";
    walker.path_ += name;
    if (walker.path_.size() > kTextBytesMax) return walker.Refuse();
    walker.text_.clear();
    if (walker.on_open) walker.on_open(walker.path_);
  }
  static void Close(void* self, const char*) {
    auto& walker = *static_cast<Walker*>(self);
    if (walker.refused_) return;
    if (walker.on_close) walker.on_close(walker.path_, walker.text_);
    walker.path_.resize(walker.path_.rfind('/'));
    walker.text_.clear();
    --walker.depth_;
  }
  static void Characters(void* self, const char* text, int size) {
    auto& walker = *static_cast<Walker*>(self);
    if (walker.text_.size() + static_cast<size_t>(size) > kTextBytesMax) return walker.Refuse();
    walker.text_.append(text, static_cast<size_t>(size));
  }
  static void Doctype(void* self, const char*, const char*, const char*, int) { static_cast<Walker*>(self)->Refuse(); }

  XML_Parser parser_ = nullptr;
  bool refused_ = false;
  int depth_ = 0;
  std::string path_;
  std::string text_;
};

tl::unexpected<Error> Bad(const std::string& what) {
  return Fail(ErrorCode::kProtocol,
              "the server's answer is not S3's: " + what + "; check that the endpoint is an S3 server");
}

// "2026-01-02T03:04:05", then nothing, "Z" or ".000Z". A listing holds one an object, and strptime with timegm takes a
// good part of its parsing. Nothing when the text is of another form.
std::optional<int64_t> ParsePlainIsoTime(std::string_view text) {
  constexpr std::string_view kForm = "0000-00-00T00:00:00", kMilliseconds = ".000Z";
  const std::string_view rest = text.substr(std::min(text.size(), kForm.size()));
  if (!rest.empty() && rest != "Z" && rest != kMilliseconds) return std::nullopt;
  std::array<unsigned, 6> parts{};  // year to second
  size_t part = 0;
  for (size_t i = 0; i < kForm.size(); ++i) {
    if (i >= text.size()) return std::nullopt;
    if (kForm[i] != '0') {
      if (text[i] != kForm[i]) return std::nullopt;
      ++part;
    } else {
      if (text[i] < '0' || text[i] > '9') return std::nullopt;
      parts[part] = parts[part] * 10 + static_cast<unsigned>(text[i] - '0');
    }
  }
  const auto [year, month, day, hour, minute, second] = parts;
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year)), std::chrono::month(month),
                                         std::chrono::day(day)};
  constexpr unsigned kYearMin = 1700, kYearMax = 2200;  // nanoseconds in 64 bits reach from 1677 to 2262
  if (!date.ok() || year < kYearMin || year > kYearMax || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return (((int64_t{days} * 24 + hour) * 60 + minute) * 60 + second) * 1'000'000'000;
}

Result<int64_t> ParseTime(std::string_view text, const char* form) {
  std::tm parts{};
  const std::string copy(text);
  const char* end = strptime(copy.c_str(), form, &parts);
  if (end == nullptr) return Bad("the time '" + EscapeXml(text) + "'");
  int64_t nanoseconds = 0;
  if (*end == '.') {
    int64_t unit = 100'000'000;
    for (++end; *end >= '0' && *end <= '9'; ++end, unit /= 10) nanoseconds += unit * (*end - '0');
  }
  int64_t time = 0;
  if (__builtin_mul_overflow(static_cast<int64_t>(timegm(&parts)), 1'000'000'000, &time) ||
      __builtin_add_overflow(time, nanoseconds, &time)) {
    return Bad("the time '" + EscapeXml(text) + "'");
  }
  return time;
}

}  // namespace

ErrorBody ParseErrorBody(std::string_view text) {
  ErrorBody body;
  Walker walker;
  walker.on_close = [&](const std::string& path, const std::string& value) {
    if (path == "/Error/Code" || path == "/ErrorResponse/Error/Code") body.code = value;
    if (path == "/Error/Message" || path == "/ErrorResponse/Error/Message") body.message = value;
    if (path == "/Error/Region") body.region = value;
  };
  if (!walker.Parse(text)) return {};
  return body;
}

Result<env::ListPage> ParseListPage(std::string_view text) {
  env::ListPage page;
  ObjectInfo object;
  Status status;
  bool url_encoded = false;
  bool truncated = false;
  bool is_list = false;
  bool has_key = false, has_size = false;
  const auto fail = [&](const std::string& what) {
    if (status) status = Bad(what);
  };
  Walker walker;
  walker.on_open = [&](const std::string& path) {
    if (path == "/ListBucketResult") is_list = true;
    if (path == "/ListBucketResult/Contents") {
      object = {};
      has_key = has_size = false;
    }
  };
  walker.on_close = [&](const std::string& path, const std::string& value) {
    constexpr std::string_view kRoot = "/ListBucketResult/";
    if (!path.starts_with(kRoot)) return;
    const std::string_view name = std::string_view(path).substr(kRoot.size());
    if (name == "Contents/Key") {
      object.key = value;
      has_key = true;
    } else if (name == "Contents/ETag") {
      object.etag = value;
    } else if (name == "Contents/Size") {
      const auto size = ParseUnsigned(value);
      has_size = size.has_value();
      if (size) object.size_bytes = *size;
    } else if (name == "Contents/LastModified") {
      const auto time = ParseIsoTime(value);
      if (!time) return fail("a listing's LastModified");
      object.last_modified_ns = *time;
    } else if (name == "Contents/StorageClass") {
      if (value != "STANDARD") object.storage_class = value;
    } else if (name == "Contents") {
      if (!has_key || !has_size) return fail("an object without key or size in a listing");
      page.objects.push_back(std::move(object));
    } else if (name == "CommonPrefixes/Prefix") {
      page.common_prefixes.push_back(value);
    } else if (name == "EncodingType") {
      url_encoded = value == "url";
    } else if (name == "IsTruncated") {
      truncated = value == "true";
    } else if (name == "NextContinuationToken") {
      page.next_token = value;
    }
  };
  if (!walker.Parse(text)) return Bad("a listing that is not well-formed XML");
  if (!is_list) return Bad("no ListBucketResult");
  if (!status) return Fail(status.error());
  if (truncated && page.next_token.empty()) return Bad("a truncated listing without a continuation token");
  if (!truncated) page.next_token.clear();
  if (url_encoded) {
    // After the walk, since EncodingType may stand behind the keys.
    for (ObjectInfo& each : page.objects) each.key = PercentDecode(each.key, true);
    for (std::string& each : page.common_prefixes) each = PercentDecode(each, true);
  }
  return page;
}

Result<std::string> ParseUploadId(std::string_view text) {
  std::string id;
  Walker walker;
  walker.on_close = [&](const std::string& path, const std::string& value) {
    if (path == "/InitiateMultipartUploadResult/UploadId") id = value;
  };
  if (!walker.Parse(text) || id.empty()) return Bad("no upload id");
  return id;
}

Result<std::string> ParseCompletion(std::string_view text, ErrorBody* error) {
  std::string etag;
  // White space may come first, to keep the connection: an XML declaration behind it would not be well-formed.
  const std::string_view document = Trim(text);
  *error = ParseErrorBody(document);
  if (!error->code.empty()) {
    return Fail(ErrorCode::kUnavailable, "completing the upload failed: " + error->code + ": " + error->message);
  }
  Walker walker;
  walker.on_close = [&](const std::string& path, const std::string& value) {
    if (path == "/CompleteMultipartUploadResult/ETag") etag = value;
  };
  if (!walker.Parse(document) || etag.empty()) return Bad("no ETag of the completed upload");
  return etag;
}

Result<SessionKeys> ParseSessionKeys(std::string_view text) {
  SessionKeys keys;
  std::string expiration;
  Walker walker;
  walker.on_close = [&](const std::string& path, const std::string& value) {
    const std::string_view base = "/GetSessionTokenResponse/GetSessionTokenResult/Credentials/";
    if (!std::string_view(path).starts_with(base)) return;
    const std::string_view name = std::string_view(path).substr(base.size());
    if (name == "AccessKeyId") keys.access_key_id = value;
    if (name == "SecretAccessKey") keys.secret_access_key = Secret(value);
    if (name == "SessionToken") keys.session_token = Secret(value);
    if (name == "Expiration") expiration = value;
  };
  const bool is_whole = walker.Parse(text) && !keys.access_key_id.empty() && !keys.secret_access_key.empty() &&
                        !keys.session_token.empty();
  if (!is_whole) return Fail(ErrorCode::kProtocol, "the answer holds no session keys");
  LEAT_ASSIGN_OR_RETURN(keys.expires_ns, ParseIsoTime(expiration));
  return keys;
}

Result<int64_t> ParseIsoTime(std::string_view text) {
  if (const auto time = ParsePlainIsoTime(text)) return *time;
  return ParseTime(text, "%Y-%m-%dT%H:%M:%S");
}
Result<int64_t> ParseHttpTime(std::string_view text) { return ParseTime(text, "%a, %d %b %Y %H:%M:%S"); }

std::string EscapeXml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

}  // namespace leat::s3
