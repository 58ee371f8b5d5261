// SPDX-License-Identifier: Apache-2.0
#include "cli/job_list.h"

#include <algorithm>

#include "base/text.h"

namespace leat::cli {

std::vector<ListedJob> SelectJobs(std::vector<ListedJob> jobs, const ListSelection& selection) {
  const std::string status = ToLower(selection.status), part = ToLower(selection.name_contains);
  std::erase_if(jobs, [&](const ListedJob& job) {
    if (!status.empty() && ToLower(job.job_status) != status) return true;
    return ToLower(job.name).find(part) == std::string::npos;
  });
  if (selection.order || selection.max || selection.descending) {
    const ListOrder order = selection.order.value_or(ListOrder::kCreation);
    const auto before = [order](const ListedJob& a, const ListedJob& b) {
      if (order == ListOrder::kName) return a.name < b.name;
      if (order == ListOrder::kStatus) return a.job_status < b.job_status;
      return a.created_s < b.created_s;
    };
    std::stable_sort(jobs.begin(), jobs.end(), [&](const ListedJob& a, const ListedJob& b) {
      return selection.descending ? before(b, a) : before(a, b);
    });
  }
  if (selection.max && jobs.size() > *selection.max) jobs.resize(*selection.max);
  return jobs;
}

constexpr uint32_t kListMax = 1'000'000;

void AddListOptions(CLI::App& list, ListSelection& selection) {
  list.add_option("--status", selection.status, "only those")
      ->type_name("STATUS")
      ->check(CLI::IsMember({"InProgress", "Completed", "Failed", "Stopping", "Stopped"}, CLI::ignore_case));
  list.add_option("--name-contains", selection.name_contains, "only those whose name contains this")->type_name("X");
  list.add_option("--max", selection.max, "no more than so many, of the order of creation if no other")
      ->type_name("N")
      ->check(CLI::Range(1u, kListMax));
  list.add_option_function<std::string>(
          "--sort",
          [&selection](const std::string& order) {
            selection.order = order == "name"     ? ListOrder::kName
                              : order == "status" ? ListOrder::kStatus
                                                  : ListOrder::kCreation;
          },
          "the order")
      ->type_name("ORDER")
      ->check(CLI::IsMember({"name", "creation", "status"}));
  list.add_flag("--descending", selection.descending, "the last of the order first");
}

std::string ListText(const std::vector<ListedJob>& jobs) {
  constexpr size_t kNameMax = 47;
  size_t name_width = 0, status_width = 0;
  for (const auto& job : jobs) {
    if (job.name.size() <= kNameMax) name_width = std::max(name_width, job.name.size());
    status_width = std::max(status_width, job.shown_status.size());
  }
  std::string text;
  for (const auto& job : jobs) {
    std::string time = FormatTimeUtc(static_cast<int64_t>(job.created_s) * 1000000000);
    if (time.size() > 16) time = time.substr(5, 5) + " " + time.substr(11, 5);
    text += job.name;
    // A longer name has a line of its own.
    const size_t used = job.name.size() > kNameMax ? 0 : job.name.size();
    if (used == 0) text += "\n";
    text += std::string(name_width - used, ' ') + "  " + job.shown_status +
            std::string(status_width - job.shown_status.size(), ' ') + "  " + time + "\n";
  }
  return text;
}

}  // namespace leat::cli
