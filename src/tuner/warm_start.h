// SPDX-License-Identifier: Apache-2.0
// WarmStartConfig: what a tuning job knows of the ones before it. Any thread; blocking.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "search/study.h"
#include "tuner/study.h"

namespace leat::tuner {

// kInvalidArgument: a parent is not there, has not ended, or does not fit (another objective, other hyperparameters,
// one of another kind, more than ten changes); the text names it.
Status CheckWarmStart(const TuningJob& job, jobs::JobStore& store);

// The trials of the parents that had ended by `created_ns`, whatever became of those since, in the words of the job's
// own ranges: a hyperparameter that was fixed in a parent has the value that it had there. A parent that was deleted is
// left out.
Result<std::vector<search::EarlierStudy>> LoadWarmStart(const TuningJob& job, jobs::JobStore& store,
                                                        int64_t created_ns);

// DescribeTuningJob, and OverallBestTrainingJob, the best of the study and its parents, of one that starts from
// IdenticalDataAndAlgorithm.
Json DescribeWithParents(const std::string& name, const Study& study, jobs::JobStore& store);

}  // namespace leat::tuner
