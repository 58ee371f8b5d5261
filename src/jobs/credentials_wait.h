// SPDX-License-Identifier: Apache-2.0
// A job that another supervisor has begun may find itself without AWS credentials: they are in no file, and the command
// that started this supervisor had none. Its work waits then for a command that brings some. Any thread.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "base/result.h"
#include "jobs/services.h"

namespace leat::jobs {

inline constexpr std::chrono::hours kCredentialsPatience{24};

// A repository of the job's that needs credentials; empty: none does.
std::string BucketOf(const TrainingJob& job);

// Whether that is so for `url`, by a LIST; false of an empty one, and of one of a directory.
bool LacksCredentials(RepositoryFactory& repositories, const std::string& url, const StopCheck& stopped);

// Returns as soon as that is not so, or no more to be told, for any other failure shows in what comes next. `on_wait`
// is called once when it has to be waited. kNoCredentials: none came before `deadline`. kCancelled: stopped.
Status AwaitCredentials(RepositoryFactory& repositories, const std::string& url, const StopCheck& stopped,
                        const std::function<void()>& on_wait, std::chrono::steady_clock::time_point deadline);

}  // namespace leat::jobs
