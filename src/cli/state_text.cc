// SPDX-License-Identifier: Apache-2.0
#include "cli/state_text.h"

#include <cmath>
#include <cstdio>

namespace leat::cli {
namespace {

// Lustre's bits (HS_EXISTS and its kin), in the order in which lfs prints the words.
struct Flag {
  const char* member;
  unsigned bit;
  const char* word;
};
constexpr Flag kFlags[] = {{"released", 0x4, " released"},
                           {"exists", 0x1, " exists"},
                           {"dirty", 0x2, " dirty"},
                           {"archived", 0x8, " archived"},
                           {"lost", 0x40, " lost_from_hsm"}};

}  // namespace

std::string RenderState(const std::string& path, const nlohmann::json& state) {
  const auto is = [&](const char* member) {
    const auto found = state.find(member);
    return found != state.end() && found->is_boolean() && found->get<bool>();
  };
  unsigned bits = 0;
  std::string words;
  if (!is("directory")) {  // Lustre archives files only
    for (const Flag& flag : kFlags) {
      if (!is(flag.member)) continue;
      bits |= flag.bit;
      words += flag.word;
    }
    if (is("archived")) words += ", archive_id:1";
  }
  const auto percent = state.find("restored_percent");
  // Rounded down: 100 % is all of it.
  const double whole = percent != state.end() && percent->is_number() ? std::floor(percent->get<double>()) : 0;
  char text[64];
  std::snprintf(text, sizeof text, ": (0x%08x)", bits);
  std::string line = path + text + words;
  std::snprintf(text, sizeof text, ", %.0f %% restored", whole);
  return line + text;
}

}  // namespace leat::cli
