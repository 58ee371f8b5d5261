// SPDX-License-Identifier: Apache-2.0
// s3lab: an S3 endpoint on loopback for tests, demos and benchmarks. docs/s3lab.md
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "connection.h"
#include "generated_buckets.h"
#include "server.h"

namespace leat::s3lab {
namespace {

struct Arguments {
  uint16_t port = 9090;
  std::string port_file, directory, access_key, secret_key, region = "us-east-1", latency, slow, bandwidth;
  std::vector<std::string> synthetic, import_tree, print_synthetic;
  bool anonymous = false, log_requests = false;
  unsigned threads = 1;
  double rate = 0;
  uint64_t seed = 0;
};

Result<double> ParseNumber(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value >= 0))
    return Fail(ErrorCode::kInvalidArgument, "\"" + text + "\" is not a number, 0 or more");
  return value;
}

Result<ShapeSettings> ReadShape(const Arguments& arguments) {
  ShapeSettings shape;
  if (!arguments.latency.empty()) {
    const auto parts = Split(arguments.latency, ',');
    LEAT_ASSIGN_OR_RETURN(shape.latency_ms, ParseNumber(parts[0]));
    if (parts.size() > 1) {
      LEAT_ASSIGN_OR_RETURN(shape.latency_sigma, ParseNumber(parts[1]));
    }
  }
  if (!arguments.slow.empty()) {
    const auto parts = Split(arguments.slow, ',');
    if (parts.size() != 2) return Fail(ErrorCode::kInvalidArgument, "--slow takes PERCENT,MS");
    LEAT_ASSIGN_OR_RETURN(shape.slow_percent, ParseNumber(parts[0]));
    LEAT_ASSIGN_OR_RETURN(shape.slow_ms, ParseNumber(parts[1]));
  }
  if (!arguments.bandwidth.empty()) {
    LEAT_ASSIGN_OR_RETURN(shape.bandwidth_bytes_per_s, ParseBytes(arguments.bandwidth));
  }
  shape.rate_per_s = arguments.rate;
  return shape;
}

// "NAME=VALUE" of an option that may be given several times.
Result<std::pair<std::string, std::string>> SplitBucket(const std::string& text, std::string_view option) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos)
    return Fail(ErrorCode::kInvalidArgument, std::string(option) + " takes BUCKET=..., not " + text);
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

Status AddBuckets(const Arguments& arguments, Service* service) {
  LEAT_RETURN_IF_ERROR(service->OpenDirectory());
  for (const std::string& text : arguments.synthetic) {
    LEAT_ASSIGN_OR_RETURN(const auto named, SplitBucket(text, "--synthetic"));
    LEAT_ASSIGN_OR_RETURN(SyntheticSpec spec, SyntheticSpec::Parse(named.second));
    LEAT_ASSIGN_OR_RETURN(std::shared_ptr<const Bucket> bucket, SyntheticBucket::Create(std::move(spec)));
    LEAT_RETURN_IF_ERROR(service->AddBucket(named.first, std::move(bucket)));
  }
  for (const std::string& text : arguments.import_tree) {
    LEAT_ASSIGN_OR_RETURN(const auto named, SplitBucket(text, "--import-tree"));
    LEAT_ASSIGN_OR_RETURN(std::shared_ptr<const Bucket> bucket, TreeBucket::Create(named.second));
    LEAT_RETURN_IF_ERROR(service->AddBucket(named.first, std::move(bucket)));
  }
  return {};
}

Status PrintSynthetic(const Arguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(uint64_t offset, ParseUnsigned(arguments.print_synthetic[1]));
  LEAT_ASSIGN_OR_RETURN(uint64_t left, ParseUnsigned(arguments.print_synthetic[2]));
  LEAT_ASSIGN_OR_RETURN(const SyntheticPattern pattern, SyntheticPattern::Create(arguments.seed));
  while (left > 0) {
    const std::string bytes = pattern.Bytes(arguments.print_synthetic[0], offset, std::min(left, kSyntheticBlockBytes));
    if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size()) return FailErrno(errno, "cannot write");
    offset += bytes.size();
    left -= bytes.size();
  }
  if (std::fflush(stdout) != 0) return FailErrno(errno, "cannot write");
  return {};
}

