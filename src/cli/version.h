// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace leat::cli {

inline constexpr char kVersion[] = LEAT_VERSION;  // the project's version, from CMakeLists.txt

}  // namespace leat::cli
