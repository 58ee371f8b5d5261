// SPDX-License-Identifier: Apache-2.0
// RestorePlan: restores files in exactly the order that the caller names them in, however many: paths come in parts and
// are found at once, what waits is a number a file, and fetching begins with the first part. While it runs nothing is
// hydrated ahead beside it (what is read on demand still goes first).
//
//   auto plan = RestorePlan::Start(file_system, progress, done);
//   plan->Add(paths, true, told);  ...  plan->Add(paths, false, told);   // done runs when all is there
//
// Threads: any, one Add at a time. Ownership: shared with the hydrator; outlives the file system harmlessly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "fs/file_system.h"
#include "hydrate/hydrator.h"

namespace leat::fs {

struct PlanMistake {
  size_t index = 0;     // of the path in its part
  std::string message;  // what is wrong with it
};

struct PlanAnswer {  // of one part
  uint64_t files = 0, bytes = 0;
  uint64_t mistaken = 0;              // paths that name no file, passed over
  std::vector<PlanMistake> mistakes;  // the first of them
};

class RestorePlan {
 public:
  static constexpr size_t kMistakesToldMax = 20;  // a part
  // Who adds waits while more files than this, of 8 bytes each, wait to be restored.
  static constexpr size_t kFilesWaitingMax = 1u << 20;
  // An import goes before a part of more paths than this, and before a plan of several parts: until the catalog knows
  // all names, each path may cost a LIST.
  static constexpr size_t kLookUpsMax = 1000;

  // `done` runs once, when all is restored (after the last part) or has been tried: with the first error, if any.
  static std::shared_ptr<RestorePlan> Start(FileSystem& file_system,
                                            std::shared_ptr<hydrate::HydrationProgress> progress,
                                            std::function<void(Status)> done);
  virtual ~RestorePlan() = default;
  // The next files; `more`: others follow. Errors are those of the repository or the catalog: a path that names no
  // file is a mistake that the answer tells. After an error, Cancel.
  virtual void Add(std::vector<std::string> paths, bool more, std::function<void(Result<PlanAnswer>)> told) = 0;
  virtual size_t FilesWaiting() const = 0;
  // Ends it early; no more parts. `done` then runs only if something had begun to be fetched.
  virtual void Cancel() = 0;
};

}  // namespace leat::fs
