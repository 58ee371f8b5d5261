// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value or an Error. Every function whose failure is expected returns one; a broken invariant is a CHECK
// (base/check.h) instead. Exceptions never cross a thread or a callback.
//
//   Result<int> Parse(std::string_view text);
//   LEAT_ASSIGN_OR_RETURN(const int n, Parse(text));
//   return Fail(ErrorCode::kInvalidArgument, "not a number: " + text);
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace leat {

// What went wrong, in words that decide what the caller does. One mapping to errno exists, in fuse/errno.h.
enum class ErrorCode {
  kInvalidArgument,  // the caller's input is wrong; the message says what to write instead
  kNotFound,         // no such key, path, job
  kNoSuchBucket,     // the bucket (or repository directory) itself is not there
  kExists,           // a thing of that name is there already
  kDenied,           // the repository or the system refuses: permissions, expired credentials
  kNoCredentials,    // no credentials found anywhere in the chain
  kWrongRegion,      // the bucket is in another region than the one signed for
  kObjectChanged,    // the object is no longer the version that was asked for (412)
  kArchivedStorage,  // the object is in Glacier and not restored there (InvalidObjectState)
  kThrottled,        // 503 SlowDown and its kin, after the retry budget
  kUnavailable,      // 5xx, connection failures, after the retry budget
  kTimedOut,         // a deadline passed
  kCancelled,        // the caller cancelled, or the process is stopping
  kProtocol,         // the other side answered something that its protocol does not allow
  kCorrupt,          // bytes do not match their checksum or identity
  kNoSpace,          // the disk, the capacity or a quota is full
  kIo,               // a local system call failed
  kBusy,             // in use: mounted, locked, dirty
  kNotADirectory,
  kIsADirectory,
  kNotSupported,
  kInternal,
};

// "not_found": for logs and --json; stable.
std::string_view ErrorCodeName(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // what happened, to what, and what to do next; no trailing full stop, no secret
};

template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Status = Result<void>;

inline tl::unexpected<Error> Fail(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}
inline tl::unexpected<Error> Fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

// Fail(kIo, "<what>: <strerror(errno)>"); ENOSPC/EDQUOT become kNoSpace, ENOENT kNotFound, EACCES/EPERM kDenied,
// EEXIST kExists, EBUSY kBusy.
tl::unexpected<Error> FailErrno(int errno_value, std::string_view what);

}  // namespace leat

#define LEAT_CONCAT_INNER_(a, b) a##b
#define LEAT_CONCAT_(a, b) LEAT_CONCAT_INNER_(a, b)
#define LEAT_RETURN_IF_ERROR(expression)                                                                       \
  do {                                                                                                         \
    if (auto leat_status_ = (expression); !leat_status_) return ::leat::Fail(std::move(leat_status_).error()); \
  } while (false)
#define LEAT_ASSIGN_OR_RETURN(declaration, expression)                            \
  auto LEAT_CONCAT_(leat_result_, __LINE__) = (expression);                       \
  if (!LEAT_CONCAT_(leat_result_, __LINE__))                                      \
    return ::leat::Fail(std::move(LEAT_CONCAT_(leat_result_, __LINE__)).error()); \
  declaration = std::move(*LEAT_CONCAT_(leat_result_, __LINE__))
