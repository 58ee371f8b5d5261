// SPDX-License-Identifier: Apache-2.0
#include "sample_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <new>

#include "base/crc32c.h"
#include "base/random.h"

namespace leat::bench {
namespace {

std::byte* NewBuffer(uint64_t bytes) {
  const uint64_t rounded = (bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
  void* buffer = std::aligned_alloc(kDirectAlignment, rounded);
  if (buffer == nullptr) throw std::bad_alloc();
  return static_cast<std::byte*>(buffer);
}

template <class Call>
ssize_t Uninterrupted(Call call) {
  ssize_t result = 0;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

tl::unexpected<Error> TooShort() {
  return Fail(ErrorCode::kIo, "it ends before the part that the list names; list what is there");
}

// One 64-bit word of each page.
uint64_t TouchPages(const std::byte* bytes, uint64_t size, uint64_t page_bytes) {
  uint64_t sum = 0;
  for (uint64_t at = 0; at < size; at += page_bytes) {
    // A mapping is whole pages: there are eight bytes at each page's beginning, also at the file's last.
    sum += *reinterpret_cast<const volatile uint64_t*>(bytes + at);
  }
  return sum;
}

}  // namespace

void SampleReader::FreeBuffer::operator()(std::byte* buffer) const { std::free(buffer); }

SampleReader::SampleReader(const SampleList& list, const ReadOptions& options)
    : list_(list), options_(options), buffer_(NewBuffer(options.read_bytes)) {
  if (options_.keep_open) shards_.resize(list.files.size());
}

Status SampleReader::Read(const Sample& sample) {
  const auto failed = [&](const Error& error) {
    return Fail(error.code, "cannot read " + list_.files[sample.file] + ": " + error.message);
  };
  const auto descriptor = Open(sample);
  if (!descriptor) return failed(descriptor.error());
  uint32_t crc = 0;
  const auto bytes = options_.mapped    ? ReadMapped(*descriptor, sample, &crc)
                     : sample.IsRange() ? ReadRange(*descriptor, sample, &crc)
                                        : ReadWhole(*descriptor, &crc);
  if (!options_.keep_open || !sample.IsRange()) ::close(*descriptor);
  if (!bytes) return failed(bytes.error());
  bytes_ += *bytes;
  if (options_.checksum) AddChecksum(sample, crc);
  return {};
}

Result<int> SampleReader::Open(const Sample& sample) {
  const bool keep = options_.keep_open && sample.IsRange();
  if (keep && shards_[sample.file].valid()) return shards_[sample.file].get();
  const int flags = O_RDONLY | O_CLOEXEC | (options_.direct ? O_DIRECT : 0);
  const auto descriptor =
      static_cast<int>(Uninterrupted([&] { return ::open(list_.files[sample.file].c_str(), flags); }));
  if (descriptor < 0) return FailErrno(errno, "open");
  if (keep) shards_[sample.file] = FileDescriptor(descriptor);
  return descriptor;
}

Result<uint64_t> SampleReader::ReadWhole(int descriptor, uint32_t* crc) {
  uint64_t total = 0;
  while (true) {
    const ssize_t got = Uninterrupted([&] { return ::read(descriptor, buffer_.get(), options_.read_bytes); });
    if (got < 0) return FailErrno(errno, "read");
    if (got == 0) return total;
    total += static_cast<uint64_t>(got);
    if (options_.checksum) *crc = Crc32c({buffer_.get(), static_cast<size_t>(got)}, *crc);
    if (options_.direct && static_cast<uint64_t>(got) < options_.read_bytes) return total;
  }
}

Result<uint64_t> SampleReader::ReadRange(int descriptor, const Sample& sample, uint32_t* crc) {
  uint64_t done = 0;
  while (done < sample.length) {
    const uint64_t wanted = std::min(sample.length - done, options_.read_bytes);
    const ssize_t got = Uninterrupted(
        [&] { return ::pread(descriptor, buffer_.get(), wanted, static_cast<off_t>(sample.offset + done)); });
    if (got < 0) return FailErrno(errno, "pread");
    if (got == 0) return TooShort();
    if (options_.checksum) *crc = Crc32c({buffer_.get(), static_cast<size_t>(got)}, *crc);
    done += static_cast<uint64_t>(got);
  }
  return done;
}

Result<uint64_t> SampleReader::ReadMapped(int descriptor, const Sample& sample, uint32_t* crc) {
  struct stat attributes {};
  if (::fstat(descriptor, &attributes) != 0) return FailErrno(errno, "fstat");
  const auto size = static_cast<uint64_t>(attributes.st_size);
  const uint64_t length = sample.IsRange() ? sample.length : size;
  if (sample.offset + length > size) return TooShort();
  if (length == 0) return length;
  static const auto page_bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t before = sample.offset % page_bytes;  // a mapping begins with a page
  void* mapping =
      ::mmap(nullptr, before + length, PROT_READ, MAP_PRIVATE, descriptor, static_cast<off_t>(sample.offset - before));
  if (mapping == MAP_FAILED) return FailErrno(errno, "mmap");
  const auto* bytes = static_cast<const std::byte*>(mapping);
  if (options_.checksum) {
    *crc = Crc32c({bytes + before, length});
  } else {
    touched_ = touched_ + TouchPages(bytes, before + length, page_bytes);
  }
  ::munmap(mapping, before + length);
  return length;
}

void SampleReader::AddChecksum(const Sample& sample, uint32_t crc) {
  const uint64_t name = Crc32c(std::as_bytes(std::span(list_.ListedPath(sample.file))));
  checksum_ += Random::Mix(Random::Mix(name << 32 | crc) + sample.offset);
}

}  // namespace leat::bench
