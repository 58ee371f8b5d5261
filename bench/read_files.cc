// SPDX-License-Identifier: Apache-2.0
// read_files: reads files as a training job's data loader does, on any file system, and says how fast that was.
//
// Which system calls read a sample: sample_reader.h. What an emulated accelerator is: emulated_accelerator.h. The
// threads of an epoch take the next sample of one common order, as a loader's workers do; epochs do not overlap.
// Reading the list and shuffling it are not measured.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/text.h"
#include "emulated_accelerator.h"
#include "measurement.h"
#include "sample_list.h"
#include "sample_reader.h"

namespace leat::bench {
namespace {

constexpr const char* kProgram = "read_files";
constexpr uint64_t kReadBytesMax = uint64_t{1} << 30;
constexpr rlim_t kOtherDescriptors = 64;

using Clock = std::chrono::steady_clock;

struct Arguments {
  std::string list, root, order = "shuffled", read_bytes = "1M", accelerator;
  unsigned threads = 1, epochs = 1, queue_batches = 4;
  uint64_t seed = 1;
  std::optional<uint32_t> batch;
  std::optional<double> compute_ms;
  ReadOptions read;
};

// One thread's share, over all epochs.
struct Worker {
  Worker(const SampleList& list, const ReadOptions& options) : reader(list, options) {}
  SampleReader reader;
  std::vector<uint64_t> latencies_ns;  // one a sample, without the wait for room in the queue
  uint64_t errors = 0;
  std::string first_error;
  std::optional<Clock::time_point> first_done;
};

struct Epoch {
  Measured measured;
  uint64_t files = 0;
  std::optional<Steps> steps;
};

struct AcceleratorSettings {
  uint32_t batch = 0;
  std::chrono::nanoseconds compute{0};
  std::optional<double> utilisation_target;
};

Result<std::optional<AcceleratorSettings>> ReadAccelerator(const Arguments& arguments) {
  std::optional<AcceleratorSettings> none;
  if (arguments.accelerator.empty() && !arguments.batch && !arguments.compute_ms) return none;
  AcceleratorPreset preset;
  for (const AcceleratorPreset& each : kAcceleratorPresets) {
    if (each.name == arguments.accelerator) preset = each;
  }
  if (preset.name.empty() && !(arguments.batch && arguments.compute_ms))
    return Fail(ErrorCode::kInvalidArgument,
                "an accelerator needs --batch and --compute-ms, or --accelerator, which names both");
  AcceleratorSettings settings;
  settings.batch = arguments.batch.value_or(preset.batch);
  settings.compute =
      std::chrono::nanoseconds(static_cast<int64_t>(arguments.compute_ms.value_or(preset.compute_ms) * 1e6));
  if (!preset.name.empty()) settings.utilisation_target = preset.utilisation_target;
  return std::optional(settings);
}

Status CheckReadOptions(Arguments& arguments, const SampleList& list) {
  ReadOptions& read = arguments.read;
  LEAT_ASSIGN_OR_RETURN(read.read_bytes, ParseBytes(arguments.read_bytes));
  if (read.read_bytes == 0 || read.read_bytes > kReadBytesMax)
    return Fail(ErrorCode::kInvalidArgument, "--read-bytes takes 1 to 1G");
  if (read.keep_open && list.ranges == 0)
    return Fail(ErrorCode::kInvalidArgument, "--keep-open is for lists with PATH<TAB>OFFSET<TAB>LENGTH; leave it out");
  if (read.direct) {
    const bool is_aligned = std::all_of(list.samples.begin(), list.samples.end(), [](const Sample& sample) {
      return !sample.IsRange() || (sample.offset % kDirectAlignment == 0 && sample.length % kDirectAlignment == 0);
    });
    if (read.read_bytes % kDirectAlignment != 0 || !is_aligned)
      return Fail(ErrorCode::kInvalidArgument,
                  "with --direct, --read-bytes and every offset and length of the list are multiples of 4096");
  }
  if (!read.keep_open) return {};
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (list.files.size() * arguments.threads + kOtherDescriptors > limit.rlim_max)
    return Fail(ErrorCode::kInvalidArgument,
                "--keep-open needs " + std::to_string(list.files.size() * arguments.threads) +
                    " open files, but the limit is " + std::to_string(limit.rlim_max) + "; raise it (ulimit -Hn)");
  return {};
}

void ReadShare(Worker& worker, const SampleList& list, const std::vector<uint32_t>& order, std::atomic<size_t>& next,
               SampleQueue* queue) {
  while (true) {
    const size_t at = next.fetch_add(1, std::memory_order_relaxed);
    if (at >= order.size()) break;
    const Clock::time_point start = Clock::now();
    const Status status = worker.reader.Read(list.samples[order[at]]);
    const Clock::time_point end = Clock::now();
    if (!status) {
      if (worker.errors++ == 0) worker.first_error = status.error().message;
      continue;
    }
    if (!worker.first_done) worker.first_done = end;
    worker.latencies_ns.push_back(
        static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(end - start).count()));
    if (queue != nullptr) queue->Put();
  }
  if (queue != nullptr) queue->EndReading();
}

Epoch RunEpoch(std::vector<std::unique_ptr<Worker>>& workers, const SampleList& list,
               const std::vector<uint32_t>& order, const std::optional<AcceleratorSettings>& accelerator,
               uint64_t queue_batches) {
  const auto files = [&] {
    uint64_t sum = 0;
    for (const auto& worker : workers) sum += worker->latencies_ns.size();
    return sum;
  };
  Epoch epoch;
  const uint64_t files_before = files();
  std::atomic<size_t> next{0};
  std::optional<SampleQueue> queue;
  if (accelerator) queue.emplace(queue_batches * accelerator->batch, accelerator->batch, workers.size());
  const Stopwatch watch;
  std::vector<std::thread> threads;
  threads.reserve(workers.size());
  for (const auto& worker : workers)
    threads.emplace_back([&, each = worker.get()] { ReadShare(*each, list, order, next, queue ? &*queue : nullptr); });
  if (accelerator) epoch.steps = RunAccelerator(*queue, accelerator->compute);
  for (std::thread& thread : threads) thread.join();
  epoch.measured = watch.Stop();
  epoch.files = files() - files_before;
  return epoch;
}

Json Latencies(const std::vector<std::unique_ptr<Worker>>& workers) {
  std::vector<uint64_t> all;
  for (const auto& worker : workers) all.insert(all.end(), worker->latencies_ns.begin(), worker->latencies_ns.end());
  if (all.empty()) return nullptr;
  std::sort(all.begin(), all.end());
  const auto at = [&](double share) {
    const auto index = static_cast<size_t>(share * static_cast<double>(all.size()));
    return static_cast<double>(all[std::min(index, all.size() - 1)]) * 1e-3;
  };
  return {{"p50", at(0.5)}, {"p90", at(0.9)}, {"p99", at(0.99)}, {"max", at(1)}};
}

Json EpochResults(const std::vector<Epoch>& epochs) {
  Json results = Json::array();
  for (const Epoch& epoch : epochs) {
    Json result = {{"files", epoch.files},
                   {"seconds", epoch.measured.seconds},
                   {"files_per_second", PerSecond(epoch.files, epoch.measured.seconds)}};
    if (epoch.steps) {
      result["steps"] = epoch.steps->count;
      result["wait_seconds"] = epoch.steps->wait_seconds;
      result["accelerator_utilisation"] = epoch.steps->utilisation ? Json(*epoch.steps->utilisation) : Json(nullptr);
    }
    results.push_back(std::move(result));
  }
  return results;
}

void AddAccelerator(Json& result, const AcceleratorSettings& accelerator, const std::vector<Epoch>& epochs) {
  double sum = 0;
  bool all_measured = true;
  for (const Epoch& epoch : epochs) {
    all_measured = all_measured && epoch.steps->utilisation.has_value();
    sum += epoch.steps->utilisation.value_or(0);
  }
  result["accelerator_utilisation"] = all_measured ? Json(sum / static_cast<double>(epochs.size())) : Json(nullptr);
  if (accelerator.utilisation_target) result["accelerator_utilisation_target"] = *accelerator.utilisation_target;
  result["batch"] = accelerator.batch;
  result["compute_ms"] = std::chrono::duration<double, std::milli>(accelerator.compute).count();
}

int ReportRun(const Arguments& arguments, const std::vector<std::unique_ptr<Worker>>& workers,
              const std::vector<Epoch>& epochs, const std::optional<AcceleratorSettings>& accelerator,
              Clock::time_point start) {
  Measured measured;
  uint64_t files = 0, bytes = 0, checksum = 0, errors = 0;
  std::optional<Clock::time_point> first_done;
  std::string first_error;
  for (const Epoch& epoch : epochs) {
    measured += epoch.measured;
    files += epoch.files;
  }
  for (const auto& worker : workers) {
    bytes += worker->reader.bytes();
    checksum += worker->reader.checksum();
    errors += worker->errors;
    if (first_error.empty()) first_error = worker->first_error;
    if (worker->first_done && (!first_done || *worker->first_done < *first_done)) first_done = worker->first_done;
  }
  Json result = {{"files", files},
                 {"bytes", bytes},
                 {"seconds", measured.seconds},
                 {"files_per_second", PerSecond(files, measured.seconds)},
                 {"bytes_per_second", PerSecond(bytes, measured.seconds)}};
  result["first_file_seconds"] =
      first_done ? Json(std::chrono::duration<double>(*first_done - start).count()) : Json(nullptr);
  result["user_seconds"] = measured.user_seconds;
  result["system_seconds"] = measured.system_seconds;
  result["latency_us"] = Latencies(workers);
  if (accelerator) AddAccelerator(result, *accelerator, epochs);
  result["threads"] = arguments.threads;
  result["order"] = arguments.order;
  if (arguments.read.checksum) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(checksum));
    result["checksum"] = text;
  }
  result["epochs"] = EpochResults(epochs);
  return Report(kProgram, std::move(result), errors, first_error);
}

