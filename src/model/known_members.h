// SPDX-License-Identifier: Apache-2.0
// Which members the objects of a request may have, so that a misspelt one is told and not passed over. Confined to one
// thread.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace leat {

class KnownMembers {
 public:
  // The object at `path` ("", "InputDataConfig[0].DataSource") may have a member `name`. What holds of one item of a
  // list holds of all.
  void Add(const std::string& path, const std::string& name);
  // What `other` knows of a request holds of the object at `path` of this one.
  void AddBelow(const std::string& path, const KnownMembers& other);
  void Remove(const std::string& path, const std::string& name);
  // A sentence for each member of `request`, however deep, that its object may not have, with the nearest name that it
  // may have; at most 20, and how many more there are. Objects of which nothing is known may have any. `what`:
  // "CreateTrainingJob".
  std::vector<std::string> WarningsOf(const nlohmann::json& request, const std::string& what) const;

 private:
  std::map<std::string, std::set<std::string>> names_;  // of the object at a path, whose indices are left out: "a[].b"
};

}  // namespace leat
