// SPDX-License-Identifier: Apache-2.0
#include "cli/daemon_client.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "cli/daemon_start.h"
#include "cli/mount_registry.h"
#include "cli/state_directory.h"
#include "control/client.h"
#include "control/protocol.h"
#include "fuse/mount.h"

extern char** environ;

namespace leat::cli {
namespace {

constexpr std::chrono::milliseconds kHelloWait{5'000};       // a daemon that does not answer in this time hangs
constexpr std::chrono::milliseconds kStartingWait{10'000};   // for a lock that is held by one that starts or ends
constexpr char kNotMounted[] = "no file system is mounted";  // what a daemon's answer begins with, too

std::string HomeDirectory() {
  if (const char* home = std::getenv("HOME"); home && home[0] == '/') return home;
  const passwd* entry = getpwuid(geteuid());
  return entry && entry->pw_dir ? entry->pw_dir : "/tmp";
}

Error NoDaemon(const std::string& state_directory) {
  return {ErrorCode::kNotFound, std::string(kNotMounted) + " from " + state_directory};
}

// True when no daemon holds the state directory's lock.
bool LockIsFree(const StatePaths& paths) {
  FileDescriptor lock(open(paths.Lock().c_str(), O_RDONLY | O_CLOEXEC));
  return !lock.valid() || flock(lock.get(), LOCK_EX | LOCK_NB) == 0;
}

Error Hangs(const StatePaths& paths) {
  const std::string pid(Trim(ReadFile(paths.Lock(), 64).value_or("")));
  return {ErrorCode::kTimedOut,
          "the daemon of " + paths.root + " (process " + (pid.empty() ? "unknown" : pid) + ") does not answer; see " +
              paths.DaemonLog() + (pid.empty() ? "" : ", then end it with: kill " + pid + " (or kill -9 " + pid + ")")};
}

// A connection to a daemon that has answered "hello".
Result<std::unique_ptr<control::Client>> Greet(const StatePaths& paths) {
  LEAT_ASSIGN_OR_RETURN(auto client, control::Client::Connect(paths.Socket(), kHelloWait));
  auto hello = client->Call({{"verb", "hello"}}, kHelloWait);
  if (!hello && hello.error().code == ErrorCode::kTimedOut) return Fail(Hangs(paths));
  if (!hello) return Fail(hello.error());
  return client;
}

Result<std::unique_ptr<control::Client>> Reach(const std::string& state_directory, StartPolicy start,
                                               const DaemonLimits& limits) {
  const StatePaths paths(state_directory);
  const auto deadline = std::chrono::steady_clock::now() + kStartingWait;
  for (;;) {
    auto client = Greet(paths);
    // kCancelled: it was just ending.
    if (client || (client.error().code != ErrorCode::kNotFound && client.error().code != ErrorCode::kCancelled)) {
      return client;
    }
    if (LockIsFree(paths)) {
      if (start == StartPolicy::kMustRun) return Fail(NoDaemon(state_directory));
      // kBusy: another command has started one in the meantime.
      if (auto started = StartDaemonProcess(state_directory, limits);
          !started && started.error().code != ErrorCode::kBusy) {
        return Fail(started.error());
      }
    }
    if (std::chrono::steady_clock::now() > deadline) return Fail(Hangs(paths));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace

std::string DefaultStateDirectory() {
  if (const char* directory = std::getenv("LEAT_STATE_DIR"); directory && directory[0] == '/') return directory;
  if (geteuid() == 0) return "/var/lib/leat";
  if (const char* state = std::getenv("XDG_STATE_HOME"); state && state[0] == '/') return std::string(state) + "/leat";
  return HomeDirectory() + "/.local/state/leat";
}

Json RepositoryEnvironment(const std::vector<std::string>& environment) {
  constexpr std::string_view kNames[] = {"HOME",        "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "HTTP_PROXY",
                                         "HTTPS_PROXY", "NO_PROXY",      "http_proxy",   "https_proxy",    "no_proxy"};
  Json variables = Json::object();
  for (const std::string_view text : environment) {
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = text.substr(0, equals);
    bool wanted = name.substr(0, 4) == "AWS_";
    for (const std::string_view one : kNames) wanted = wanted || name == one;
    if (wanted) variables[std::string(name)] = std::string(text.substr(equals + 1));
  }
  if (!variables.contains("HOME")) variables["HOME"] = HomeDirectory();
  return variables;
}

Json CallerEnvironment() {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable; ++variable) variables.emplace_back(*variable);
  return RepositoryEnvironment(variables);
}

Result<Json> CallDaemon(const std::string& state_directory, const Json& request, StartPolicy start,
                        const std::function<void(const Json&)>& on_progress) {
  DaemonLimits limits;
  LEAT_ASSIGN_OR_RETURN(const uint64_t capacity, control::UnsignedMember(request, "capacity_bytes", 0));
  if (capacity > 0) limits.capacity_bytes = capacity;
  LEAT_ASSIGN_OR_RETURN(const uint64_t memory, control::UnsignedMember(request, "memory_bytes", 0));
  if (memory > 0) limits.memory_bytes = memory;
  // A daemon may end of itself between the greeting and the request, when its last file system has just been unmounted;
  // or answer that it is about to.
  const auto deadline = std::chrono::steady_clock::now() + kStartingWait;
  for (;;) {
    LEAT_ASSIGN_OR_RETURN(const auto client, Reach(state_directory, start, limits));
    bool told_anything = false;
    auto result = client->Call(request, kSilenceMax, [&](const Json& progress) {
      told_anything = true;
      if (on_progress) on_progress(progress);
    });
    const bool ended = !result && result.error().code == ErrorCode::kCancelled && !told_anything;
    if (!ended || start == StartPolicy::kMustRun || std::chrono::steady_clock::now() > deadline) return result;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

namespace {

// Of a request about the file system at `mountpoint`: who serves it, when that is the reason.
Error Explained(const std::string& mountpoint, Error error) {
  const ErrorCode code = error.code;
  if (code != ErrorCode::kNotFound && code != ErrorCode::kDenied && code != ErrorCode::kCancelled) return error;
  const auto found = fuse::InspectMountpoint(mountpoint);
  if (found == fuse::MountpointState::kDead) {
    return {ErrorCode::kUnavailable,
            mountpoint + ": its daemon is gone: leat unmount " + mountpoint + ", or leat mount again"};
  }
  // The daemon answers kNotFound also for a path that is not there.
  const bool is_not_its_own = code == ErrorCode::kNotFound && error.message.rfind(kNotMounted, 0) == 0;
  if (!is_not_its_own) return error;
  if (found != fuse::MountpointState::kLeatMounted) return {ErrorCode::kUnavailable, error.message};
  const auto user = UserOfMount(ReadFile("/proc/self/mountinfo").value_or(""), mountpoint);
  if (user && *user != geteuid()) {
    return {ErrorCode::kDenied, mountpoint + " is served by another user's daemon (user id " + std::to_string(*user) +
                                    "); run the command as that user"};
  }
  return {ErrorCode::kUnavailable,
          mountpoint + " is served by another daemon; name its state directory with --state-dir"};
}

}  // namespace

Result<Json> CallMounted(const std::string& state_directory, const std::string& mountpoint, Json request,
                         const std::function<void(const Json&)>& on_progress) {
  request["mountpoint"] = mountpoint;
  auto result = CallDaemon(state_directory, request, StartPolicy::kMustRun, on_progress);
  if (!result) return Fail(Explained(mountpoint, result.error()));
  return result;
}

MountedConnection::MountedConnection(std::unique_ptr<control::Client> client, std::string mountpoint)
    : client_(std::move(client)), mountpoint_(std::move(mountpoint)) {}
MountedConnection::~MountedConnection() = default;

Result<std::unique_ptr<MountedConnection>> MountedConnection::Open(const std::string& state_directory,
                                                                   const std::string& mountpoint) {
  auto client = Reach(state_directory, StartPolicy::kMustRun, {});
  if (!client) return Fail(Explained(mountpoint, client.error()));
  return std::unique_ptr<MountedConnection>(new MountedConnection(std::move(*client), mountpoint));
}

Result<Json> MountedConnection::Call(Json request, const std::function<void(const Json&)>& on_progress) {
  request["mountpoint"] = mountpoint_;
  auto result = client_->Call(request, kSilenceMax, on_progress);
  if (!result) return Fail(Explained(mountpoint_, result.error()));
  return result;
}

Error WithPath(const std::string& path, const std::string& mountpoint, Error error) {
  if (error.message.rfind(mountpoint, 0) != 0) error.message = path + ": " + error.message;
  return error;
}

Result<ManagedMount> EnsureManagedMount(const std::string& state_directory, const ManagedMountRequest& request) {
  Json message = {{"verb", "mount"},
                  {"managed", true},
                  {"repository", request.repository},
                  {"environment", request.environment.is_null() ? CallerEnvironment() : request.environment}};
  if (!request.endpoint_url.empty()) message["endpoint_url"] = request.endpoint_url;
  if (!request.region.empty()) message["region"] = request.region;
  if (!request.profile.empty()) message["profile"] = request.profile;
  if (request.no_sign_request) message["no_sign_request"] = true;
  LEAT_ASSIGN_OR_RETURN(const Json result, CallDaemon(state_directory, message, StartPolicy::kStartIfAbsent));
  ManagedMount mount;
  LEAT_ASSIGN_OR_RETURN(mount.file_system, control::StringMember(result, "id"));
  LEAT_ASSIGN_OR_RETURN(mount.name, control::StringMember(result, "name"));
  LEAT_ASSIGN_OR_RETURN(mount.mountpoint, control::StringMember(result, "mountpoint"));
  return mount;
}

struct Lease::Connection {
  std::mutex mutex;  // one request at a time
  std::unique_ptr<control::Client> client;
};

Lease::Lease(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
Lease::~Lease() = default;

Result<std::unique_ptr<Lease>> Lease::Take(const std::string& state_directory, const std::string& file_system,
                                           int owner_pid) {
  LEAT_ASSIGN_OR_RETURN(auto client, Reach(state_directory, StartPolicy::kMustRun, {}));
  const Json request = {
      {"verb", "lease"}, {"file_system", file_system}, {"owner_pid", owner_pid ? owner_pid : getpid()}};
  LEAT_ASSIGN_OR_RETURN(const Json ignored, client->Call(request, kSilenceMax));
  auto connection = std::make_unique<Connection>();
  connection->client = std::move(client);
  return std::unique_ptr<Lease>(new Lease(std::move(connection)));
}

// Without the lock: a request under way holds it for long, and sees the same end.
bool Lease::IsLost() const { return connection_->client->HasDaemonEnded(); }

Status Lease::SetOwners(const std::vector<int>& pids) {
  std::lock_guard lock(connection_->mutex);
  LEAT_ASSIGN_OR_RETURN(const Json ignored,
                        connection_->client->Call({{"verb", "lease_owner"}, {"owner_pids", pids}}, kSilenceMax));
  return {};
}

}  // namespace leat::cli