// A mapped page that cannot be read has no other way to say so.
void EndOnBusError(int) {
  constexpr char kMessage[] = "read_files: a page of a mapped file could not be read (SIGBUS); nothing was measured\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  ::_exit(1);
}

Result<int> Run(Arguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(const auto accelerator, ReadAccelerator(arguments));
  LEAT_ASSIGN_OR_RETURN(const SampleList list, ReadSampleList(arguments.list, arguments.root));
  LEAT_RETURN_IF_ERROR(CheckReadOptions(arguments, list));
  size_t samples_taken = list.samples.size();
  if (accelerator) {
    // As DLIO, which has no step for the samples that are left over; nobody reads them.
    samples_taken -= samples_taken % accelerator->batch;
    if (samples_taken == 0)
      return Fail(ErrorCode::kInvalidArgument, arguments.list + " has " + std::to_string(list.samples.size()) +
                                                   " samples, which is less than one batch of " +
                                                   std::to_string(accelerator->batch));
  }
  if (arguments.read.mapped) std::signal(SIGBUS, EndOnBusError);
  std::vector<std::unique_ptr<Worker>> workers;
  for (unsigned i = 0; i < arguments.threads; ++i) {
    workers.push_back(std::make_unique<Worker>(list, arguments.read));
    workers.back()->latencies_ns.reserve(samples_taken * arguments.epochs / arguments.threads * 2);
  }
  std::vector<Epoch> epochs;
  Clock::time_point start;
  for (unsigned i = 0; i < arguments.epochs; ++i) {
    std::vector<uint32_t> order = EpochOrder(list.samples.size(), arguments.order == "shuffled", arguments.seed, i);
    order.resize(samples_taken);
    if (i == 0) start = Clock::now();
    epochs.push_back(RunEpoch(workers, list, order, accelerator, arguments.queue_batches));
  }
  return ReportRun(arguments, workers, epochs, accelerator, start);
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Reads files as a training job's data loader does: open, read to the end, close; and says how fast that was.\n\n"
      "Example: (cd /mnt/data && find . -type f) >list\n"
      "         read_files --list list --root /mnt/data --threads 4\n"
      "         read_files --list list --root /mnt/data --threads 8 --accelerator retinanet",
      kProgram);
  app.add_option("--list", arguments.list, "a file with one sample a line: PATH, or PATH<TAB>OFFSET<TAB>LENGTH")
      ->required();
  app.add_option("--root", arguments.root, "the directory that the list's paths stand in");
  app.add_option("--threads", arguments.threads, "readers")->capture_default_str()->check(CLI::Range(1, 4096));
  app.add_option("--order", arguments.order, "listed, or shuffled anew for each epoch")
      ->capture_default_str()
      ->check(CLI::IsMember({"listed", "shuffled"}));
  app.add_option("--seed", arguments.seed, "of the shuffled order")->capture_default_str();
  app.add_option("--epochs", arguments.epochs, "times that the list is read")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  app.add_option("--read-bytes", arguments.read_bytes, "the buffer, and the most that one read asks for")
      ->capture_default_str();
  auto* mapped = app.add_flag("--mmap", arguments.read.mapped, "map the file and touch each page instead of reading");
  app.add_flag("--direct", arguments.read.direct, "O_DIRECT: past the page cache")->excludes(mapped);
  app.add_flag("--keep-open", arguments.read.keep_open, "keep the shards of ranges open, each thread its own");
  app.add_flag("--checksum", arguments.read.checksum, "report a sum over names and bytes that no order changes");
  std::vector<std::string> presets;
  for (const AcceleratorPreset& preset : kAcceleratorPresets) presets.emplace_back(preset.name);
  app.add_option("--accelerator", arguments.accelerator, "batch and compute time of an MLPerf Storage workload")
      ->check(CLI::IsMember(presets));
  app.add_option("--batch", arguments.batch, "samples that the emulated accelerator takes for a step")
      ->check(CLI::Range(1u, 1u << 20));
  app.add_option("--compute-ms", arguments.compute_ms, "what a step then takes it")->check(CLI::Range(0.0, 3.6e6));
  app.add_option("--queue-batches", arguments.queue_batches, "batches read ahead of it at most")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));
  if (const auto status = ParseArguments(app, argc, argv)) return *status;
  const auto status = Run(arguments);
  return status ? *status : Refuse(kProgram, status.error());
}

}  // namespace
}  // namespace leat::bench

int main(int argc, char** argv) { return leat::bench::Main(argc, argv); }
