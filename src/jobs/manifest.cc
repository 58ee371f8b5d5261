// SPDX-License-Identifier: Apache-2.0
#include "jobs/manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "jobs/channel.h"
#include "jobs/stoppable.h"

namespace leat::jobs {
namespace {

using Json = nlohmann::json;

constexpr size_t kShownCharactersMax = 80;
constexpr size_t kDepthMax = 100;  // of the JSON in a line

bool IsS3(std::string_view uri) { return uri.size() > 5 && uri.starts_with("s3://") && uri[5] != '/'; }
bool IsFile(std::string_view uri) { return uri.starts_with("file:///"); }

std::string Shown(std::string_view text) {
  const bool is_long = text.size() > kShownCharactersMax;
  return "'" + EscapeForDisplay(text.substr(0, kShownCharactersMax)) + (is_long ? "...'" : "'");
}

bool IsRelative(const std::string& suffix) {
  if (suffix.empty() || suffix[0] == '/' || suffix.find('\0') != std::string::npos) return false;
  return ("/" + suffix + "/").find("/../") == std::string::npos;
}

// An object in memory, or none where it is not of the size that was told.
class Collector final : public env::GetReceiver {
 public:
  Collector(uint64_t size_bytes, env::Callback<std::string> done) : size_bytes_(size_bytes), done_(std::move(done)) {}
  void OnStart(const ObjectInfo&) override { bytes_.reserve(size_bytes_); }
  void OnData(std::span<const std::byte> bytes) override {
    is_too_long_ = is_too_long_ || bytes.size() > size_bytes_ - bytes_.size();
    if (!is_too_long_) bytes_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void OnDone(Status status) override {
    if (!status) return done_(Fail(status.error()));
    if (is_too_long_ || bytes_.size() != size_bytes_) {
      return done_(Fail(ErrorCode::kObjectChanged, "it was replaced while being read; try again"));
    }
    done_(std::move(bytes_));
  }

 private:
  const uint64_t size_bytes_;
  const env::Callback<std::string> done_;
  std::string bytes_;
  bool is_too_long_ = false;
};

// Reads a manifest as it is parsed, so that no more is held than what is wanted of it.
class ManifestReader final : public nlohmann::json_sax<Json> {
 public:
  explicit ManifestReader(const std::string& uri) : is_local_(IsFile(uri)) {}

  bool start_array(size_t) override {
    if (state_ != State::kBegin) return Refuse("has a list within the list");
    state_ = State::kFirst;
    return true;
  }
  bool start_object(size_t) override {
    if (state_ == State::kBegin) return Refuse("is no list");
    if (state_ != State::kFirst) return Refuse("has an object where a relative key belongs");
    state_ = State::kPrefixName;
    return true;
  }
  bool key(string_t& name) override {
    if (name != "prefix") return Refuse("has " + Shown(name) + " beside \"prefix\"");
    state_ = State::kPrefix;
    return true;
  }
  bool end_object() override {
    if (manifest_.prefix.empty()) return Refuse("has no \"prefix\" in its first element");
    state_ = State::kSuffixes;
    return true;
  }
  bool string(string_t& text) override {
    if (state_ == State::kPrefix) return Prefix(text);
    if (state_ != State::kSuffixes) return Refuse("does not begin with {\"prefix\": \"s3://...\"}");
    if (!IsRelative(text)) {
      return Refuse("has the key " + Shown(text) + ", which must be relative to the prefix, without '..'");
    }
    if (manifest_.suffixes.size() == kChannelObjectsMax) {
      return Refuse("has more than " + std::to_string(kChannelObjectsMax) + " keys");
    }
    manifest_.suffixes.push_back(std::move(text));
    return true;
  }
  bool end_array() override {
    if (state_ == State::kFirst) return Refuse("is empty");
    state_ = State::kEnd;
    return true;
  }
  bool null() override { return Refuse("has null where a text belongs"); }
  bool boolean(bool) override { return Refuse("has true or false where a text belongs"); }
  bool number_integer(number_integer_t) override { return Number(); }
  bool number_unsigned(number_unsigned_t) override { return Number(); }
  bool number_float(number_float_t, const string_t&) override { return Number(); }
  bool binary(binary_t&) override { return Refuse("has binary data"); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return Refuse("is no JSON (at byte " + std::to_string(position) + ")");
  }

