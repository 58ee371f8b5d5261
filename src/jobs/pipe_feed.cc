// SPDX-License-Identifier: Apache-2.0
#include "jobs/pipe_feed.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "base/log.h"
#include "jobs/gunzip.h"
#include "jobs/record_io.h"

namespace leat::jobs {
namespace {

constexpr unsigned kConnections = 32;
constexpr int kReaderPollMs = 10;           // how soon a reader is seen
constexpr int kPipeBytes = 1 << 20;         // asked of the kernel, which may refuse
constexpr size_t kBufferBytes = 256 << 10;  // small writes are gathered up to this

std::span<const std::byte> BytesOf(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

// The writing end of an epoch's pipe. Every failure is kCancelled (the feed shall stop, or `reader_is_gone`) or the
// system's.
class PipeFeed::Pipe {
 public:
  Pipe(int fd, int stop_event) : fd_(fd), stop_event_(stop_event) {
    (void)fcntl(fd, F_SETPIPE_SZ, kPipeBytes);
    buffer_.reserve(kBufferBytes);
  }
  bool reader_is_gone() const { return reader_is_gone_; }

  Status Write(std::span<const std::byte> bytes) {
    if (buffer_.size() + bytes.size() > kBufferBytes) LEAT_RETURN_IF_ERROR(Flush());
    if (bytes.size() > kBufferBytes) return WriteNow(bytes);
    buffer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  }
  Status Flush() {
    LEAT_RETURN_IF_ERROR(WriteNow(BytesOf(buffer_)));
    buffer_.clear();
    return {};
  }

 private:
  Status WriteNow(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t wrote = write(fd_, bytes.data(), bytes.size());
      if (wrote > 0) {
        bytes = bytes.subspan(static_cast<size_t>(wrote));
      } else if (errno == EPIPE) {
        reader_is_gone_ = true;
        return Fail(ErrorCode::kCancelled, "the reader has closed the pipe");
      } else if (errno == EAGAIN) {
        pollfd waiting[] = {{fd_, POLLOUT, 0}, {stop_event_, POLLIN, 0}};
        (void)poll(waiting, 2, -1);
        if (waiting[1].revents != 0) return Fail(ErrorCode::kCancelled, "stopped");
      } else if (errno != EINTR) {
        return FailErrno(errno, "writing to the pipe");
      }
    }
    return {};
  }

  const int fd_, stop_event_;
  std::string buffer_;
  bool reader_is_gone_ = false;
};

PipeFeed::PipeFeed(RepositoryFactory& factory, const Channel& channel, HostShare share)
    : channel_(channel), share_(share), repositories_(factory, kConnections) {}

Result<std::unique_ptr<PipeFeed>> PipeFeed::Start(RepositoryFactory& factory, const Channel& channel, HostShare share,
                                                  const std::string& data_directory, const StopCheck& stopped) {
  LEAT_CHECK(channel.s3 && channel.input_mode == InputMode::kPipe);
  std::unique_ptr<PipeFeed> feed(new PipeFeed(factory, channel, share));
  LEAT_RETURN_IF_ERROR(feed->Prepare(data_directory, stopped));
  feed->ahead_ = feed->ReadEpoch(0);
  feed->ahead_->Fill();
  feed->thread_ = std::thread([raw = feed.get()] { raw->Run(); });
  return feed;
}

PipeFeed::~PipeFeed() {
  bell_->Stop();
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  LEAT_CHECK(write(stop_event_.get(), &one, sizeof one) == sizeof one);
  thread_.join();
}

std::optional<Error> PipeFeed::failure() const {
  std::lock_guard lock(mutex_);
  return failure_;
}

Status PipeFeed::Prepare(const std::string& data_directory, const StopCheck& stopped) {
  const S3Source& source = *channel_.s3;
  if (source.type == S3DataType::kAugmentedManifest) {
    LEAT_ASSIGN_OR_RETURN(env::ObjectStore * store, repositories_.Of(LocationOfObject(source.uri).repository));
    LEAT_ASSIGN_OR_RETURN(std::string text,
                          ReadManifestObject(*store, source.uri, kAugmentedManifestBytesMax, stopped));
    LEAT_ASSIGN_OR_RETURN(manifest_, AugmentedManifest::Parse(std::move(text), source.uri, source.attribute_names));
    if (manifest_->line_count() == 0) return NoObjectsBelow(source.uri);
    for (const auto& repository : manifest_->repositories()) {
      const auto opened = repositories_.Of(repository);
      if (!opened) return Fail(opened.error());
    }
  } else {
    LEAT_ASSIGN_OR_RETURN(listing_, ListChannel(repositories_, channel_, stopped));
  }
  // Held open: the script may put something else into the directory's place.
  directory_ = FileDescriptor(open(data_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory_.valid()) return FailErrno(errno, data_directory);
  stop_event_ = FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_event_.valid()) return FailErrno(errno, "eventfd");
  return MakePipe(0);
}

Status PipeFeed::MakePipe(uint64_t epoch) {
  if (mkfifoat(directory_.get(), PipeName(epoch).c_str(), 0644) == 0) return {};
  if (errno != EEXIST) return FailErrno(errno, "making the pipe " + PipeName(epoch));
  return Fail(ErrorCode::kExists, "the pipe " + PipeName(epoch) + " cannot be made: something of that name is there");
}

std::unique_ptr<ReadAhead> PipeFeed::ReadEpoch(uint64_t epoch) {
  if (manifest_) return ReadLines(OrderOf(manifest_->line_count(), channel_, share_, epoch));
  auto next = [this, order = OrderOf(listing_.objects.size(), channel_, share_, epoch),
               at = size_t{0}]() mutable -> std::optional<StreamPart> {
    if (at == order.size()) return std::nullopt;
    const ChannelObject& object = listing_.objects[order[at++]];
    return StreamPart{
        listing_.store, "", object.key, object.etag, object.size_bytes, listing_.repository_url + "/" + object.key};
  };
  return std::make_unique<ReadAhead>(std::move(next), bell_);
}

std::unique_ptr<ReadAhead> PipeFeed::ReadLines(std::vector<uint32_t> order) {
  auto next = [this, order = std::move(order), at = size_t{0}, line = std::vector<ManifestAttribute>(),
               attribute = size_t{0}]() mutable -> std::optional<StreamPart> {
    if (attribute == line.size()) {
      if (at == order.size()) return std::nullopt;
      line = manifest_->Line(order[at++]);
      attribute = 0;
    }
    ManifestAttribute& value = line[attribute++];
    StreamPart part;
    if (!value.is_reference) {
      part.literal = std::move(value.value);
      return part;
    }
    ReferenceLocation location = LocationOfReference(value.value);
    part.store = *repositories_.Of(location.repository);  // opened in Prepare
    part.key = std::move(location.key);
    part.uri = std::move(value.value);
    return part;
  };
  return std::make_unique<ReadAhead>(std::move(next), bell_);
}

void PipeFeed::Run() {
  // A reader that is gone shall give EPIPE, and not end the process.
  sigset_t pipe_signal;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_signal, nullptr);
  for (uint64_t epoch = 0; epoch == 0 || !bell_->stopped(); ++epoch) {  // the first pipe is removed in any case
    Status status = epoch == 0 ? Status() : MakePipe(epoch);            // the first one is there already
    const bool is_made = status.has_value();
    if (status) status = Epoch(epoch);
    if (!status && !bell_->stopped()) FailUntilStopped(status.error());
    if (is_made) unlinkat(directory_.get(), PipeName(epoch).c_str(), 0);
    writer_.Reset();
    if (status) ++epochs_ended_;
  }
}

// The pipe stays, and open, until the script is gone.
void PipeFeed::FailUntilStopped(const Error& error) {
  ahead_.reset();
  {
    std::lock_guard lock(mutex_);
    failure_ = Error{error.code, "channel " + channel_.name + ": " + error.message};
  }
  pollfd waiting{stop_event_.get(), POLLIN, 0};
  while (poll(&waiting, 1, -1) < 0 && errno == EINTR) {
  }
}

Status PipeFeed::Epoch(uint64_t epoch) {
  LEAT_RETURN_IF_ERROR(WaitForReader(epoch));
  // Later epochs are read from when they are wanted: the last one that is offered is never read.
  if (!ahead_) ahead_ = ReadEpoch(epoch);
  Pipe pipe(writer_.get(), stop_event_.get());
  Status status = WriteAll(*ahead_, pipe);
  if (status) status = pipe.Flush();
  if (status || pipe.reader_is_gone()) {
    ahead_.reset();
    return {};
  }
  return status;
}

Status PipeFeed::WaitForReader(uint64_t epoch) {
  const std::string name = PipeName(epoch);
  for (;;) {
    if (bell_->stopped()) return Fail(ErrorCode::kCancelled, "stopped");
    writer_ = FileDescriptor(openat(directory_.get(), name.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
    if (writer_.valid()) break;
    if (errno != ENXIO && errno != EINTR) return FailErrno(errno, "the pipe " + name + " is not what it was");
    pollfd waiting{stop_event_.get(), POLLIN, 0};
    (void)poll(&waiting, 1, kReaderPollMs);
  }
  struct stat info {};
  if (fstat(writer_.get(), &info) == 0 && S_ISFIFO(info.st_mode)) return {};
  writer_.Reset();
  return Fail(ErrorCode::kIo, "something else is in the place of the pipe " + name);
}

Status PipeFeed::WriteAll(ReadAhead& stream, Pipe& pipe) {
  for (;;) {
    // What has been gathered is not held back while more is waited for.
    if (stream.MustWait()) LEAT_RETURN_IF_ERROR(pipe.Flush());
    LEAT_ASSIGN_OR_RETURN(const bool has_part, stream.Next());
    if (!has_part) return {};
    if (channel_.is_gzip && !stream.is_literal()) {
      LEAT_RETURN_IF_ERROR(WriteUnpacked(stream, pipe));
    } else {
      LEAT_RETURN_IF_ERROR(WritePart(stream, pipe));
    }
  }
}

Status PipeFeed::WritePart(ReadAhead& stream, Pipe& pipe) {
  RecordWriter record([&pipe](std::span<const std::byte> bytes) { return pipe.Write(bytes); });
  if (channel_.is_record_io) LEAT_RETURN_IF_ERROR(record.Begin(stream.size_bytes()));
  for (;;) {
    if (stream.MustWait()) LEAT_RETURN_IF_ERROR(pipe.Flush());
    LEAT_ASSIGN_OR_RETURN(const std::string bytes, stream.Read());
    if (bytes.empty()) break;
    LEAT_RETURN_IF_ERROR(channel_.is_record_io ? record.Write(BytesOf(bytes)) : pipe.Write(BytesOf(bytes)));
  }
  return channel_.is_record_io ? record.End() : Status();
}

Status PipeFeed::WriteUnpacked(ReadAhead& stream, Pipe& pipe) {
  Gunzip gunzip;
  std::string whole;  // of a record, whose header tells its size
  const ByteSink sink = [&](std::span<const std::byte> bytes) -> Status {
    if (!channel_.is_record_io) return pipe.Write(bytes);
    if (whole.size() + bytes.size() > kRecordBytesMax) {
      return Fail(ErrorCode::kNotSupported,
                  "it unpacks to more than a RecordIO record can have (512 MiB); store it unpacked, or in parts");
    }
    whole.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  };
  const auto about = [&](Status status) -> Status {
    if (status || status.error().code == ErrorCode::kCancelled) return status;
    return Fail(status.error().code, EscapeForDisplay(stream.uri()) + ": " + status.error().message);
  };
  for (;;) {
    if (stream.MustWait()) LEAT_RETURN_IF_ERROR(pipe.Flush());
    LEAT_ASSIGN_OR_RETURN(const std::string bytes, stream.Read());
    if (bytes.empty()) break;
    LEAT_RETURN_IF_ERROR(about(gunzip.Write(BytesOf(bytes), sink)));
  }
  LEAT_RETURN_IF_ERROR(about(gunzip.End()));
  if (!channel_.is_record_io) return {};
  RecordWriter record([&pipe](std::span<const std::byte> bytes) { return pipe.Write(bytes); });
  LEAT_RETURN_IF_ERROR(record.Begin(whole.size()));
  LEAT_RETURN_IF_ERROR(record.Write(BytesOf(whole)));
  return record.End();
}

}  // namespace leat::jobs
