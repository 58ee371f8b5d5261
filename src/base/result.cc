// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace leat {

std::string_view ErrorCodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kNoSuchBucket:
      return "no_such_bucket";
    case ErrorCode::kExists:
      return "exists";
    case ErrorCode::kDenied:
      return "denied";
    case ErrorCode::kNoCredentials:
      return "no_credentials";
    case ErrorCode::kWrongRegion:
      return "wrong_region";
    case ErrorCode::kObjectChanged:
      return "object_changed";
    case ErrorCode::kArchivedStorage:
      return "archived_storage";
    case ErrorCode::kThrottled:
      return "throttled";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kTimedOut:
      return "timed_out";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kProtocol:
      return "protocol";
    case ErrorCode::kCorrupt:
      return "corrupt";
    case ErrorCode::kNoSpace:
      return "no_space";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kBusy:
      return "busy";
    case ErrorCode::kNotADirectory:
      return "not_a_directory";
    case ErrorCode::kIsADirectory:
      return "is_a_directory";
    case ErrorCode::kNotSupported:
      return "not_supported";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

namespace {
ErrorCode CodeForErrno(int errno_value) {
  switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
      return ErrorCode::kNoSpace;
    case ENOENT:
      return ErrorCode::kNotFound;
    case EACCES:
    case EPERM:
      return ErrorCode::kDenied;
    case EEXIST:
      return ErrorCode::kExists;
    case EBUSY:
      return ErrorCode::kBusy;
    case ENOTDIR:
      return ErrorCode::kNotADirectory;
    case EISDIR:
      return ErrorCode::kIsADirectory;
    default:
      return ErrorCode::kIo;
  }
}
}  // namespace

tl::unexpected<Error> FailErrno(int errno_value, std::string_view what) {
  return Fail(CodeForErrno(errno_value), std::string(what) + ": " + std::strerror(errno_value));
}

}  // namespace leat
