// SPDX-License-Identifier: Apache-2.0
// The XML of listings, and the XML of request bodies.
#include <expat.h>

#include <algorithm>

#include "base/text.h"
#include "listing.h"
#include "service.h"

namespace leat::s3lab {
namespace {

constexpr uint64_t kPageMax = 1000;

// A continuation token is opaque to clients: the page's last entry in hexadecimal.
std::optional<std::string> DecodeToken(std::string_view token) {
  if (token.size() % 2 != 0) return std::nullopt;
  std::string out;
  for (size_t i = 0; i < token.size(); i += 2) {
    const std::string byte = PercentDecode("%" + std::string(token.substr(i, 2)), false);
    if (byte.size() != 1) return std::nullopt;
    out += byte;
  }
  return out;
}

void Element(std::string* xml, std::string_view name, std::string_view escaped) {
  xml->append("<").append(name).append(">").append(escaped).append("</").append(name).append(">");
}

}  // namespace

tl::expected<Response, S3Error> ListObjects(const Call& call, const Bucket& bucket) {
  const HttpRequest& request = call.request;
  const bool v2 = call.target.operation == Operation::kListObjectsV2;
  const auto parameter = [&](std::string_view name) {
    const std::string* value = request.Query(name);
    return value == nullptr ? std::string() : *value;
  };
  ListQuery query{parameter("prefix"), parameter("delimiter"), parameter(v2 ? "start-after" : "marker"), kPageMax};
  if (const std::string* value = request.Query("max-keys")) {
    const auto number = ParseUnsigned(*value);
    if (!number)
      return tl::unexpected(
          S3Error{400, "InvalidArgument", "Provided max-keys not an integer or within integer range", ""});
    query.max_keys = std::min(*number, kPageMax);
  }
  const std::string* token = v2 ? request.Query("continuation-token") : nullptr;
  if (token != nullptr) {
    const auto after = DecodeToken(*token);
    if (!after || after->empty())
      return tl::unexpected(S3Error{400, "InvalidArgument", "The continuation token provided is incorrect", ""});
    query.after = *after;
  }
  const bool url = parameter("encoding-type") == "url";
  const auto text = [url](const std::string& key) { return url ? UrlEncodeKey(key) : XmlText(key); };

  const ListResult page = ListPage(bucket, query);
  std::string xml;
  xml.reserve(512 + page.objects.size() * 256);
  Element(&xml, "Name", XmlText(call.target.bucket));
  Element(&xml, "Prefix", text(query.prefix));
  if (!query.delimiter.empty()) Element(&xml, "Delimiter", text(query.delimiter));
  Element(&xml, "MaxKeys", std::to_string(query.max_keys));
  if (url) Element(&xml, "EncodingType", "url");
  Element(&xml, "IsTruncated", page.truncated ? "true" : "false");
  if (v2) {
    Element(&xml, "KeyCount", std::to_string(page.objects.size() + page.common_prefixes.size()));
    if (token != nullptr) Element(&xml, "ContinuationToken", *token);
    if (page.truncated) Element(&xml, "NextContinuationToken", HexEncode(std::string_view(page.last)));
    if (request.Query("start-after")) Element(&xml, "StartAfter", text(parameter("start-after")));
  } else {
    Element(&xml, "Marker", text(query.after));
    if (page.truncated) Element(&xml, "NextMarker", text(page.last));
  }
  for (const Object& object : page.objects) {
    xml += "<Contents>";
    Element(&xml, "Key", text(object.key));
    Element(&xml, "LastModified", IsoTime(object.modified_s));
    Element(&xml, "ETag", "&quot;" + object.etag + "&quot;");
    Element(&xml, "Size", std::to_string(object.size));
    xml += "<StorageClass>STANDARD</StorageClass></Contents>";
  }
  for (const std::string& prefix : page.common_prefixes) {
    xml += "<CommonPrefixes>";
    Element(&xml, "Prefix", text(prefix));
    xml += "</CommonPrefixes>";
  }
  return XmlResponse("ListBucketResult", xml);
}

namespace {

constexpr int kDepthMax = 8;

struct XmlReader {
  std::string_view parent;
  std::vector<std::string> path;
  std::vector<std::map<std::string, std::string>> items;
  std::string text;
  XML_Parser parser = nullptr;

  static std::string LocalName(const char* name) {
    const std::string_view full(name);
    const size_t colon = full.rfind(':');
    return std::string(colon == std::string_view::npos ? full : full.substr(colon + 1));
  }
  static void Begins(void* self, const char* name, const char**) {
    auto& reader = *static_cast<XmlReader*>(self);
    reader.path.push_back(LocalName(name));
    if (reader.path.size() > kDepthMax) XML_StopParser(reader.parser, XML_FALSE);
    if (reader.path.back() == reader.parent) reader.items.emplace_back();
    reader.text.clear();
  }
  static void Ends(void* self, const char*) {
    auto& reader = *static_cast<XmlReader*>(self);
    if (reader.path.size() >= 2 && reader.path[reader.path.size() - 2] == reader.parent)
      reader.items.back()[reader.path.back()] = reader.text;
    reader.path.pop_back();
    reader.text.clear();
  }
  static void Text(void* self, const char* text, int size) {
    static_cast<XmlReader*>(self)->text.append(text, static_cast<size_t>(size));
  }
  // No document type has business in a request: refused, and entities with it.
  static void RefuseDoctype(void* self, const char*, const char*, const char*, int) {
    XML_StopParser(static_cast<XmlReader*>(self)->parser, XML_FALSE);
  }
};

}  // namespace

std::optional<std::vector<std::map<std::string, std::string>>> ReadXmlItems(std::string_view xml,
                                                                            std::string_view parent) {
  XmlReader reader;
  reader.parent = parent;
  reader.parser = XML_ParserCreate(nullptr);
  XML_SetUserData(reader.parser, &reader);
  XML_SetElementHandler(reader.parser, XmlReader::Begins, XmlReader::Ends);
  XML_SetCharacterDataHandler(reader.parser, XmlReader::Text);
  XML_SetStartDoctypeDeclHandler(reader.parser, XmlReader::RefuseDoctype);
  const bool good = XML_Parse(reader.parser, xml.data(), static_cast<int>(xml.size()), XML_TRUE) == XML_STATUS_OK;
  XML_ParserFree(reader.parser);
  if (!good) return std::nullopt;
  return std::move(reader.items);
}

}  // namespace leat::s3lab
