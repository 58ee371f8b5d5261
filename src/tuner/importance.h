// SPDX-License-Identifier: Apache-2.0
// How much the objective depends on each hyperparameter: permutation importance (Breiman, Random Forests, 2001) in an
// ensemble of extremely randomized trees (Geurts 2006), over the ranks of the objective, so that a few jobs that went
// far astray do not decide. Pure: the same study gives the same answer on every machine. Any thread. Takes
// about 10 ms for 100 trials of five hyperparameters, a second for 1,000 of 30.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tuner/study.h"

namespace leat::tuner {

struct Importance {
  std::string name;
  double share = 0;  // of all dependence; they add up to 1
};

struct Importances {
  double explained = 0;  // the part of the differences in rank that the trees predict for trials not shown to
                         // them, at most 1; with little of it the shares mean little
  std::vector<Importance> of_each;  // highest first; empty: too few trials, or nothing was found to matter
};

inline constexpr size_t kImportanceTrialsMin = 10;  // trials with an objective

struct ImportanceEffort {
  size_t trees = 100;
  size_t trials_max = SIZE_MAX;  // the newest of those with an objective
};

Importances ImportancesOf(const Study& study, size_t definition, const ImportanceEffort& effort = {});

}  // namespace leat::tuner
