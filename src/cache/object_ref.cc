// SPDX-License-Identifier: Apache-2.0
#include "cache/object_ref.h"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "base/check.h"

namespace leat::cache {

ObjectId MakeObjectId(std::string_view repository_identity, std::string_view key, std::string_view etag,
                      uint64_t size_bytes) {
  // Every field is preceded by its length, so that no two different quadruples give the same bytes.
  std::string text;
  const auto append_number = [&text](uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) text.push_back(static_cast<char>(number >> shift));
  };
  for (const std::string_view field : {repository_identity, key, etag}) {
    append_number(field.size());
    text.append(field);
  }
  append_number(size_bytes);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  LEAT_CHECK(EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_sha256(), nullptr) == 1 && length == 32);
  ObjectId id;
  std::transform(digest.begin(), digest.begin() + 16, id.bytes.begin(), [](unsigned char c) { return std::byte{c}; });
  return id;
}

}  // namespace leat::cache
