// SPDX-License-Identifier: Apache-2.0
// What fs/ asks of the kernel's side of a mount. Implemented in fuse/ (and by fakes in tests).
// Any thread may call; calls are queued and sent from threads of their own, because an invalidation waits for pages
// under read and would deadlock on a thread that must answer that read.
#pragma once

#include <functional>
#include <string>

#include "model/ids.h"

namespace leat::fs {

class Kernel {
 public:
  virtual ~Kernel() = default;
  // Forget the name, positive or negative, and the directory's cached contents.
  virtual void InvalidateEntry(InodeId parent, const std::string& name) = 0;
  // Forget attributes; with `contents`, cached pages too.
  virtual void InvalidateInode(InodeId inode, bool contents) = 0;
  // Runs `then` (on a notifying thread) once every name and attribute queued before it has been sent. Does not wait for
  // contents, nor, unless `held_too`, for names of a directory in which a look-up waits for the repository: so that the
  // answer to a read may wait for it.
  virtual void AfterInvalidations(bool held_too, std::function<void()> then) = 0;
  // The same for contents. Must never hold up the answer to a read: dropping pages waits for reads of them.
  virtual void AfterContentInvalidations(std::function<void()> then) = 0;
};

}  // namespace leat::fs
