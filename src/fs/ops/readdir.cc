// SPDX-License-Identifier: Apache-2.0
#include "fs/ops/readdir.h"

#include "fs/file_system_implementation.h"

namespace leat::fs {

Result<bool> DirectoryIsListed(FileSystem& file_system, InodeId directory) {
  LEAT_ASSIGN_OR_RETURN(const auto record, Implementation(file_system).Record(directory));
  if (record->inode.type != catalog::FileType::kDirectory) return Fail(ErrorCode::kNotADirectory, "not a directory");
  return record->inode.listed || record->inode.removed;
}

void ListDirectory(FileSystem& file_system, InodeId directory, std::function<void(Status)> done) {
  Implementation(file_system).importer().ListDirectory(directory, std::move(done));
}

Status ReadDirectory(FileSystem& file_system, InodeId directory, uint64_t cookie, const DirectoryVisitor& visit) {
  FileSystemImplementation& self = Implementation(file_system);
  if (cookie < kDotDotCookie) {
    LEAT_ASSIGN_OR_RETURN(const auto record, self.Record(directory));
    if (record->inode.removed) return {};  // as rmdir leaves it: not even "."
    if (cookie < kDotCookie && !visit(".", {kDotCookie, self.Describe(record->inode)})) return {};
    const InodeId parent_id = directory == kRootInode ? kRootInode : record->inode.parent;
    LEAT_ASSIGN_OR_RETURN(const auto parent, self.Record(parent_id));
    if (!visit("..", {kDotDotCookie, self.Describe(parent->inode)})) return {};
    cookie = kDotDotCookie;
  }
  KernelKnowledge& knowledge = self.knowledge();
  const uint64_t changes = knowledge.AttributeChanges();
  return self.catalog().VisitDirectory(
      directory, cookie == kDotDotCookie ? 0 : cookie, [&](const catalog::Inode& inode) {
        DirectoryEntryAnswer answer{Value(inode.id), self.Describe(inode), knowledge.AttributesMark(inode.id)};
        if (knowledge.AttributeChanges() != changes) --answer.attributes_mark;  // perhaps this one's: tell it again
        return visit(inode.name, answer);
      });
}

uint64_t DirectoryMark(FileSystem& file_system, InodeId directory) {
  KernelKnowledge& knowledge = Implementation(file_system).knowledge();
  knowledge.KnowsInode(directory);
  knowledge.KnowsContents(directory);
  return knowledge.DirectoryMark(directory);
}

void DirectoryAnswered(FileSystem& file_system, InodeId directory, uint64_t mark) {
  FileSystemImplementation& self = Implementation(file_system);
  if (self.knowledge().DirectoryMark(directory) != mark) self.InvalidateInode(directory, true);
}

void EntryWithAttributesSent(FileSystem& file_system, InodeId inode) {
  Implementation(file_system).knowledge().KnowsInode(inode);
}

}  // namespace leat::fs
