// SPDX-License-Identifier: Apache-2.0
// S3's object checksums (x-amz-checksum-*): CRC32, CRC32C, CRC64NVME, SHA1, SHA256. Confined to one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace leat::s3 {

enum class ChecksumAlgorithm { kCrc32c, kCrc64Nvme, kCrc32, kSha256, kSha1 };
// In the order to prefer when a server sends several: the cheapest first.
inline constexpr std::array<std::pair<ChecksumAlgorithm, std::string_view>, 5> kChecksumHeaders = {{
    {ChecksumAlgorithm::kCrc32c, "x-amz-checksum-crc32c"},
    {ChecksumAlgorithm::kCrc64Nvme, "x-amz-checksum-crc64nvme"},
    {ChecksumAlgorithm::kCrc32, "x-amz-checksum-crc32"},
    {ChecksumAlgorithm::kSha256, "x-amz-checksum-sha256"},
    {ChecksumAlgorithm::kSha1, "x-amz-checksum-sha1"},
}};

class Checksum {
 public:
  explicit Checksum(ChecksumAlgorithm algorithm);
  ~Checksum();
  Checksum(Checksum&&) noexcept;
  Checksum& operator=(Checksum&&) noexcept;
  void Add(std::span<const std::byte> bytes);
  std::string Base64();  // of the big-endian digest, as the header has it; call once

 private:
  struct Hash;
  ChecksumAlgorithm algorithm_;
  uint64_t crc_ = 0;
  std::unique_ptr<Hash> hash_;
};

std::string ChecksumBase64(ChecksumAlgorithm algorithm, std::string_view bytes);

}  // namespace leat::s3
