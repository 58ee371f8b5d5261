// SPDX-License-Identifier: Apache-2.0
// The one mapping from what went wrong to what a program sees in errno.
#pragma once

#include <cerrno>

#include "base/result.h"

namespace leat::fuse {

constexpr int ErrnoOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return EINVAL;
    case ErrorCode::kNotFound:
      return ENOENT;
    case ErrorCode::kNoSuchBucket:
      return ENOENT;
    case ErrorCode::kExists:
      return EEXIST;
    case ErrorCode::kDenied:
      return EACCES;
    case ErrorCode::kNoCredentials:
      return EACCES;
    case ErrorCode::kWrongRegion:
      return EIO;
    case ErrorCode::kObjectChanged:
      return ESTALE;
    case ErrorCode::kArchivedStorage:
      return EIO;  // not EACCES: no change of permissions helps
    case ErrorCode::kThrottled:
      return EIO;
    case ErrorCode::kUnavailable:
      return EIO;
    case ErrorCode::kTimedOut:
      return ETIMEDOUT;
    case ErrorCode::kCancelled:
      return EIO;  // the mount is going; an interrupted program gets EINTR elsewhere
    case ErrorCode::kProtocol:
      return EIO;
    case ErrorCode::kCorrupt:
      return EIO;
    case ErrorCode::kNoSpace:
      return ENOSPC;
    case ErrorCode::kIo:
      return EIO;
    case ErrorCode::kBusy:
      return EBUSY;
    case ErrorCode::kNotADirectory:
      return ENOTDIR;
    case ErrorCode::kIsADirectory:
      return EISDIR;
    case ErrorCode::kNotSupported:
      return ENOTSUP;
    case ErrorCode::kInternal:
      return EIO;
  }
  return EIO;
}

}  // namespace leat::fuse
