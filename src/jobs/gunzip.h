// SPDX-License-Identifier: Apache-2.0
// gzip, undone as it comes in: members one after the other, each with its checksum compared.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "jobs/archive.h"

namespace leat::jobs {

class Gunzip {  // confined to one thread
 public:
  Gunzip();
  ~Gunzip();
  // Gives `sink` what the bytes unpack to, in bounded pieces. kCorrupt: they are no gzip; the sink's own failures.
  Status Write(std::span<const std::byte> bytes, const ByteSink& sink);
  // No more bytes come. kCorrupt: more were due. No bytes at all are nothing, well packed.
  Status End() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::vector<std::byte> out_;
};

}  // namespace leat::jobs
