// SPDX-License-Identifier: Apache-2.0
// What `leat jobs list` and `leat tunings list` show of the jobs there are: which of them, in which order, as text.
// Any thread.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace leat::cli {

struct ListedJob {
  std::string name, job_status;  // job_status: InProgress, Completed, Failed, Stopping or Stopped
  std::string shown_status;
  double created_s = 0;  // since the epoch
  bool is_tuning = false;
  nlohmann::json summary;  // as ListTrainingJobs or ListHyperParameterTuningJobs has it
};

enum class ListOrder { kName, kCreation, kStatus };

// As ListTrainingJobs' parameters.
struct ListSelection {
  std::string status, name_contains;  // empty: any; letters' case makes no difference
  std::optional<size_t> max;
  std::optional<ListOrder> order;  // absent: as they are, unless `max` or `descending` asks for an order: kCreation
  bool descending = false;
};

// The options of a list that say so; `selection` outlives it.
void AddListOptions(CLI::App& list, ListSelection& selection);

// Jobs that are equal in the order stay in the order in which they are.
std::vector<ListedJob> SelectJobs(std::vector<ListedJob> jobs, const ListSelection& selection);

// "name  status  month-day hour:minute" in UTC: a child of a tuning job, 45 characters, fits into 80 columns.
std::string ListText(const std::vector<ListedJob>& jobs);

}  // namespace leat::cli
