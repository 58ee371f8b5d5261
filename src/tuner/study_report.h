// SPDX-License-Identifier: Apache-2.0
// A study in the shape of SageMaker's answers, and as text. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "tuner/study.h"

namespace leat::tuner {

std::string TuningJobArn(const std::string& name);

// "Bayesian", as a request writes it.
const char* StrategyName(TuningJob::Strategy strategy);

// HyperParameterTrainingJobSummary. Leat's own: LeatDataAccounting, LeatStopReason.
Json SummarizeTrial(const Study& study, const Trial& trial);

// DescribeHyperParameterTuningJob, and with it LeatTrainingJobs (one summary for each child), LeatRandomSeed,
// LeatCompletedBy and LeatWarnings. A child of a search that began anew has LeatRestart.
Json DescribeTuningJob(const std::string& name, const Study& study);

// HyperParameterTuningJobSummary, as ListHyperParameterTuningJobs has it.
Json SummarizeTuningJob(const std::string& name, const Study& study);

// "12 of 60 done, best 0.93": in a list of tuning jobs.
std::string StudyLine(const Study& study);

// Jobs, their hyperparameters and results as lines of at most `columns` (40 or more), and the best job.
std::string StudyTable(const Study& study, size_t columns);
// Each job that failed with its reason, a line of text each ("name: reason", which may hold line ends); the first few,
// and how many there are beside.
std::vector<std::string> FailureLines(const Study& study);

}  // namespace leat::tuner
