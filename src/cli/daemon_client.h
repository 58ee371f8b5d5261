// SPDX-License-Identifier: Apache-2.0
// How the verbs of the command line talk to the daemon of a state directory: find it, start it, call it.
//
// Threads: any; every call opens a connection of its own. Nothing here waits for ever: a daemon that says nothing for
// kSilenceMax is given up on with kTimedOut (long requests send progress every second). Errors are one line, ready to
// show.
//
//   LEAT_ASSIGN_OR_RETURN(Json result, CallDaemon(DefaultStateDirectory(), {{"verb", "status"}},
//   StartPolicy::kMustRun));
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace leat::control {
class Client;
}

namespace leat::cli {

using Json = nlohmann::json;

inline constexpr std::chrono::seconds kSilenceMax{45};

// root: /var/lib/leat. Others: $XDG_STATE_HOME/leat, or ~/.local/state/leat. LEAT_STATE_DIR overrides both.
std::string DefaultStateDirectory();

// {"AWS_...": "...", "HOME": "...", ...}: what a mount needs to find credentials as the caller would. Secret: goes only
// over the control socket, as the "environment" member of a mount request.
Json CallerEnvironment();
// The same of somebody else's variables (NAME=value).
Json RepositoryEnvironment(const std::vector<std::string>& variables);

enum class StartPolicy {
  kMustRun,        // no daemon: kNotFound
  kStartIfAbsent,  // starts one, detached, with request["capacity_bytes"] and ["memory_bytes"], if there
};

// Sends one request ({"verb": ..., ...}), passes each progress object on, returns the result object. A failure keeps
// the daemon's own code and message.
Result<Json> CallDaemon(const std::string& state_directory, const Json& request, StartPolicy start,
                        const std::function<void(const Json& progress)>& on_progress = {});

// The same about the file system at `mountpoint`, which becomes a member of the request. When nobody serves it, the
// error (never kNotFound, which is a path's) says whether its daemon is gone or another user's, and what to do.
Result<Json> CallMounted(const std::string& state_directory, const std::string& mountpoint, Json request,
                         const std::function<void(const Json&)>& on_progress = {});

// The same for several requests over one connection, which belong together to the daemon. Confined to one thread.
class MountedConnection {
 public:
  static Result<std::unique_ptr<MountedConnection>> Open(const std::string& state_directory,
                                                         const std::string& mountpoint);
  ~MountedConnection();
  Result<Json> Call(Json request, const std::function<void(const Json&)>& on_progress = {});

 private:
  MountedConnection(std::unique_ptr<control::Client> client, std::string mountpoint);
  std::unique_ptr<control::Client> client_;
  const std::string mountpoint_;
};

// `error` of CallMounted with `path` in front, unless it tells of the mount as a whole and names that already.
Error WithPath(const std::string& path, const std::string& mountpoint, Error error);

// A repository as a job uses it: mounted by the daemon at a place of its own, or wherever it is mounted already.
// The daemon unmounts it after an hour without use; a Lease keeps it.
struct ManagedMountRequest {
  std::string repository;                     // "s3://bucket/prefix/" or "file:///path"
  std::string endpoint_url, region, profile;  // empty: from the environment
  bool no_sign_request = false;
  Json environment;  // RepositoryEnvironment; null: the caller's
};
struct ManagedMount {
  std::string file_system;  // "fs-..."
  std::string name;
  std::string mountpoint;  // absolute
};
Result<ManagedMount> EnsureManagedMount(const std::string& state_directory, const ManagedMountRequest& request);

// Keeps a file system mounted and its cached data from being evicted for as long as this object lives (a connection to
// the daemon stays open: the lease ends with the process, however it ends). Any thread.
class Lease {
 public:
  // `file_system`: an id or a name. `owner_pid`: the process that, with all that descend from it, is the job, whose
  // reads are counted (a file system's "jobs" in the daemon's status); 0: the caller.
  static Result<std::unique_ptr<Lease>> Take(const std::string& state_directory, const std::string& file_system,
                                             int owner_pid = 0);
  // From here on the job is another process, or several, and counted anew, or on from where these were counted last. An
  // owner that has ended is no error. kNotSupported: the daemon is older.
  Status SetOwners(const std::vector<int>& pids);
  Status SetOwner(int pid) { return SetOwners({pid}); }
  // Whether the daemon has ended, and the file system with it.
  bool IsLost() const;
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

 private:
  struct Connection;
  explicit Lease(std::unique_ptr<Connection> connection);
  std::unique_ptr<Connection> connection_;
};

}  // namespace leat::cli
