// SPDX-License-Identifier: Apache-2.0
#include "tuner/data_pacing.h"

#include <cstdio>

namespace leat::tuner {
namespace {

constexpr double kNearlyAll = 0.9;    // what is left of the data then holds nobody up for long
constexpr double kMostlyWaits = 0.5;  // of its time, a job that waits so much leaves nothing of S3's rate to another

}  // namespace

std::string WhyWaitForData(const std::optional<DataState>& data, size_t running, bool has_just_begun) {
  if (!data || running == 0 || (data->is_listed && data->part_here >= kNearlyAll)) return "";
  // Of a cache that is too small some data come from S3 again and again: waiting would have no end.
  if (!data->fits) return "";
  if (has_just_begun) return "the last training job has just begun to read data that is not all here";
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
