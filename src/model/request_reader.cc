// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/text.h"
#include "model/training_job.h"

namespace leat {
namespace {

constexpr size_t kShownCharactersMax = 80;  // of a wrong value, or of a map's key, in a message

std::string Shortened(const std::string& text) {
  std::string start = CutToCharacters(text, kShownCharactersMax);
  return start.size() < text.size() ? start + "..." : text;
}

// The service counts characters, whatever they take in UTF-8.
bool IsTextOf(const RequestReader::Json& value, size_t characters_max) {
  return value.is_string() && CharacterCount(value.get_ref<const std::string&>()) <= characters_max;
}

}  // namespace

std::string RequestProblem::ToString() const {
  return path + (value.empty() ? " is missing: " : " = " + value + ": ") + rule;
}

Status StatusOf(const std::vector<RequestProblem>& problems, const std::string& what) {
  if (problems.empty()) return {};
  std::string message =
      what + " has " + std::to_string(problems.size()) + (problems.size() == 1 ? " problem:" : " problems:");
  for (const auto& problem : problems) message += "\n  " + problem.ToString();
  return Fail(ErrorCode::kInvalidArgument, message);
}

std::string RequestReader::Join(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

void RequestReader::Problem(const std::string& path, const Json* value, const std::string& rule) {
  const std::string shown = value ? value->dump(-1, ' ', true, Json::error_handler_t::replace) : "";
  problems.push_back({path, Shortened(shown), rule});
}

const RequestReader::Json* RequestReader::Member(const Json& parent, const std::string& path, const char* name) {
  known.Add(path, name);
  const auto found = parent.find(name);
  return found == parent.end() ? nullptr : &*found;
}

const RequestReader::Json* RequestReader::Given(const Json& parent, const std::string& path, const char* name) {
  const Json* member = Member(parent, path, name);
  return member && !member->is_null() ? member : nullptr;
}

void RequestReader::Accept(const std::string& path, std::initializer_list<const char*> names) {
  for (const char* name : names) known.Add(path, name);
}

const RequestReader::Json* RequestReader::Object(const Json& parent, const std::string& path, const char* name,
                                                 bool required) {
  const Json* found = Given(parent, path, name);
  if (!found) {
    if (required) Problem(Join(path, name), nullptr, "an object is required");
    return nullptr;
  }
  if (found->is_object()) return found;
  Problem(Join(path, name), found, "must be an object");
  return nullptr;
}

const RequestReader::Json* RequestReader::Array(const Json& parent, const std::string& path, const char* name,
                                                bool required, size_t items_min, size_t items_max) {
  const Json* found = Given(parent, path, name);
  if (!found) {
    if (required) Problem(Join(path, name), nullptr, "a list is required");
    return nullptr;
  }
  if (!found->is_array() || found->size() < items_min || found->size() > items_max) {
    Problem(Join(path, name), found,
            "must be a list of " + std::to_string(items_min) + " to " + std::to_string(items_max) + " items");
    return nullptr;
  }
  return found;
}

std::string RequestReader::Text(const Json& parent, const std::string& path, const char* name, bool required,
                                size_t characters_max, const std::string& if_absent) {
  const Json* found = Given(parent, path, name);
  if (!found) {
    if (required)
      Problem(Join(path, name), nullptr, "text of 1 to " + std::to_string(characters_max) + " characters is required");
    return if_absent;
  }
  if (!IsTextOf(*found, characters_max) || (required && found->get_ref<const std::string&>().empty())) {
    Problem(Join(path, name), found,
            std::string("must be text of ") + (required ? "1" : "0") + " to " + std::to_string(characters_max) +
                " characters");
    return if_absent;
  }
  return found->get<std::string>();
}

std::string RequestReader::Choice(const Json& parent, const std::string& path, const char* name, bool required,
                                  const std::vector<std::string>& choices, const std::string& if_absent) {
  std::string listed;
  for (const auto& choice : choices) listed += (listed.empty() ? "" : ", ") + choice;
  const Json* found = Given(parent, path, name);
  if (!found) {
    if (required) Problem(Join(path, name), nullptr, "one of " + listed + " is required");
    return if_absent;
  }
  if (found->is_string() && std::find(choices.begin(), choices.end(), found->get<std::string>()) != choices.end()) {
    return found->get<std::string>();
  }
  Problem(Join(path, name), found, "must be one of " + listed);
  return if_absent;
}

std::optional<int64_t> RequestReader::Integer(const Json& parent, const std::string& path, const char* name,
                                              bool required, int64_t min, int64_t max) {
  const std::string rule = "a whole number from " + std::to_string(min) + " to " + std::to_string(max);
  const Json* found = Given(parent, path, name);
  if (!found) {
    if (required) Problem(Join(path, name), nullptr, rule + " is required");
    return std::nullopt;
  }
  const bool fits = found->is_number_integer() &&
                    (!found->is_number_unsigned() || found->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)) &&
                    found->get<int64_t>() >= min && found->get<int64_t>() <= max;
  if (fits) return found->get<int64_t>();
  Problem(Join(path, name), found, "must be " + rule);
  return std::nullopt;
}

std::map<std::string, std::string> RequestReader::TextMap(const Json& parent, const std::string& path, const char* name,
                                                          size_t items_max, size_t key_max, size_t value_max) {
  std::map<std::string, std::string> map;
  const Json* object = Object(parent, path, name, false);
  if (!object) return map;
  if (object->size() > items_max) {
    Problem(Join(path, name), object, "must have at most " + std::to_string(items_max) + " entries");
  }
  // Of too many, no more than that is told.
  RequestReader unheard;
  RequestReader& reader = object->size() > items_max ? unheard : *this;
  for (const auto& [key, value] : object->items()) {
    const std::string here = Join(path, name) + "[\"" + Shortened(key) + "\"]";
    if (key.empty() || CharacterCount(key) > key_max) {
      reader.Problem(here, &value, "the key must have 1 to " + std::to_string(key_max) + " characters");
    }
    if (key.find_first_of(std::string("\0\n", 2)) != std::string::npos) {
      reader.Problem(here, &value, "the key must not hold a NUL character or a line end");
      continue;
    }
    if (!IsTextOf(value, value_max)) {
      reader.Problem(
          here, &value,
          "must be text of at most " + std::to_string(value_max) + " characters (numbers are written in quotes)");
      continue;
    }
    if (value.get_ref<const std::string&>().find('\0') != std::string::npos) {
      reader.Problem(here, &value, "must not hold a NUL character");
      continue;
    }
    map[key] = value.get<std::string>();
  }
  return map;
}

std::vector<std::string> RequestReader::TextList(const Json& parent, const std::string& path, const char* name,
                                                 size_t items_max, size_t characters_max) {
  std::vector<std::string> list;
  const Json* array = Array(parent, path, name, false, 1, items_max);
  if (!array) return list;
  for (size_t i = 0; i < array->size(); ++i) {
    const Json& item = (*array)[i];
    if (!IsTextOf(item, characters_max)) {
      Problem(Join(path, name) + "[" + std::to_string(i) + "]", &item,
              "must be text of at most " + std::to_string(characters_max) + " characters");
      continue;
    }
    list.push_back(item.get<std::string>());
  }
  return list;
}

}  // namespace leat
