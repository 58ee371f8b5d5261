// SPDX-License-Identifier: Apache-2.0
// The charts of a tuning job's report: each a <figure> of HTML whose SVG stretches with the page while its text keeps
// its size; the page's style sheet (html_report.cc) gives the classes their colours. Pure; any thread.
//
// A figure is "" where there is nothing to show. Colours of objectives are nine shades, "s0" worst to "s8" best.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tuner/importance.h"
#include "tuner/study.h"

namespace leat::tuner {

enum class Outcome { kSucceeded, kStopped, kFailed, kRunning };
// Stopped: with an objective; a trial that ended without one has failed as the search sees it.
Outcome OutcomeOf(const Trial& trial);
std::string_view OutcomeText(Outcome outcome);
std::string_view ClassOf(Outcome outcome);  // of the style sheet

// Text of users in HTML: markup, control characters and bytes that are no UTF-8 become harmless.
std::string EscapeMarkup(std::string_view text);

std::string HistoryChart(const Study& study);
std::string IntermediateChart(const Study& study);
// Axes in the order of `importances`, where it knows one.
std::string ParallelChart(const Study& study, size_t definition, const Importances& importances);
std::string SliceCharts(const Study& study, size_t definition, const Importances& importances);
std::string ImportanceChart(const Importances& importances, size_t definition);
std::string TimelineChart(const Study& study, int64_t now_ns);

}  // namespace leat::tuner
