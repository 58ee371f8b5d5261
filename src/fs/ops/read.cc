// SPDX-License-Identifier: Apache-2.0
#include "fs/ops/read.h"

#include <algorithm>
#include <string>

#include "base/log.h"
#include "fs/file_system_implementation.h"

namespace leat::fs {
namespace {

using ReadDone = std::function<void(Result<hydrate::DataSlice>)>;

tl::unexpected<Error> Changed(const std::string& key) {
  return Fail(ErrorCode::kObjectChanged,
              "the object " + key + " is no longer the version that was opened; open it again");
}

// The repository says that this version is gone: the name must lead to what is there now before the reader hears of it.
void RefreshThenFail(FileSystemImplementation& self, InodeId id, const std::string& key, ReadDone done) {
  self.importer().RefreshObject(id, [&self, gate = self.gate(), key, done = std::move(done)](Status status) {
    GateScope scope(gate);
    if (!scope) return done(Fail(ErrorCode::kCancelled, "the file system is being closed"));
    if (!status) LogWarning("cannot look again at the changed object " + key + ": " + status.error().message);
    self.AfterInvalidations(false, [key, done] { done(Changed(key)); });
  });
}

}  // namespace

std::optional<Result<size_t>> ReadNow(FileSystem& file_system, InodeId inode, uint64_t offset, std::span<std::byte> out,
                                      int reader) {
  FileSystemImplementation& self = Implementation(file_system);
  auto& counters = self.counters();
  counters.reads.fetch_add(1, std::memory_order_relaxed);
  ReadAccount* const account = self.Accounting()->Of(reader);
  if (account) account->OnRead(self.clock());
  const auto record = self.Record(inode);
  if (!record) return Fail(record.error());
  if ((*record)->inode.type == catalog::FileType::kDirectory) return Fail(ErrorCode::kIsADirectory, "is a directory");
  const cache::ObjectRef& object = (*record)->object;
  if (offset >= object.size_bytes || out.empty()) return 0;
  self.read_order().OnRead(inode);
  const size_t length = std::min<uint64_t>(out.size(), object.size_bytes - offset);
  counters.read_bytes.fetch_add(length, std::memory_order_relaxed);
  if (self.cache().Read(object, offset, out.first(length))) {
    counters.read_hits.fetch_add(1, std::memory_order_relaxed);
    if (account) account->OnAnswered(length, true);
    if (!(*record)->inode.removed) self.hydrator().ReadAhead(self.repository(), object, offset, length);
    return length;
  }
  if ((*record)->inode.removed) {
    counters.read_errors.fetch_add(1, std::memory_order_relaxed);
    return Result<size_t>(Changed(object.key));
  }
  return std::nullopt;
}

std::shared_ptr<ReadWait> BeginWait(FileSystem& file_system, int reader) {
  FileSystemImplementation& self = Implementation(file_system);
  ReadAccount* const account = self.Accounting()->Of(reader);
  return account ? std::make_shared<ReadWait>(*account, self.clock()) : nullptr;
}

void Read(FileSystem& file_system, InodeId inode, uint64_t offset, uint64_t length, ReadDone done) {
  FileSystemImplementation& self = Implementation(file_system);
  const auto record = self.Record(inode);
  if (!record) return done(Fail(record.error()));
  const cache::ObjectRef& object = (*record)->object;
  if (offset >= object.size_bytes) return done(hydrate::DataSlice{});
  length = std::min(length, object.size_bytes - offset);
  self.hydration_ahead().OnMiss(**record);
  self.metadata().Expect((*record)->inode);
  self.hydrator().Read(
      self.repository(), object, offset, length,
      [&self, gate = self.gate(), record = *record, done = std::move(done)](Result<hydrate::DataSlice> slice) {
        if (slice) return done(std::move(slice));
        GateScope scope(gate);
        if (!scope) return done(std::move(slice));
        self.counters().read_errors.fetch_add(1, std::memory_order_relaxed);
        const ErrorCode code = slice.error().code;
        if (code == ErrorCode::kObjectChanged || code == ErrorCode::kNotFound) {
          return RefreshThenFail(self, record->inode.id, record->inode.key, done);
        }
        if (code != ErrorCode::kCancelled)
          LogWarning("cannot read " + record->inode.key + ": " + slice.error().message);
        done(std::move(slice));
      });
}

}  // namespace leat::fs
