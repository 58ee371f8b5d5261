// SPDX-License-Identifier: Apache-2.0
// The status of a daemon as people read it: aligned, at most 80 columns.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace leat::cli {

// `status`: as docs/status-json.md describes it. Members that are missing count as nothing.
std::string RenderStatus(const nlohmann::json& status);
// The end of it: its "dead_mounts", empty when there are none.
std::string RenderDeadMounts(const nlohmann::json& status);

// "12 345 678" as "12.3 M"; below 10,000 as it is.
std::string FormatCount(uint64_t count);
// "1 file", "2 files"; `plural`: where an s is not enough.
std::string Counted(uint64_t count, const std::string& noun, const std::string& plural = "");

// Characters that a terminal shows.
size_t DisplayWidth(std::string_view text);
// At most `width` (at least 4) characters; cut in the middle, so that both ends of a long path can be read.
std::string Shortened(const std::string& text, size_t width);

}  // namespace leat::cli
