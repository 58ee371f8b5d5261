// SPDX-License-Identifier: Apache-2.0
#include "tuner/data_pacing.h"

#include <cstdio>

namespace leat::tuner {
namespace {

constexpr double kNearlyAll = 0.9;    // what is left of the data then holds nobody up for long
constexpr double kMostlyWaits = 0.5;  // of its time, a job that waits so much leaves nothing of S3's rate to another
constexpr std::chrono::seconds kSettle{5};      // of reads that have begun
constexpr std::chrono::seconds kFirstRead{60};  // by then a job has read, if it ever does

}  // namespace

std::string WhyWaitForData(const std::optional<DataState>& data, size_t running, std::chrono::seconds since_launch) {
  if (!data || running == 0 || (data->is_listed && data->part_here >= kNearlyAll)) return "";
  // Of a cache that is too small some data come from S3 again and again: waiting would have no end.
  if (!data->fits) return "";
  if (since_launch < kSettle || (data->readers == 0 && since_launch < kFirstRead))
    return "the data is not all here, and how fast the training jobs read it does not show yet";
  if (data->part_waiting < kMostlyWaits) return "";
  char text[160];
  std::snprintf(
      text, sizeof text,
      "%.0f %% of the data is here, and the %zu running job%s wait%s for S3 %.0f %% of the time: another would "
      "gain nothing yet",
      100 * data->part_here, running, running == 1 ? "" : "s", running == 1 ? "s" : "", 100 * data->part_waiting);
  return text;
}

}  // namespace leat::tuner
