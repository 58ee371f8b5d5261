// SPDX-License-Identifier: Apache-2.0
#include "cli/help_format.h"

#include "base/text.h"

namespace leat::cli {

std::string HelpFormat::Entry(const std::string& name, const std::string& description) {
  constexpr size_t kColumns = 80, kDescription = 26;  // where descriptions begin
  std::string text = "  " + name;
  size_t column = text.size();
  const auto break_line = [&] {
    text += "\n" + std::string(kDescription, ' ');
    column = kDescription;
  };
  if (column + 2 > kDescription) {
    break_line();
  } else {
    text.resize(kDescription, ' ');
    column = kDescription;
  }
  for (const std::string& word : Split(description, ' ')) {
    if (word.empty()) continue;
    if (column > kDescription) {
      if (column + 1 + word.size() > kColumns) {
        break_line();
      } else {
        text += ' ';
        ++column;
      }
    }
    text += word;
    column += word.size();
  }
  return text + "\n";
}

}  // namespace leat::cli