  Manifest Take() { return std::move(manifest_); }
  bool is_complete() const { return state_ == State::kEnd; }
  const std::string& problem() const { return problem_; }

 private:
  enum class State { kBegin, kFirst, kPrefixName, kPrefix, kSuffixes, kEnd };
  bool Refuse(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
    return false;
  }
  bool Number() { return Refuse("has a number where a text belongs"); }
  bool Prefix(string_t& text) {
    if (!IsS3(text) && !IsFile(text))
      return Refuse("has the prefix " + Shown(text) + ", which must be s3://bucket/...");
    if (IsFile(text) && !is_local_) return Refuse("lies in S3, so its prefix must not be a file:// one");
    manifest_.prefix = std::move(text);
    state_ = State::kPrefixName;
    return true;
  }

  const bool is_local_;
  State state_ = State::kBegin;
  Manifest manifest_;
  std::string problem_;
};

// Steps over JSON that is known to be valid. Confined to one thread.
class JsonScanner {
 public:
  explicit JsonScanner(std::string_view text) : text_(text) {}
  // The next character that is no white space, which is not consumed; 0 at the end.
  char Peek() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  void Skip() { ++at_; }
  std::string_view Value() {
    Peek();
    const size_t begin = at_;
    size_t depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        Text();
        if (depth == 0) break;
        continue;
      }
      if (depth == 0 && (c == ',' || c == '}' || c == ']')) break;
      if (c == '{' || c == '[') ++depth;
      ++at_;
      if ((c == '}' || c == ']') && --depth == 0) break;
    }
    size_t end = at_;
    while (end > begin && std::string_view(" \t\r\n").find(text_[end - 1]) != std::string_view::npos) --end;
    return text_.substr(begin, end - begin);
  }

 private:
  void Text() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;
    }
    ++at_;
  }

  const std::string_view text_;
  size_t at_ = 0;
};

bool IsTooDeep(std::string_view text) {
  size_t depth = 0;
  for (const char c : text) {
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && depth > 0) --depth;
    if (depth > kDepthMax) return true;
  }
  return false;
}

}  // namespace

Result<std::string> ReadManifestObject(env::ObjectStore& store, const std::string& uri, uint64_t bytes_max,
                                       const StopCheck& stopped) {
  const std::string key = LocationOfObject(uri).key;
  const auto about = [&](const Error& error) { return Fail(error.code, "the manifest " + uri + ": " + error.message); };
  const auto info = AwaitUnlessStopped<ObjectInfo>(stopped, [&](auto done) { store.Head(key, std::move(done)); });
  if (!info) return about(info.error());
  if (info->size_bytes > bytes_max) {
    return Fail(ErrorCode::kInvalidArgument, "the manifest " + uri + " has " + FormatBytes(info->size_bytes) +
                                                 ", and may have " + FormatBytes(bytes_max) +
                                                 "; split it, with a channel for each part");
  }
  env::GetRequest get;
  get.key = key;
  get.if_match = info->etag;
  auto bytes = AwaitUnlessStopped<std::string>(stopped, [&](auto done) {
    store.Get(std::move(get), std::make_shared<Collector>(info->size_bytes, std::move(done)));
  });
  if (!bytes) return about(bytes.error());
  return bytes;
}

Result<Manifest> ParseManifest(std::string_view text, const std::string& uri) {
  ManifestReader reader(uri);
  const bool is_read = Json::sax_parse(text, &reader);
  if (is_read && reader.is_complete()) return reader.Take();
  const std::string problem =
      reader.problem().empty() ? "does not begin with {\"prefix\": \"s3://...\"}" : reader.problem();
  return Fail(ErrorCode::kInvalidArgument,
              "the manifest " + uri + " " + problem +
                  "; a ManifestFile is [{\"prefix\": \"s3://bucket/some/prefix/\"}, \"relative/key\", ...]");
}

ReferenceLocation LocationOfReference(const std::string& uri) {
  if (IsFile(uri)) return {"file:///", uri.substr(8)};
  ObjectLocation location = LocationOfObject(uri);
  return {std::move(location.repository), std::move(location.key)};
}

