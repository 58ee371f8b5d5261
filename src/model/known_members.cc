// SPDX-License-Identifier: Apache-2.0
#include "model/known_members.h"

#include <algorithm>
#include <numeric>

#include "base/text.h"

namespace leat {
namespace {

using Json = nlohmann::json;

constexpr size_t kToldMax = 20, kNameCharactersMax = 80;
constexpr size_t kEditsMax = 2;      // that a misspelt name is away from the one that was meant
constexpr size_t kBeginningMin = 4;  // characters of a name that was not written to its end

std::string Joined(const std::string& path, const std::string& name) { return path.empty() ? name : path + "." + name; }

std::string WithoutIndices(const std::string& path) {
  std::string out;
  for (const char c : path) {
    if (c >= '0' && c <= '9' && !out.empty() && out.back() == '[') continue;
    out += c;
  }
  return out;
}

// Insertions, deletions and replacements that make `to` of `from`.
size_t EditsBetween(const std::string& from, const std::string& to) {
  std::vector<size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= from.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= to.size(); ++j) {
      const size_t replaced = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

// Empty: none is near.
std::string NearestOf(const std::string& name, const std::set<std::string>& known) {
  if (name.size() > kNameCharactersMax) return "";
  const std::string written = ToLower(name);
  std::string nearest;
  size_t edits_min = kEditsMax + 1;
  for (const auto& candidate : known) {
    const std::string meant = ToLower(candidate);
    const bool is_beginning = written.size() >= kBeginningMin && meant.starts_with(written);
    const size_t edits = is_beginning ? kEditsMax : EditsBetween(written, meant);
    // Of a short name two other characters make another word.
    if (edits >= edits_min || (!is_beginning && edits * 2 >= written.size())) continue;
    edits_min = edits;
    nearest = candidate;
  }
  return nearest;
}

struct Warnings {
  const std::string& what;
  std::vector<std::string> texts;
  size_t left_out = 0;

  void Add(const std::string& path, const std::string& name, const std::set<std::string>& known) {
    if (texts.size() == kToldMax) {
      ++left_out;
      return;
    }
    const std::string nearest = NearestOf(name, known);
    texts.push_back("'" + Joined(path, CutToCharacters(name, kNameCharactersMax)) + "' is no member of " + what +
                    " and is ignored" + (nearest.empty() ? "" : "; is " + nearest + " meant?"));
  }
};

}  // namespace

void KnownMembers::Add(const std::string& path, const std::string& name) { names_[WithoutIndices(path)].insert(name); }

void KnownMembers::Remove(const std::string& path, const std::string& name) {
  names_[WithoutIndices(path)].erase(name);
}

void KnownMembers::AddBelow(const std::string& path, const KnownMembers& other) {
  const std::string here = WithoutIndices(path);
  for (const auto& [below, names] : other.names_)
    names_[below.empty() ? here : Joined(here, below)].insert(names.begin(), names.end());
}

std::vector<std::string> KnownMembers::WarningsOf(const Json& request, const std::string& what) const {
  Warnings warnings{what, {}, 0};
  const auto look = [&](const auto& self, const Json& value, const std::string& path, const std::string& key) -> void {
    if (value.is_array()) {
      if (!names_.contains(key + "[]")) return;
      for (size_t i = 0; i < value.size(); ++i) self(self, value[i], path + "[" + std::to_string(i) + "]", key + "[]");
    }
    const auto known = names_.find(key);
    if (!value.is_object() || known == names_.end()) return;
    for (const auto& [name, member] : value.items()) {
      if (known->second.contains(name)) {
        self(self, member, Joined(path, name), Joined(key, name));
      } else {
        warnings.Add(path, name, known->second);
      }
    }
  };
  look(look, request, "", "");
  if (warnings.left_out > 0) warnings.texts.push_back("so are " + std::to_string(warnings.left_out) + " more");
  return std::move(warnings.texts);
}

}  // namespace leat
