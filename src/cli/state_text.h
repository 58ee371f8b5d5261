// SPDX-License-Identifier: Apache-2.0
// The state of a file as `lfs hsm_state` prints it, with the restored share after it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace leat::cli {

// `state`: what the daemon answers to the verb "state". "F: (0x0000000d) released exists archived, archive_id:1, 37 %
// restored"
std::string RenderState(const std::string& path, const nlohmann::json& state);

}  // namespace leat::cli
