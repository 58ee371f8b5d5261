// SPDX-License-Identifier: Apache-2.0
#include "fs/ops/lookup.h"

#include "fs/file_system_implementation.h"

namespace leat::fs {
namespace {

// What the catalog says, whether or not it knows all names of the parent.
Result<LookUpAnswer> LookUpInCatalog(FileSystemImplementation& self, InodeId parent, std::string_view name) {
  LookUpAnswer answer;
  KernelKnowledge& knowledge = self.knowledge();
  knowledge.KnowsInode(parent);
  answer.entry_mark = knowledge.EntryMark(parent, name);
  const uint64_t changes = knowledge.AttributeChanges();
  Result<catalog::Inode> inode = self.catalog().Lookup(parent, name);
  if (!inode) {
    if (inode.error().code != ErrorCode::kNotFound) return Fail(std::move(inode).error());
    return answer;
  }
  knowledge.KnowsInode(inode->id);
  answer.attributes_mark = knowledge.AttributesMark(inode->id);
  if (knowledge.AttributeChanges() != changes) --answer.attributes_mark;  // perhaps this one's: tell it again
  answer.attributes = self.Describe(*inode);
  return answer;
}

}  // namespace

std::optional<Result<LookUpAnswer>> LookUpNow(FileSystem& file_system, InodeId parent, std::string_view name) {
  FileSystemImplementation& self = Implementation(file_system);
  const auto directory = self.Record(parent);
  if (!directory) return Fail(directory.error());
  Result<LookUpAnswer> answer = LookUpInCatalog(self, parent, name);
  if (!answer || answer->attributes) return answer;
  // Only now that the name was not found does it matter whether the names were complete before the search.
  if (!(*directory)->inode.listed && !(*directory)->inode.removed) return std::nullopt;
  self.knowledge().KnowsAbsence(parent, name);
  return answer;
}

void LookUp(FileSystem& file_system, InodeId parent, const std::string& name,
            std::function<void(Result<LookUpAnswer>)> done) {
  FileSystemImplementation& self = Implementation(file_system);
  self.importer().LookUpName(
      parent, name, [&self, gate = self.gate(), parent, name, done = std::move(done)](Status status) {
        GateScope scope(gate);
        if (!scope) return done(Fail(ErrorCode::kCancelled, "the file system is being closed"));
        if (!status) return done(Fail(std::move(status).error()));
        self.knowledge().KnowsAbsence(parent, name);  // before the search: an addition from here on is told
        Result<LookUpAnswer> answer = LookUpInCatalog(self, parent, name);
        if (answer && answer->attributes) self.knowledge().KnowsPresence(parent, name);
        done(std::move(answer));
      });
}

void LookUpAnswered(FileSystem& file_system, InodeId parent, const std::string& name, const LookUpAnswer& answer) {
  FileSystemImplementation& self = Implementation(file_system);
  if (self.knowledge().EntryMark(parent, name) != answer.entry_mark) self.InvalidateEntry(parent, name);
  if (answer.attributes && self.knowledge().AttributesMark(answer.attributes->id) != answer.attributes_mark) {
    self.InvalidateInode(answer.attributes->id, false);
  }
}

}  // namespace leat::fs