Result<std::vector<ManifestAttribute>> AugmentedManifest::Read(std::string_view line) const {
  const auto refuse = [](const std::string& problem) { return Fail(ErrorCode::kInvalidArgument, problem); };
  if (line.size() > kManifestLineBytesMax) return refuse("is longer than " + FormatBytes(kManifestLineBytesMax));
  if (IsTooDeep(line)) return refuse("is nested too deeply");
  if (!Json::accept(line)) return refuse("is no JSON");
  JsonScanner scanner(line);
  if (scanner.Peek() != '{') return refuse("is no JSON object");
  std::vector<std::string_view> values(attribute_names_.size());
  do {
    scanner.Skip();  // '{' or ','
    if (scanner.Peek() == '}') break;
    const std::string name = Json::parse(scanner.Value()).get<std::string>();
    scanner.Peek();
    scanner.Skip();  // ':'
    const std::string_view value = scanner.Value();
    for (size_t i = 0; i < values.size(); ++i) {
      if (attribute_names_[i] == name) values[i] = value;
    }
  } while (scanner.Peek() == ',');
  std::vector<ManifestAttribute> attributes;
  for (size_t i = 0; i < values.size(); ++i) {
    const std::string& name = attribute_names_[i];
    if (values[i].empty()) return refuse("has no attribute " + Shown(name) + ", which AttributeNames names");
    ManifestAttribute attribute;
    attribute.is_reference = name.ends_with("-ref");
    attribute.value = values[i];
    if (attribute.is_reference) {
      const bool is_text = values[i].front() == '"';
      attribute.value = is_text ? Json::parse(values[i]).get<std::string>() : "";
      const std::string& uri = attribute.value;
      if (IsFile(uri) && !is_local_) {
        return refuse("refers to " + Shown(uri) + ", but a manifest in S3 must not name files of this machine");
      }
      const std::string key = IsS3(uri) || IsFile(uri) ? LocationOfReference(uri).key : "";
      if (key.empty() || key.back() == '/') {
        return refuse("has " + std::string(values[i].substr(0, kShownCharactersMax)) + " as " + Shown(name) +
                      ", which must be the s3:// URI of an object");
      }
    }
    attributes.push_back(std::move(attribute));
  }
  return attributes;
}

Result<AugmentedManifest> AugmentedManifest::Parse(std::string text, const std::string& uri,
                                                   const std::vector<std::string>& attribute_names) {
  LEAT_CHECK(text.size() <= kAugmentedManifestBytesMax);
  AugmentedManifest manifest;
  manifest.text_ = std::move(text);
  manifest.is_local_ = IsFile(uri);
  manifest.attribute_names_ = attribute_names;
  std::set<std::string> repositories;
  const std::string_view whole = manifest.text_;
  size_t number = 0;
  for (size_t begin = 0; begin < whole.size();) {
    const size_t end = std::min(whole.find('\n', begin), whole.size());
    const std::string_view line = Trim(whole.substr(begin, end - begin));
    begin = end + 1;
    ++number;
    if (line.empty()) continue;
    const auto attributes = manifest.Read(line);
    if (!attributes || manifest.lines_.size() == kChannelObjectsMax) {
      return Fail(ErrorCode::kInvalidArgument,
                  "line " + std::to_string(number) + " of the manifest " + uri + " " +
                      (attributes ? "is beyond the lines that a manifest may have" : attributes.error().message));
    }
    for (const auto& attribute : *attributes) {
      if (attribute.is_reference) repositories.insert(LocationOfReference(attribute.value).repository);
      if (repositories.size() > kChannelRepositoriesMax) {
        return Fail(ErrorCode::kInvalidArgument, "the manifest " + uri + " refers to more than " +
                                                     std::to_string(kChannelRepositoriesMax) +
                                                     " buckets; bring the data together");
      }
    }
    manifest.lines_.push_back({static_cast<uint32_t>(line.data() - whole.data()), static_cast<uint32_t>(line.size())});
  }
  manifest.repositories_.assign(repositories.begin(), repositories.end());
  return manifest;
}

std::vector<ManifestAttribute> AugmentedManifest::Line(size_t line) const {
  const Extent& extent = lines_[line];
  auto attributes = Read(std::string_view(text_).substr(extent.begin, extent.bytes));
  LEAT_CHECK(attributes.has_value());  // Parse has read it already
  return std::move(*attributes);
}

}  // namespace leat::jobs
