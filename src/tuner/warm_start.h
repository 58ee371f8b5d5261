// SPDX-License-Identifier: Apache-2.0
// WarmStartConfig: what a tuning job knows of the ones before it. Any thread; blocking.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "search/study.h"
#include "tuner/study.h"

namespace leat::tuner {

// The trials of the parents, in the words of the job's own ranges: a hyperparameter that was fixed in a parent has the
// value that it had there. kInvalidArgument: a parent is not there, has not ended, or does not fit (another objective,
// another number of hyperparameters, one of another kind); the text names it.
Result<std::vector<search::EarlierStudy>> LoadWarmStart(const TuningJob& job, jobs::JobStore& store);

// The summary of the best training job of a study and its parents, of a study that starts from
// IdenticalDataAndAlgorithm; nothing: it does not, or there is none.
std::optional<Json> OverallBestTrainingJob(const std::string& name, const Study& study, jobs::JobStore& store);

}  // namespace leat::tuner