Status Serve(const Arguments& arguments) {
  if (arguments.access_key.empty() != arguments.secret_key.empty())
    return Fail(ErrorCode::kInvalidArgument, "--access-key and --secret-key go together");
  if (arguments.access_key.empty() && !arguments.anonymous)
    return Fail(ErrorCode::kInvalidArgument,
                "give --access-key and --secret-key, or --anonymous to check no signature");
  LEAT_ASSIGN_OR_RETURN(const ShapeSettings settings, ReadShape(arguments));
  // The signals are taken below by sigwait; the loops inherit the mask.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  AuthorizerOptions authorizer;
  authorizer.access_key = arguments.access_key;
  authorizer.secret_key = s3::Secret(arguments.secret_key);
  authorizer.region = arguments.region;
  authorizer.anonymous = arguments.anonymous;
  Service service(std::move(authorizer), arguments.directory);
  LEAT_RETURN_IF_ERROR(AddBuckets(arguments, &service));
  Shape shape(settings, arguments.seed);
  FaultRules faults;
  Statistics statistics;
  Control control(faults, shape, statistics);
  Server server(Endpoint{service, control, faults, shape, statistics, arguments.log_requests});
  LEAT_RETURN_IF_ERROR(server.Listen(arguments.port));
  LEAT_RETURN_IF_ERROR(server.Start(arguments.threads));
  if (!arguments.port_file.empty())
    LEAT_RETURN_IF_ERROR(WriteFileAtomically(arguments.port_file, std::to_string(server.port()) + "\n", 0644, false));
  std::fprintf(stderr, "s3lab is a test tool: it keeps no promise about data, and misbehaves when asked to.\n");
  std::printf("s3lab listening on http://127.0.0.1:%u\n", server.port());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  server.Stop();
  return {};
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "s3lab: an S3 endpoint on 127.0.0.1 for tests, demos and benchmarks, with shaped latency, injected faults and "
      "synthetic\n"
      "buckets of any size. A test tool: do not keep data in it. Manual: docs/s3lab.md\n\n"
      "Example: s3lab --port 0 --anonymous --synthetic data=count=1000000,size=110000,seed=7 --latency-ms 30");
  app.add_option("--port", arguments.port, "port on 127.0.0.1; 0 picks a free one")->capture_default_str();
  app.add_option("--port-file", arguments.port_file, "write the port here once it listens");
  app.add_option("--directory", arguments.directory, "buckets that take writes live below it");
  app.add_option("--synthetic", arguments.synthetic,
                 "BUCKET=count=N,size=BYTES[-BYTES],layout=flat|nested:N[:N],prefix=P,seed=S,version=V, or "
                 "BUCKET=object=NAME,size=100G");
  app.add_option("--import-tree", arguments.import_tree, "BUCKET=PATH: a directory tree as a read-only bucket");
  app.add_option("--access-key", arguments.access_key, "the one access key id that is known");
  app.add_option("--secret-key", arguments.secret_key, "its secret");
  app.add_flag("--anonymous", arguments.anonymous,
               "unsigned requests pass; without keys, signatures are not checked either");
  app.add_option("--region", arguments.region, "the region that requests must be signed for")->capture_default_str();
  app.add_option("--threads", arguments.threads, "event loops")->capture_default_str()->check(CLI::Range(1, 64));
  app.add_option("--latency-ms", arguments.latency,
                 "MEDIAN[,SIGMA]: log-normal delay of the first byte; sigma 0.25 unless given");
  app.add_option("--slow", arguments.slow, "PERCENT,MS: that share of requests waits MS instead");
  app.add_option("--bandwidth", arguments.bandwidth, "bytes a second of each connection: 90M");
  app.add_option("--rate", arguments.rate, "requests a second; beyond it 503 SlowDown");
  app.add_option("--seed", arguments.seed, "of the delays, and of --print-synthetic");
  app.add_flag("--log-requests", arguments.log_requests, "a line for each request on standard error");
  app.add_option("--print-synthetic", arguments.print_synthetic,
                 "KEY OFFSET LENGTH: write those bytes to standard output and end")
      ->expected(3);
  CLI11_PARSE(app, argc, argv);
  const Status status = arguments.print_synthetic.empty() ? Serve(arguments) : PrintSynthetic(arguments);
  if (status) return 0;
  std::fprintf(stderr, "s3lab: %s\n", status.error().message.c_str());
  return 1;
}

}  // namespace
}  // namespace leat::s3lab

int main(int argc, char** argv) { return leat::s3lab::Main(argc, argv); }
