// SPDX-License-Identifier: Apache-2.0
#include "fuse/session.h"

#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "base/log.h"
#include "fuse/library_log.h"

namespace leat::fuse {
namespace {

constexpr int kWakeIntervalMilliseconds = 5;

// Ends a blocking read of the device. Nothing else uses this signal; its handler does nothing.
int WakeSignal() { return SIGRTMIN + 6; }

void InstallWakeSignal() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigemptyset(&action.sa_mask);
    sigaction(WakeSignal(), &action, nullptr);  // without SA_RESTART: the read must end
  });
}

// Debian 12's libfuse (3.14) never passes FUSE_PARALLEL_DIROPS on (libfuse's pull request 861): the kernel would then
// hold a lock of the directory through each look-up, and a listing that waits for S3 would hold up every name beside
// it. So the reply to INIT, the first reply of a session, gets the flag on its way.
ssize_t WriteReply(int file, struct iovec* pieces, int count, void* userdata) {
  Server& server = *static_cast<Server*>(userdata);
  if (!server.init_replied.exchange(true) && count == 2 &&
      pieces[1].iov_len >= offsetof(fuse_init_out, flags) + sizeof(uint32_t)) {
    uint32_t flags = 0;
    char* const at = static_cast<char*>(pieces[1].iov_base) + offsetof(fuse_init_out, flags);
    std::memcpy(&flags, at, sizeof flags);
    if (server.parallel_directories) flags |= FUSE_PARALLEL_DIROPS;
    std::memcpy(at, &flags, sizeof flags);
  }
  return writev(file, pieces, count);
}

ssize_t ReadRequest(int file, void* buffer, size_t size, void*) { return read(file, buffer, size); }

}  // namespace

Result<std::unique_ptr<Session>> Session::Mount(const std::string& mountpoint, const std::string& mount_options,
                                                Server& server) {
  std::unique_ptr<Session> session(new Session());
  CaptureLibraryLog();
  (void)TakeLibraryMessages();
  fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
  fuse_opt_add_arg(&arguments, "leat");
  fuse_opt_add_arg(&arguments, ("-o" + mount_options).c_str());
  session->session_ = fuse_session_new(&arguments, &Operations(), sizeof(fuse_lowlevel_ops), &server);
  fuse_opt_free_args(&arguments);
  if (session->session_ == nullptr) return Fail(ErrorCode::kInternal, "libfuse refuses: " + TakeLibraryMessages());
  if (fuse_session_mount(session->session_, mountpoint.c_str()) != 0) {
    std::string why = TakeLibraryMessages();
    if (why.empty()) why = "no reason given";
    return Fail(ErrorCode::kDenied, "cannot mount at " + mountpoint + ": " + why);
  }
  fuse_custom_io io{};
  io.read = ReadRequest;
  io.writev = WriteReply;
  const int device = fuse_session_fd(session->session_);
  if (const int result = fuse_session_custom_io(session->session_, &io, device); result != 0) {
    return FailErrno(-result, "libfuse does not take its input and output from us");
  }
  return session;
}

Session::~Session() {
  if (session_ == nullptr) return;
  Stop();
  // Detached by the owner where that could be done; closing the device ends the connection in any case.
  fuse_session_destroy(session_);
}

Status Session::Start(unsigned threads, std::function<void()> ended) {
  InstallWakeSignal();
  ended_ = std::move(ended);
  running_ = threads;
  // Signals of the process are for other threads.
  sigset_t all, before;
  sigfillset(&all);
  sigdelset(&all, WakeSignal());
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = 0;
  for (unsigned i = 0; i < threads && error == 0; ++i) {
    pthread_t thread;
    error = pthread_create(&thread, nullptr, &Session::RunThread, this);
    if (error == 0) {
      pthread_setname_np(thread, "leat-fuse");
      threads_.push_back(thread);
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error == 0) return {};
  running_ -= threads - static_cast<unsigned>(threads_.size());
  return FailErrno(error, "cannot start the threads of the mount");
}

void* Session::RunThread(void* self) {
  auto* session = static_cast<Session*>(self);
  session->Receive();
  if (--session->running_ == 0 && !session->stopping_ && session->ended_) session->ended_();
  return nullptr;
}

void Session::Receive() {
  fuse_buf buffer{};
  while (!stopping_ && !fuse_session_exited(session_)) {
    const int received = fuse_session_receive_buf(session_, &buffer);
    if (received == -EINTR || received == -EAGAIN) continue;
    if (received <= 0) break;  // 0: unmounted; else the connection is lost
    fuse_session_process_buf(session_, &buffer);
  }
  std::free(buffer.mem);
}

void Session::Stop() {
  stopping_ = true;
  // A signal that comes just before the read does not end it: so until all have left.
  while (running_ > 0) {
    for (const pthread_t thread : threads_) pthread_kill(thread, WakeSignal());
    poll(nullptr, 0, kWakeIntervalMilliseconds);
  }
  for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
  threads_.clear();
}

}  // namespace leat::fuse
