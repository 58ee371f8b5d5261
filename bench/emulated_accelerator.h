// SPDX-License-Identifier: Apache-2.0
// An accelerator that sleeps: takes a batch of samples from a queue that readers fill, computes (sleeps) for as long as
// the real one would, and takes the next.
//
// Its utilisation is that of MLPerf Storage (https://github.com/mlcommons/storage, Submission_guidelines.md, section
// 4): total compute time / total running time, in which the first step is left out, and where the compute time is the
// number of steps times the configured time of one. As DLIO, the benchmark behind it, does it (statscounter.py), each
// epoch is measured by itself and the mean over epochs is the result. Here it is a fraction, 0 to 1. A sleep that ends
// late, on a busy machine, counts as running time, not as compute time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>

namespace leat::bench {

// Configurations of https://github.com/mlcommons/storage, configs/dlio/workload/.
struct AcceleratorPreset {
  std::string_view name;
  uint32_t batch = 0;             // reader.batch_size
  double compute_ms = 0;          // train.computation_time
  double utilisation_target = 0;  // metric.au: a run below it does not count
};
inline constexpr AcceleratorPreset kAcceleratorPresets[] = {
    // retinanet_b200.yaml: one file of 322,957 bytes a sample, 8 readers
    {"retinanet", 24, 47.55, 0.85},
    // retinanet_h100.yaml: the first version of that workload, one file of 153,600 +- 51,200 bytes a sample
    {"retinanet-h100", 16, 180, 0.85},
    // resnet50_h100.yaml: 1,251 samples of 114,660 bytes a shard, 8 readers
    {"resnet50", 400, 224, 0.90},
};

// What has been read and not been taken. Counts only: a sample's bytes are dropped once read. Any thread.
class SampleQueue {
 public:
  // Holds `capacity` samples, at least one batch.
  SampleQueue(uint64_t capacity, uint64_t batch, uint64_t readers)
      : capacity_(capacity), batch_(batch), readers_(readers) {}
  void Put();         // waits while the queue is full
  void EndReading();  // once for each reader: it puts no more
  bool TakeBatch();   // waits; false when no whole batch will come any more

 private:
  const uint64_t capacity_, batch_;
  std::mutex mutex_;  // protects what follows
  std::condition_variable has_batch_, has_room_;
  uint64_t samples_ = 0;
  uint64_t readers_;
};

struct Steps {
  uint64_t count = 0;
  double wait_seconds = 0;            // for batches, the first included
  std::optional<double> utilisation;  // absent where there was one step or none
};

// Computes until TakeBatch gives no more.
Steps RunAccelerator(SampleQueue& queue, std::chrono::nanoseconds compute);

}  // namespace leat::bench
