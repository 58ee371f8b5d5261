// SPDX-License-Identifier: Apache-2.0
// A sequence of objects (and of literal text between them) as one stream of bytes, read a few GETs ahead in bounded
// memory. Large objects come in ranges, each of the version that the first one had. No byte is given out before its GET
// has ended well.
//
//   while (true) {
//     LEAT_ASSIGN_OR_RETURN(const bool has_part, stream.Next());
//     if (!has_part) break;
//     for (;;) {
//       LEAT_ASSIGN_OR_RETURN(const std::string bytes, stream.Read());
//       if (bytes.empty()) break;
//       ...
//     }
//   }
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "env/object_store.h"

namespace leat::jobs {

struct StreamPart {
  env::ObjectStore* store = nullptr;  // null: `literal` is the part; must outlive the stream
  std::string literal;
  std::string key, etag;               // etag: empty when not known
  std::optional<uint64_t> size_bytes;  // absent: not known, and learnt with the first bytes
  std::string uri;                     // for messages
};

// Wakes a stream's reader, from any thread: bytes have come, or it shall stop.
class StreamBell {
 public:
  void Stop();
  bool stopped() const;

 private:
  friend class ReadAhead;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;  // protected by mutex_, as is Fetch's `is_done`
};

struct ReadAheadLimits {
  size_t requests_max = 32;           // in flight or waiting to be read
  uint64_t bytes_max = 64u << 20;     // of those, together; one more window where a size was not known
  uint64_t piece_bytes = 8u << 20;    // a GET asks for at most this
  uint64_t unknown_bytes = 2u << 20;  // the first GET of an object whose size is not known
  size_t parts_max = 256;             // literals count, too
};

class ReadAhead {  // confined to one thread
 public:
  // The next part; none: there are no more.
  using Source = std::function<std::optional<StreamPart>()>;
  ReadAhead(Source source, std::shared_ptr<StreamBell> bell, ReadAheadLimits limits = {});
  ~ReadAhead();  // cancels what is in flight
  ReadAhead(const ReadAhead&) = delete;

  // Starts reading ahead; Next and Read do so, too.
  void Fill();
  // Goes to the next part; the one before must have been read to its end. False: there is none. kCancelled: the bell
  // said stop.
  Result<bool> Next();
  uint64_t size_bytes() const { return size_; }  // of the part
  bool is_literal() const { return !part_->store; }
  const std::string& uri() const { return part_->uri; }
  // The next bytes of the part; empty at its end.
  Result<std::string> Read();
  // Whether Next or Read would have to wait.
  bool MustWait() const;

 private:
  class Fetch;
  struct Piece {
    std::shared_ptr<StreamPart> part;
    uint64_t offset = 0;
    uint64_t length = 0;  // expected; at most, when the size is not known
    bool is_first = false;
    bool is_size_known = true;
    std::shared_ptr<Fetch> fetch;  // null: not started
    env::RequestId request{};
  };
  void Start(size_t place);
  Status Wait(const Piece& piece);
  Status Learn();
  bool IsEmptyObject(const StreamPart& part);

  const Source source_;
  const std::shared_ptr<StreamBell> bell_;
  const ReadAheadLimits limits_;
  bool source_ended_ = false;
  std::deque<Piece> pieces_;
  std::shared_ptr<StreamPart> part_;
  uint64_t size_ = 0, position_ = 0;
};

}  // namespace leat::jobs
