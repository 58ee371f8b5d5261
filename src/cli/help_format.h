// SPDX-License-Identifier: Apache-2.0
// HelpFormat: --help in 80 columns: descriptions are wrapped between words. Stateless.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace leat::cli {

class HelpFormat : public CLI::Formatter {
 public:
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    return Entry(make_option_name(option, is_positional) + make_option_opts(option), make_option_desc(option));
  }
  std::string make_subcommand(const CLI::App* verb) const override {
    return Entry(verb->get_display_name(), verb->get_description());
  }

 private:
  static std::string Entry(const std::string& name, const std::string& description);
};

}  // namespace leat::cli
