// SPDX-License-Identifier: Apache-2.0
// A study: what the job store knows of a tuning job, a fold of its events. Values; any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/job_store.h"
#include "model/tuning_job.h"
#include "search/completion.h"

namespace leat::tuner {

using Json = nlohmann::json;

// One time that a training job told its objective.
struct Report {
  double value = 0;  // NaN and infinities are kept
  int64_t at_ns = 0;
  int64_t sequence = 0;  // the store's: in which order the reports of all jobs came
};

struct Trial {
  uint32_t number = 0;  // from 1
  std::string job_name;
  size_t definition = 0;                     // of TuningJob::definitions
  std::map<std::string, std::string> tuned;  // without ranges that are not active
  jobs::JobState state;                      // of the training job; status Deleted: leat jobs delete
  std::vector<Report> reports;               // of the objective, in order
  std::optional<double> objective;           // the last of them; NaN is none that counts
  std::string stop_reason;                   // why the tuner stopped it; empty: it did not
  uint32_t bracket = 0;                      // Hyperband
  uint32_t restart = 0;                      // Bayesian: search::Trial::restart
  uint32_t attempt = 1;                      // a job that was lost, not by its script's fault, is run again
  bool was_submitted = false;                // the training job is in the store, or has been
  bool is_done = false;
  bool is_cut = false;        // the tuning job's stop ended it: it runs again when that is resumed
  bool HasObjective() const;  // it is a number, and the job did not fail
};

struct Study {
  TuningJob job;  // of a request that was valid when it was taken
  uint64_t seed = 0;
  uint64_t names_seed = 0;        // of the training jobs' names, which no other tuning job's may have
  Json options = Json::object();  // jobs::RunOptions of the training jobs
  std::string status = "InProgress", failure_reason;
  std::string completed_by;  // which criterion ended it; empty: all its jobs have run, or it has not ended
  std::string schedule;      // why no further training job is started just now; empty: none should be
  int stop_level = 0;        // a jobs::StopLevel
  int64_t created_ns = 0, modified_ns = 0;
  std::optional<int64_t> ended_ns, converged_ns, resumed_ns;
  std::vector<Trial> trials;            // by number
  size_t ends_before_resume = 0;        // of order_of_ends
  std::vector<uint32_t> order_of_ends;  // numbers of the trials that are done
  std::vector<std::string> warnings;
  bool is_exhausted = false;  // every combination of its ranges has been tried
  int64_t ran_before_ns = 0;  // until the last resume
  // How long it has run; what lies between an end and a resume does not count.
  int64_t RanNs(int64_t now_ns) const;
  bool IsTerminal() const { return ended_ns.has_value(); }
};

// Follows a study while it runs. Confined to one thread.
class StudyReader {
 public:
  StudyReader(jobs::JobStore& store, std::string name) : store_(store), name_(std::move(name)) {}
  // Takes in what is new. kNotFound: no study of that name.
  Status Read();
  const Study& study() const { return study_; }

 private:
  struct Child {
    std::string job_name;
    int64_t event = 0, sample = 0;  // read up to here
    bool has_ended = false;
  };
  Status ReadEvents();
  Status ReadChild(Trial& trial, Child& child);
  jobs::JobStore& store_;
  const std::string name_;
  Study study_;
  int64_t event_ = 0;
  std::vector<Child> children_;  // of each trial
};

// kNotFound: none of that name.
Result<Study> LoadStudy(jobs::JobStore& store, const std::string& name);

// The trial with the best objective among those that are done; null: none has one.
const Trial* BestTrial(const Study& study);
// Of the trials that are done, in the order of their ends; nothing: it has none that counts.
std::vector<std::optional<double>> ObjectivesInOrder(const Study& study);
// Whether one of the request's criteria is met, and how long the best has not improved.
search::Completion CompletionOf(const Study& study);

}  // namespace leat::tuner
