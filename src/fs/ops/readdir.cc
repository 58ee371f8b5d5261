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

Result<std::vector<DirectoryEntryAnswer>> ReadDirectory(FileSystem& file_system, InodeId directory, uint64_t cookie,
                                                        size_t count) {
  FileSystemImplementation& self = Implementation(file_system);
  std::vector<DirectoryEntryAnswer> answers;
  if (cookie < kDotDotCookie) {
    LEAT_ASSIGN_OR_RETURN(const auto record, self.Record(directory));
    if (record->inode.removed) return answers;  // as rmdir leaves it: not even "."
    if (cookie < kDotCookie) answers.push_back({".", kDotCookie, self.Describe(record->inode)});
    const InodeId parent_id = directory == kRootInode ? kRootInode : record->inode.parent;
    LEAT_ASSIGN_OR_RETURN(const auto parent, self.Record(parent_id));
    answers.push_back({"..", kDotDotCookie, self.Describe(parent->inode)});
    cookie = kDotDotCookie;
  }
  const uint64_t changes = self.knowledge().AttributeChanges();
  LEAT_ASSIGN_OR_RETURN(auto entries,
                        self.catalog().ReadDirectory(directory, cookie == kDotDotCookie ? 0 : cookie, count));
  answers.reserve(answers.size() + entries.size());
  for (catalog::DirectoryEntry& entry : entries) {
    DirectoryEntryAnswer answer;
    answer.cookie = Value(entry.inode.id);
    answer.attributes_mark = self.knowledge().AttributesMark(entry.inode.id);
    if (self.knowledge().AttributeChanges() != changes) --answer.attributes_mark;  // perhaps this one's
    answer.attributes = self.Describe(entry.inode);
    answer.name = std::move(entry.inode.name);
    answers.push_back(std::move(answer));
  }
  return answers;
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
