// SPDX-License-Identifier: Apache-2.0
#include "cli/status_text.h"

#include <cstdio>

#include "base/log.h"
#include "base/text.h"

namespace leat::cli {
namespace {

using Json = nlohmann::json;

constexpr size_t kColumns = 80;

uint64_t Number(const Json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_number() ? found->get<uint64_t>() : 0;
}

double Fraction(const Json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

std::string Text(const Json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? EscapeForDisplay(found->get<std::string>()) : "";
}

Json Object(const Json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_object() ? *found : Json::object();
}

std::string Line(const std::string& label, const std::string& value) {
  std::string line = "  " + label;
  line.resize(std::max<size_t>(14, line.size() + 1), ' ');
  return line + Shortened(value, kColumns - line.size()) + "\n";
}

std::string Percent(uint64_t part, uint64_t whole) {
  if (whole == 0) return "0 %";
  // Rounded down, so that 100 % is all of it.
  return std::to_string(
             static_cast<uint64_t>(std::min(1.0, static_cast<double>(part) / static_cast<double>(whole)) * 100)) +
         " %";
}

std::string RenderFileSystem(const Json& fs) {
  const Json import = Object(fs, "import"), restored = Object(fs, "restored"), fetching = Object(fs, "fetching");
  const Json requests = Object(fs, "requests"), s3 = Object(fs, "s3"), reads = Object(fs, "reads");
  std::string out = Shortened(Text(fs, "id") + "  " + Text(fs, "name"), kColumns) + "\n";
  out += Line("repository", Text(fs, "repository"));
  const bool managed = fs.contains("managed") && fs["managed"].is_boolean() && fs["managed"].get<bool>();
  out += Line("mounted at", Text(fs, "mountpoint") + (managed ? " (for jobs)" : ""));
  const std::string state = Text(import, "state");
  std::string contents = Counted(Number(fs, "files"), "file") + ", " + FormatBytes(Number(fs, "bytes"));
  if (state == "running") contents += " so far; importing, " + Counted(Number(import, "objects"), "object") + " seen";
  if (state == "failed") contents += " so far; the import has failed (leat import retries)";
  out += Line("contents", contents);
  out += Line("restored", Counted(Number(restored, "files"), "file") + ", " + FormatBytes(Number(restored, "bytes")) +
                              " (" + Percent(Number(restored, "bytes"), Number(fs, "bytes")) + ")");
  if (Number(fetching, "files") || Number(fs, "queued")) {
    out += Line("fetching", Counted(Number(fetching, "files"), "file") + ", " + FormatBytes(Number(fetching, "bytes")) +
                                "; " + FormatCount(Number(fs, "queued")) + " queued");
  }
  char rates[64];
  std::snprintf(rates, sizeof rates, "; now %.0f requests/s, ", Fraction(s3, "requests_per_s"));
  out +=
      Line("received", FormatBytes(Number(s3, "bytes_received")) + " in " + Counted(Number(requests, "s3.get"), "GET") +
                           ", " + Counted(Number(requests, "s3.list"), "LIST") + rates +
                           FormatBytes(static_cast<uint64_t>(Fraction(s3, "bytes_per_s"))) + "/s");
  const Json hedges = Object(fs, "hedges");
  if (Number(hedges, "sent")) {
    out += Line("hedged", Counted(Number(hedges, "sent"), "late GET") + ", " + FormatCount(Number(hedges, "won")) +
                              " answered by the second request first");
  }
  if (Number(s3, "errors") || Number(s3, "retries")) {
    out += Line("trouble", Counted(Number(s3, "errors"), "request") + " failed, " + FormatCount(Number(s3, "retries")) +
                               " retried");
  }
  out += Line("reads", FormatCount(Number(reads, "count")) + " (" +
                           Percent(Number(reads, "hits"), Number(reads, "count")) + " from the cache), " +
                           FormatBytes(Number(reads, "bytes")) + ", " + Counted(Number(reads, "errors"), "error"));
  return out;
}

}  // namespace

// Continuation bytes of UTF-8 take no column.
size_t DisplayWidth(std::string_view text) {
  size_t width = 0;
  for (const char c : text) width += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return width;
}

std::string Shortened(const std::string& text, size_t width) {
  if (DisplayWidth(text) <= width) return text;
  const auto prefix_bytes = [&](size_t characters) {
    size_t at = 0;
    for (; at < text.size() && characters > 0; --characters)
      at += std::max<size_t>(1, Utf8SequenceLength(text.substr(at, 4)));
    return std::min(at, text.size());
  };
  const size_t kept = width - 3, front = kept / 2, back = kept - front;
  return text.substr(0, prefix_bytes(front)) + "..." + text.substr(prefix_bytes(DisplayWidth(text) - back));
}

std::string FormatCount(uint64_t count) {
  if (count < 10'000) return std::to_string(count);
  static constexpr const char* kUnits[] = {"k", "M", "G", "T", "P", "E"};
  double value = static_cast<double>(count);
  size_t unit = 0;
  for (value /= 1000; value >= 999.5 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  char text[32];
  std::snprintf(text, sizeof text, value < 99.95 ? "%.1f %s" : "%.0f %s", value, kUnits[unit]);
  return text;
}

std::string Counted(uint64_t count, const std::string& noun, const std::string& plural) {
  return FormatCount(count) + " " + (count == 1 ? noun : plural.empty() ? noun + "s" : plural);
}

std::string RenderDeadMounts(const Json& status) {
  std::string out;
  const auto dead = status.find("dead_mounts");
  if (dead == status.end() || !dead->is_array()) return out;
  for (const Json& mount : *dead) {
    out += "\n" + Shortened(Text(mount, "mountpoint") + " is dead", kColumns) + "\n";
    out += "  its daemon is gone: leat unmount it, or leat mount again\n";
  }
  return out;
}

std::string RenderStatus(const Json& status) {
  const Json daemon = Object(status, "daemon"), capacity = Object(status, "capacity");
  std::string out =
      Shortened("daemon " + std::to_string(Number(daemon, "pid")) + ", up " +
                    FormatSeconds(static_cast<double>(Number(daemon, "uptime_s"))) + ", " +
                    FormatBytes(Number(daemon, "memory_bytes")) + " of memory, " + Text(daemon, "state_directory"),
                kColumns) +
      "\n";
  out += "cache  " + FormatBytes(Number(capacity, "used_bytes")) + " used of " +
         FormatBytes(Number(capacity, "total_bytes")) + " (" +
         Percent(Number(capacity, "used_bytes"), Number(capacity, "total_bytes")) + ")\n";
  if (const uint64_t budget = Number(daemon, "memory_budget_bytes"); budget > 0) {
    uint64_t used = 0;
    for (const Json& part : Object(daemon, "memory")) used += part.is_object() ? Number(part, "used_bytes") : 0;
    out += "memory  " + FormatBytes(used) + " of " + FormatBytes(budget) + " budget (" + Percent(used, budget) + ")\n";
  }
  const auto file_systems = status.find("file_systems");
  if (file_systems == status.end() || !file_systems->is_array() || file_systems->empty()) {
    return out + "no file system is mounted\n" + RenderDeadMounts(status);
  }
  for (const Json& fs : *file_systems) out += "\n" + RenderFileSystem(fs);
  return out + RenderDeadMounts(status);
}

}  // namespace leat::cli
