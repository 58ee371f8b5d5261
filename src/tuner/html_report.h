// SPDX-License-Identifier: Apache-2.0
// A tuning job as one HTML page that needs nothing else: no network, no other file. Charts are SVG and tables HTML, so
// that all is there without JavaScript; a script sorts the table and points out a job in every chart. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "tuner/study.h"

namespace leat::tuner {

// `now_ns`: the time that the page tells, and up to which running jobs have run. Text of users is escaped, and cut
// where it is long, so that 1,000 trials stay below 3 MB.
std::string HtmlReport(const std::string& name, const Study& study, int64_t now_ns);

}  // namespace leat::tuner
