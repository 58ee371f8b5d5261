// SPDX-License-Identifier: Apache-2.0
// A tuning job as a terminal shows it while it runs: a head with counts, the best objective and the time left; then a
// line for each training job, best first, with a curve of what it told. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "tuner/study.h"

namespace leat::tuner {

// At most `lines` lines, each with a line end and at most `columns` wide. Jobs that run are marked ">" and are shown
// whatever their objective, up to half of the lines; the best is marked "*". The hyperparameters that fit are shown,
// those first that matter most (a quick ImportancesOf). Without `is_utf8` all that is drawn is ASCII; text of users
// comes as it is.
std::string LiveTable(const std::string& name, const Study& study, size_t columns, size_t lines, int64_t now_ns,
                      bool is_utf8);

}  // namespace leat::tuner
