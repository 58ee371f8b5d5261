// SPDX-License-Identifier: Apache-2.0
#include "s3/checksum.h"

#include <openssl/evp.h>

#include "base/check.h"
#include "base/crc32c.h"

namespace leat::s3 {
namespace {

// Slicing by eight: tables[n][b] is the register's change by byte b followed by n zero bytes.
template <class Word>
using Tables = std::array<std::array<Word, 256>, 8>;

template <class Word>
constexpr Tables<Word> MakeTables(Word reflected_polynomial) {
  Tables<Word> tables{};
  for (unsigned i = 0; i < 256; ++i) {
    Word crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = static_cast<Word>((crc >> 1) ^ ((crc & 1) ? reflected_polynomial : 0));
    tables[0][i] = crc;
  }
  for (unsigned n = 1; n < 8; ++n) {
    for (unsigned i = 0; i < 256; ++i)
      tables[n][i] = static_cast<Word>((tables[n - 1][i] >> 8) ^ tables[0][tables[n - 1][i] & 255]);
  }
  return tables;
}

const Tables<uint32_t> kCrc32Tables = MakeTables<uint32_t>(0xedb88320u);
// Polynomial 0xad93d23594c93659, its bits reversed.
const Tables<uint64_t> kCrc64Tables = MakeTables<uint64_t>(0x9a6c9329ac4bc9b5u);

template <class Word>
Word Crc(const Tables<Word>& tables, std::span<const std::byte> bytes, Word crc) {
  crc = static_cast<Word>(~crc);
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t word = 0;
    for (unsigned k = 0; k < 8; ++k) word |= static_cast<uint64_t>(bytes[i + k]) << (8 * k);
    word ^= crc;
    Word next = 0;
    for (unsigned k = 0; k < 8; ++k) next ^= tables[7 - k][(word >> (8 * k)) & 255];
    crc = next;
  }
  for (; i < bytes.size(); ++i)
    crc = static_cast<Word>((crc >> 8) ^ tables[0][(crc ^ static_cast<Word>(bytes[i])) & 255]);
  return static_cast<Word>(~crc);
}

std::string Base64Encode(std::span<const unsigned char> bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes.data(), static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(size));
  return out;
}

}  // namespace

struct Checksum::Hash {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~Hash() { EVP_MD_CTX_free(context); }
};

Checksum::Checksum(ChecksumAlgorithm algorithm) : algorithm_(algorithm) {
  if (algorithm == ChecksumAlgorithm::kSha1 || algorithm == ChecksumAlgorithm::kSha256) {
    hash_ = std::make_unique<Hash>();
    const EVP_MD* digest = algorithm == ChecksumAlgorithm::kSha1 ? EVP_sha1() : EVP_sha256();
    LEAT_CHECK(EVP_DigestInit_ex(hash_->context, digest, nullptr) == 1);
  }
}
Checksum::~Checksum() = default;
Checksum::Checksum(Checksum&&) noexcept = default;
Checksum& Checksum::operator=(Checksum&&) noexcept = default;

void Checksum::Add(std::span<const std::byte> bytes) {
  switch (algorithm_) {
    case ChecksumAlgorithm::kCrc32c:
      crc_ = Crc32c(bytes, static_cast<uint32_t>(crc_));
      break;
    case ChecksumAlgorithm::kCrc32:
      crc_ = Crc<uint32_t>(kCrc32Tables, bytes, static_cast<uint32_t>(crc_));
      break;
    case ChecksumAlgorithm::kCrc64Nvme:
      crc_ = Crc<uint64_t>(kCrc64Tables, bytes, crc_);
      break;
    default:
      LEAT_CHECK(EVP_DigestUpdate(hash_->context, bytes.data(), bytes.size()) == 1);
  }
}

std::string Checksum::Base64() {
  if (hash_ != nullptr) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    LEAT_CHECK(EVP_DigestFinal_ex(hash_->context, digest, &size) == 1);
    return Base64Encode({digest, size});
  }
  const unsigned size = algorithm_ == ChecksumAlgorithm::kCrc64Nvme ? 8 : 4;
  unsigned char digest[8];
  for (unsigned i = 0; i < size; ++i) digest[i] = static_cast<unsigned char>(crc_ >> (8 * (size - 1 - i)));
  return Base64Encode({digest, size});
}

std::string ChecksumBase64(ChecksumAlgorithm algorithm, std::string_view bytes) {
  Checksum checksum(algorithm);
  checksum.Add(std::as_bytes(std::span(bytes.data(), bytes.size())));
  return checksum.Base64();
}

}  // namespace leat::s3
