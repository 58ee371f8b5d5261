// SPDX-License-Identifier: Apache-2.0
// Text in the columns of a terminal. Pure; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace leat::tuner {

// Text of users, harmless to a terminal: as EscapeForDisplay has it, with '?' for characters that steer: C1 controls,
// line and paragraph separators, and those that change the direction of writing.
std::string DisplayText(std::string_view text);

// How many columns UTF-8 text takes: 2 for East Asian wide characters and emoji, 0 for combining ones (Unicode 15's
// East_Asian_Width and general category, in ranges).
size_t DisplayColumns(std::string_view text);

// At most `columns` of it; where some is left out, `mark` (one column) stands at the end.
std::string CutToColumns(std::string_view text, size_t columns, std::string_view mark);

// Filled with spaces on the right, or on the left.
std::string PadToColumns(std::string text, size_t columns, bool on_the_left = false);

}  // namespace leat::tuner
