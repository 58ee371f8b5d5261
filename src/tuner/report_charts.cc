// SPDX-License-Identifier: Apache-2.0
#include "tuner/report_charts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "base/text.h"
#include "tuner/chart_axis.h"
#include "tuner/display_text.h"

namespace leat::tuner {
namespace {

constexpr int kWide = 1000;  // of a stretched drawing: the page sets its real width
constexpr int kShades = 9;
constexpr size_t kReportPointsMax = 40000;  // of a chart; longer curves are thinned
constexpr std::array<std::string_view, 4> kOutcomeTexts = {"completed", "stopped", "failed or without objective",
                                                           "running"};
constexpr std::array<std::string_view, 4> kOutcomeClasses = {"ok", "st", "fa", "ru"};

std::string Text(int64_t number) { return std::to_string(number); }
std::string Percent(double place) {
  char text[24];
  std::snprintf(text, sizeof text, "%.2f%%", place * 100);
  return text;
}
int Across(double place) { return static_cast<int>(std::lround(std::clamp(place, -9.0, 10.0) * kWide)); }
int Down(double place, int height) {
  return static_cast<int>(std::lround((1 - std::clamp(place, -9.0, 10.0)) * height));
}

// Within a category or an integer trials stand beside each other: the golden ratio spreads them evenly.
double Spread(const Trial& trial, double step_width) {
  const double part = trial.number * 0.6180339887498949;
  return (part - std::floor(part) - 0.5) * 0.6 * std::min(step_width, 0.5);
}

struct Picture {
  std::string id, title, note;  // note: a sentence below the title, as HTML
  std::string description;      // for who cannot see it, as text
  int height = 220;
  int room_left = 10, room_right = 10, room_top = 8, room_bottom = 24;
  std::string fixed, stretched, above;  // SVG: grid and texts, lines in kWide x height, points above the lines
  bool is_clipped = false;              // what is stretched ends at the frame
  std::string legend;                   // as HTML
};

std::string Svg(const Picture& picture) {
  const std::string height = Text(picture.height);
  std::string svg = "<div class=\"plot\" style=\"padding:" + Text(picture.room_top) + "px " + Text(picture.room_right) +
                    "px " + Text(picture.room_bottom) + "px " + Text(picture.room_left) +
                    "px\"><svg role=\"img\" aria-labelledby=\"" + picture.id + "-t " + picture.id +
                    "-d\" width=\"100%\" height=\"" + height + "\"><title id=\"" + picture.id + "-t\">" +
                    picture.title + "</title><desc id=\"" + picture.id + "-d\">" + picture.description + "</desc>" +
                    picture.fixed;
  if (!picture.stretched.empty()) {
    svg += "<svg width=\"100%\" height=\"" + height + "\" viewBox=\"0 0 " + Text(kWide) + " " + height +
           "\" preserveAspectRatio=\"none\"" + (picture.is_clipped ? "" : " overflow=\"visible\"") + ">" +
           picture.stretched + "</svg>";
  }
  return svg + picture.above + "</svg></div>";
}

std::string Figure(const Picture& picture, std::string_view classes, const std::string& content) {
  std::string html = "<figure id=\"" + picture.id + "\" class=\"" + std::string(classes) + "\"><figcaption><h3>" +
                     picture.title + "</h3>";
  if (!picture.note.empty()) html += "<p>" + picture.note + "</p>";
  html += "</figcaption>" + content;
  if (!picture.legend.empty()) html += "<ul class=\"legend\">" + picture.legend + "</ul>";
  return html + "</figure>\n";
}

// Lines across at the axis's marks, with their texts on the left.
void AddHeightMarks(Picture& picture, const ChartAxis& axis, size_t marks_max) {
  size_t longest = 0;
  for (const auto& mark : axis.Marks(marks_max)) {
    const std::string y = Text(Down(mark.place, picture.height));
    picture.fixed += "<line class=\"g\" x2=\"100%\" y1=\"" + y + "\" y2=\"" + y +
                     "\"/><text class=\"e\" x=\"-6\" y=\"" + y + "\" dy=\".32em\">" + mark.text + "</text>";
    longest = std::max(longest, mark.text.size());
  }
  picture.room_left = static_cast<int>(longest) * 7 + 12;
}

constexpr size_t kMarkTextMax = 12, kManyTrials = 300;

// Parallel coordinates and importance stand beside each other as long as the axes find room there.
std::string LayoutClasses(size_t ranges, size_t trials) {
  constexpr size_t kRangesBeside = 7;
  return std::string(ranges > kRangesBeside ? "full" : "") + (trials > kManyTrials ? " many" : "");
}

std::string Short(const std::string& text, size_t characters_max) {
  std::string cut;
  size_t characters = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t length = std::max<size_t>(1, Utf8SequenceLength(std::string_view(text).substr(at)));
    if (++characters > characters_max) return cut + "…";
    cut += text.substr(at, length);
    at += length;
  }
  return cut;
}

void AddWidthMarks(Picture& picture, const ChartAxis& axis, size_t marks_max, std::string_view title = "") {
  const std::string height = Text(picture.height), y = Text(picture.height + 16);
  for (const auto& mark : axis.Marks(marks_max)) {
    const std::string x = Percent(mark.place);
    picture.fixed += "<line class=\"g\" x1=\"" + x + "\" x2=\"" + x + "\" y2=\"" + height +
                     "\"/><text class=\"m\" x=\"" + x + "\" y=\"" + y + "\">" +
                     EscapeMarkup(Short(mark.text, kMarkTextMax)) + "</text>";
  }
  if (title.empty()) return;
  picture.fixed +=
      "<text class=\"m\" x=\"50%\" y=\"" + Text(picture.height + 32) + "\">" + std::string(title) + "</text>";
  picture.room_bottom = 40;
}

constexpr std::string_view kBestLine = "<path class=\"best\" d=\"M0 6h18\"/>";
enum class Sample { kPoint, kDot, kLine, kBar };

std::string LegendItem(std::string_view drawing, std::string_view text) {
  return "<li><svg width=\"18\" height=\"12\" aria-hidden=\"true\">" + std::string(drawing) + "</svg>" +
         std::string(text) + "</li>";
}

std::string Drawing(Sample sample, Outcome outcome) {
  const std::string name(ClassOf(outcome));
  switch (sample) {
    case Sample::kPoint:
      if (outcome == Outcome::kFailed) return "<g class=\"fa\"><path class=\"x\" d=\"M5 2l8 8m0-8l-8 8\"/></g>";
      return "<g class=\"" + name + "\"><circle class=\"o\" cx=\"9\" cy=\"6\" r=\"4\"/></g>";
    case Sample::kDot:
      return "<path class=\"d " + name + "\" d=\"M9 6h0\"/>";
    case Sample::kLine:
      return "<path class=\"l " + name + "\" d=\"M0 6h18\"/>";
    case Sample::kBar:
      return "<g class=\"bar " + name + "\"><rect x=\"2\" y=\"1\" width=\"14\" height=\"10\"/></g>";
  }
  return "";
}

std::string LegendOf(const Study& study, Sample sample) {
  std::string legend;
  for (const auto outcome : {Outcome::kSucceeded, Outcome::kStopped, Outcome::kFailed, Outcome::kRunning}) {
    const bool occurs =
        std::ranges::any_of(study.trials, [&](const auto& trial) { return OutcomeOf(trial) == outcome; });
    if (occurs) legend += LegendItem(Drawing(sample, outcome), OutcomeText(outcome));
  }
  return legend;
}

std::string ShadesLegend() {
  std::string legend = "<li>worst <svg width=\"90\" height=\"10\" aria-hidden=\"true\">";
  for (int i = 0; i < kShades; ++i)
    legend += "<rect class=\"s" + Text(i) + "\" x=\"" + Text(i * 10) + "\" width=\"10\" height=\"10\"/>";
  return legend + "</svg> best</li>";
}

std::string ObjectiveName(const Study& study, size_t definition) {
  return EscapeMarkup(study.job.definitions[definition].objective);
}

bool Maximizes(const Study& study) { return study.job.definitions[0].maximize; }  // all definitions do alike

// All definitions' objectives, by their names.
std::string ObjectiveNote(const Study& study) {
  std::string names = ObjectiveName(study, 0);
  for (size_t i = 1; i < study.job.definitions.size(); ++i) {
    if (study.job.definitions[i].objective != study.job.definitions[0].objective)
      return "Objectives of each definition";
  }
  return names + (Maximizes(study) ? ", higher is better" : ", lower is better");
}

std::vector<double> Objectives(const Study& study, std::optional<size_t> definition) {
  std::vector<double> values;
  for (const auto& trial : study.trials) {
    if (trial.HasObjective() && (!definition || trial.definition == *definition)) values.push_back(*trial.objective);
  }
  return values;
}

std::string TrialText(const Trial& trial) {
  std::string text = "#" + Text(trial.number) + ", " + std::string(OutcomeText(OutcomeOf(trial)));
  if (trial.objective) text += ": " + ShortNumber(*trial.objective);
  return text;
}

std::string PointAt(const Trial& trial, double across, double height, std::string_view shape) {
  const bool is_cross = shape == "x";
  std::string point =
      "<a href=\"#t" + Text(trial.number) + "\" class=\"" + std::string(ClassOf(OutcomeOf(trial))) + "\">";
  if (is_cross) {
    // A nested drawing is the way to place a path at a part of the width.
    point += "<svg x=\"" + Percent(across) + "\" y=\"" + Text(std::lround(height)) +
             "\" overflow=\"visible\"><path class=\"x\" d=\"M-4-4l8 8m0-8l-8 8\"/>";
  } else {
    point += "<circle class=\"o\" cx=\"" + Percent(across) + "\" cy=\"" + ShortNumber(height, 5) + "\" r=\"" +
             std::string(shape) + "\">";
  }
  point += "<title>" + TrialText(trial) + "</title>";
  return point + (is_cross ? "</svg></a>" : "</circle></a>");
}

// From worst to best, so that the best are drawn above.
std::vector<const Trial*> WorstFirst(const Study& study, size_t definition) {
  std::vector<const Trial*> trials;
  for (const auto& trial : study.trials) {
    if (trial.definition == definition) trials.push_back(&trial);
  }
  const bool maximize = Maximizes(study);
  std::ranges::stable_sort(trials, [&](const Trial* a, const Trial* b) {
    if (a->HasObjective() != b->HasObjective()) return b->HasObjective();
    if (!a->HasObjective()) return false;
    return maximize ? *a->objective < *b->objective : *a->objective > *b->objective;
  });
  return trials;
}

// A definition's ranges with a choice, the most important first.
std::vector<const ParameterRange*> RangesOf(const Study& study, size_t definition, const Importances& importances) {
  const auto place = [&](const ParameterRange* range) {
    return std::ranges::find(importances.of_each, range->name, &Importance::name) - importances.of_each.begin();
  };
  std::vector<const ParameterRange*> ranges;
  for (const auto& range : study.job.definitions[definition].ranges) ranges.push_back(&range);
  std::ranges::stable_sort(ranges, {}, place);
  return ranges;
}

std::string CountText(size_t count, std::string_view one, std::string_view many) {
  return std::to_string(count) + " " + std::string(count == 1 ? one : many);
}

}  // namespace

Outcome OutcomeOf(const Trial& trial) {
  if (!trial.is_done) return Outcome::kRunning;
  if (!trial.HasObjective()) return Outcome::kFailed;
  return trial.state.status == "Stopped" || !trial.stop_reason.empty() ? Outcome::kStopped : Outcome::kSucceeded;
}

std::string_view ClassOf(Outcome outcome) { return kOutcomeClasses[static_cast<size_t>(outcome)]; }

std::string_view OutcomeText(Outcome outcome) { return kOutcomeTexts[static_cast<size_t>(outcome)]; }

std::string EscapeMarkup(std::string_view text) {
  std::string out;
  for (const char c : DisplayText(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string HistoryChart(const Study& study) {
  if (study.trials.empty()) return "";
  constexpr int kFailureBand = 20;  // below the axis
  const bool maximize = Maximizes(study);
  const auto axis = ChartAxis::OfObjectives(Objectives(study, std::nullopt), maximize);
  const double last = study.trials.back().number;
  const auto across = ChartAxis::OfNumbers(1 - last * 0.015 - 0.5, last * 1.015 + 0.5);
  Picture picture{.id = "history", .title = "Optimisation history", .note = ObjectiveNote(study), .height = 240};
  AddHeightMarks(picture, axis, 5);
  std::string line;
  std::optional<double> best;
  size_t beyond = 0;
  const double bottom = picture.height + kFailureBand / 2.0;
  for (const auto& trial : study.trials) {
    const double x = across.Place(trial.number);
    if (!trial.HasObjective()) {
      if (trial.is_done) picture.above += PointAt(trial, x, bottom, "x");
      if (!trial.is_done) picture.above += PointAt(trial, x, bottom, "3.5");
      continue;
    }
    const double place = axis.Place(*trial.objective);
    if (place < -1e-9 || place > 1 + 1e-9) ++beyond;
    const double y = (1 - std::clamp(place, 0.0, 1.0)) * picture.height;
    const bool is_best = !best || (maximize ? *trial.objective > *best : *trial.objective < *best);
    if (is_best) {
      const std::string at = Text(Across(x));
      line += (best ? "H" + at + "V" : "M" + at + " ") + Text(std::lround(y));
      best = trial.objective;
    }
    picture.above += PointAt(trial, x, y, "3.5");
  }
  if (best) line += "H" + Text(Across(across.Place(last)));
  picture.stretched = "<path class=\"best\" d=\"" + line + "\"/>";
  picture.fixed +=
      "<rect class=\"band\" y=\"" + Text(picture.height) + "\" width=\"100%\" height=\"" + Text(kFailureBand) + "\"/>";
  const double marked = std::max(2.0, last);
  for (const auto& mark : ChartAxis::OfNumbers(1, marked).Marks(6)) {
    const double number = 1 + mark.place * (marked - 1);
    if (std::abs(number - std::round(number)) > 1e-6 || number > last) continue;
    picture.fixed += "<text class=\"m\" x=\"" + Percent(across.Place(number)) + "\" y=\"" +
                     Text(picture.height + kFailureBand + 14) + "\">" + mark.text + "</text>";
  }
  picture.fixed +=
      "<text class=\"m\" x=\"50%\" y=\"" + Text(picture.height + kFailureBand + 30) + "\">training job</text>";
  picture.room_bottom = kFailureBand + 38;
  picture.legend = LegendOf(study, Sample::kPoint);
  if (best) picture.legend += LegendItem(kBestLine, "best so far");
  picture.description = "The objective of each of " + CountText(study.trials.size(), "training job", "training jobs") +
                        " by number, and the best so far" +
                        (best ? ", in the end " + ShortNumber(*best) : std::string()) + ".";
  if (beyond > 0)
    picture.note += ". " + CountText(beyond, "value", "values") + " far worse than the others at the edge";
  return Figure(picture, "", Svg(picture));
}

std::string IntermediateChart(const Study& study) {
  std::vector<double> values;
  size_t longest = 0;
  for (const auto& trial : study.trials) {
    longest = std::max(longest, trial.reports.size());
    for (const auto& report : trial.reports) values.push_back(report.value);
  }
  if (longest < 2) return "";
  const auto axis = ChartAxis::OfObjectives(std::move(values), Maximizes(study));
  const auto across = ChartAxis::OfNumbers(1, static_cast<double>(longest));
  Picture picture{.id = "intermediate",
                  .title = "Intermediate values",
                  .note = ObjectiveNote(study),
                  .height = 240,
                  .room_right = 14,
                  .is_clipped = true};
  AddHeightMarks(picture, axis, 5);
  AddWidthMarks(picture, across, 6, "report of the objective");
  const size_t points_max = std::max<size_t>(8, kReportPointsMax / study.trials.size());
  std::string ends;  // where jobs were stopped
  const auto path = [&](const Trial& trial) {
    const size_t every = (trial.reports.size() + points_max - 1) / points_max;
    std::string line;
    bool is_gap = true;
    int from_x = 0, from_y = 0;
    for (size_t i = 0; i < trial.reports.size(); ++i) {
      if (i % every != 0 && i + 1 != trial.reports.size()) continue;
      const double value = trial.reports[i].value;
      if (!std::isfinite(value)) {
        is_gap = true;
        continue;
      }
      const int x = Across(across.Place(static_cast<double>(i + 1))), y = Down(axis.Place(value), picture.height);
      line += is_gap ? "M" + Text(x) + " " + Text(y) + "l0 0" : "l" + Text(x - from_x) + " " + Text(y - from_y);
      is_gap = false;
      from_x = x;
      from_y = y;
    }
    if (OutcomeOf(trial) == Outcome::kStopped) ends += "M" + Text(from_x) + " " + Text(from_y) + "h0";
    return line;
  };
  const Trial* best = BestTrial(study);
  const auto draw = [&](const Trial& trial, std::string_view more) {
    const std::string line = path(trial);
    if (line.empty()) return;
    picture.stretched += "<path class=\"l " + std::string(ClassOf(OutcomeOf(trial))) + std::string(more) +
                         "\" data-n=\"" + Text(trial.number) + "\" d=\"" + line + "\"><title>" + TrialText(trial) +
                         "</title></path>";
  };
  for (const auto outcome : {Outcome::kSucceeded, Outcome::kFailed, Outcome::kStopped, Outcome::kRunning}) {
    for (const auto& trial : study.trials) {
      if (OutcomeOf(trial) == outcome && &trial != best) draw(trial, "");
    }
  }
  if (best) draw(*best, " top");
  if (!ends.empty()) picture.stretched += "<path class=\"d st\" d=\"" + ends + "\"/>";
  picture.legend = LegendOf(study, Sample::kLine);
  if (best) picture.legend += LegendItem(kBestLine, "best");
  picture.description =
      "What each training job told of its objective, up to " + CountText(longest, "time", "times") + ".";
  return Figure(picture, LayoutClasses(0, study.trials.size()), Svg(picture));
}

std::string ParallelChart(const Study& study, size_t definition, const Importances& importances) {
  auto ranges = RangesOf(study, definition, importances);
  // First those that some trials do not have, so that the other lines begin later and have no gap.
  std::ranges::stable_partition(ranges, [](const auto* range) { return !range->parent.empty(); });
  const auto objectives = Objectives(study, definition);
  if (objectives.empty()) return "";
  const auto objective_axis = ChartAxis::OfObjectives(objectives, Maximizes(study));
  Picture picture{.id = "parallel-" + Text(definition),
                  .title = "Parallel coordinates",
                  .note = "A line for each training job through its hyperparameters to its objective, coloured by rank",
                  .height = 280,
                  .room_left = 16,
                  .room_right = 60,
                  .room_top = 44};
  std::vector<ChartAxis> axes;
  for (const auto* range : ranges) axes.push_back(ChartAxis::OfRange(*range));
  axes.push_back(objective_axis);
  const auto place_of = [&](size_t axis) { return static_cast<double>(axis) / static_cast<double>(axes.size() - 1); };
  for (size_t i = 0; i < axes.size(); ++i) {
    const std::string x = Percent(place_of(i));
    const bool is_last = i + 1 == axes.size();
    const std::string& name = is_last ? study.job.definitions[definition].objective : ranges[i]->name;
    picture.above += "<line class=\"a\" x1=\"" + x + "\" x2=\"" + x + "\" y2=\"" + Text(picture.height) + "\"/>";
    picture.above += "<text class=\"" +
                     std::string(is_last  ? "n r"
                                 : i == 0 ? "n f"
                                          : "n") +
                     "\" x=\"" + x + "\" dx=\"" +
                     (is_last  ? "58"
                      : i == 0 ? "-14"
                               : "0") +
                     "\" y=\"" + (i % 2 == 0 ? "-12" : "-28") + "\">" + EscapeMarkup(Short(name, 22)) + "</text>";
    for (const auto& mark : axes[i].Marks(axes[i].IsCategorical() ? 12 : 5)) {
      picture.above += "<text class=\"k\" x=\"" + x + "\" dx=\"5\" y=\"" + Text(Down(mark.place, picture.height)) +
                       "\" dy=\".32em\">" + EscapeMarkup(Short(mark.text, kMarkTextMax)) + "</text>";
    }
  }
  const auto trials = WorstFirst(study, definition);
  const size_t without = trials.size() - objectives.size();  // an objective: they come first
  for (size_t rank = 0; rank < trials.size(); ++rank) {
    const Trial* trial = trials[rank];
    std::string line;
    bool is_gap = true;
    for (size_t i = 0; i < axes.size(); ++i) {
      std::optional<double> place;
      if (i + 1 == axes.size()) {
        if (trial->HasObjective()) place = std::clamp(objective_axis.Place(*trial->objective), -0.03, 1.03);
      } else if (const auto value = trial->tuned.find(ranges[i]->name); value != trial->tuned.end()) {
        place = axes[i].Place(value->second);
        if (place && axes[i].IsCategorical()) *place += Spread(*trial, axes[i].StepWidth());
      }
      if (place) line += (is_gap ? "M" : "L") + Text(Across(place_of(i))) + " " + Text(Down(*place, picture.height));
      is_gap = !place;
    }
    std::string shade(ClassOf(OutcomeOf(*trial)));
    if (trial->HasObjective()) {
      const double goodness = static_cast<double>(rank - without + 1) / static_cast<double>(objectives.size());
      shade = "s" + Text(std::lround(goodness * (kShades - 1)));
    }
    picture.stretched += "<path class=\"l " + shade + "\" data-n=\"" + Text(trial->number) + "\" d=\"" + line +
                         "\"><title>" + TrialText(*trial) + "</title></path>";
  }
  picture.legend = ShadesLegend();
  picture.description = "The hyperparameters of each training job on their scales, coloured by the objective.";
  const std::string content =
      "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Parallel coordinates\"><div "
      "style=\"min-width:" +
      Text(static_cast<int64_t>(axes.size()) * 88) + "px\">" + Svg(picture) + "</div></div>";
  return Figure(picture, LayoutClasses(ranges.size(), trials.size()), content);
}

std::string SliceCharts(const Study& study, size_t definition, const Importances& importances) {
  const auto objectives = Objectives(study, definition);
  if (objectives.empty()) return "";
  const auto objective_axis = ChartAxis::OfObjectives(objectives, Maximizes(study));
  const Trial* best = BestTrial(study);
  std::string charts;
  size_t number = 0;
  for (const auto* range : RangesOf(study, definition, importances)) {
    const auto axis = ChartAxis::OfRange(*range);
    Picture picture{.id = "slice-" + Text(definition) + "-" + std::to_string(number++),
                    .title = EscapeMarkup(range->name),
                    .height = 150,
                    .room_right = 16};
    AddHeightMarks(picture, objective_axis, 4);
    AddWidthMarks(picture, axis, axis.IsCategorical() ? 4 : 3);
    std::array<std::string, kOutcomeClasses.size()> points;
    for (const auto& trial : study.trials) {
      const auto value = trial.tuned.find(range->name);
      if (trial.definition != definition || value == trial.tuned.end()) continue;
      auto place = axis.Place(value->second);
      if (!place || (!trial.HasObjective() && !trial.is_done)) continue;
      *place += Spread(trial, axis.StepWidth());
      constexpr double kBelow = -0.035;
      const double height =
          trial.HasObjective() ? std::clamp(objective_axis.Place(*trial.objective), 0.0, 1.0) : kBelow;
      const std::string at = "M" + Text(Across(*place)) + " " + Text(Down(height, picture.height)) + "h0";
      points[static_cast<size_t>(OutcomeOf(trial))] += at;
      if (&trial == best)
        picture.above = "<circle class=\"bestdot\" cx=\"" + Percent(*place) + "\" cy=\"" +
                        Text(Down(height, picture.height)) + "\" r=\"6\"/>";
    }
    for (const auto outcome : {Outcome::kFailed, Outcome::kStopped, Outcome::kSucceeded, Outcome::kRunning}) {
      const auto& path = points[static_cast<size_t>(outcome)];
      if (!path.empty())
        picture.stretched += "<path class=\"d " + std::string(ClassOf(outcome)) + "\" d=\"" + path + "\"/>";
    }
    picture.description = "The objective over " + picture.title + ".";
    charts += "<div class=\"slice\"><h4>" + picture.title + "</h4>" + Svg(picture) + "</div>";
  }
  Picture all{.id = "slice-" + Text(definition),
              .title = "Slices",
              .note = ObjectiveName(study, definition) +
                      " over each hyperparameter, on its scale; the best training job is ringed"};
  all.legend = LegendOf(study, Sample::kDot);
  return Figure(all, study.trials.size() > kManyTrials ? "full many" : "full",
                "<div class=\"slices\">" + charts + "</div>");
}

std::string ImportanceChart(const Importances& importances, size_t definition) {
  if (importances.of_each.empty()) return "";
  constexpr int kRow = 34;
  constexpr size_t kRowsMax = 10;
  const double highest = importances.of_each[0].share;
  Picture picture{.id = "importance-" + Text(definition), .title = "Importance of hyperparameters"};
  const size_t rows = std::min(kRowsMax, importances.of_each.size());
  picture.height = static_cast<int>(rows) * kRow;
  picture.room_bottom = 8;
  picture.room_left = picture.room_right = 0;
  int y = 0;
  std::string told;
  for (size_t i = 0; i < rows; ++i) {
    const auto& one = importances.of_each[i];
    const std::string percent = Text(std::lround(one.share * 100)) + " %", name = EscapeMarkup(one.name);
    picture.fixed += "<text class=\"i\" y=\"" + Text(y + 12) + "\">" + EscapeMarkup(Short(one.name, 36)) +
                     "</text><text class=\"e\" x=\"100%\" y=\"" + Text(y + 12) + "\">" + percent +
                     "</text><rect class=\"t\" y=\"" + Text(y + 18) +
                     "\" width=\"100%\" height=\"7\" rx=\"2\"/><rect class=\"b\" y=\"" + Text(y + 18) + "\" width=\"" +
                     Percent(one.share / highest) + "\" height=\"7\" rx=\"2\"/>";
    told += (told.empty() ? "" : ", ") + name + " " + percent;
    y += kRow;
  }
  picture.description = told + ".";
  picture.note =
      "Permutation importance in an ensemble of randomized trees, over the ranks of the objective. The trees explain " +
      Text(std::lround(importances.explained * 100)) + " % of the differences between trials not shown to them";
  picture.note += importances.explained < 0.3 ? ": too little to rely on." : ".";
  if (rows < importances.of_each.size())
    picture.note += " Shown are the first " + Text(rows) + " of " + std::to_string(importances.of_each.size()) + ".";
  return Figure(picture, LayoutClasses(importances.of_each.size(), 0), Svg(picture));
}

std::string TimelineChart(const Study& study, int64_t now_ns) {
  struct Bar {
    const Trial* trial;
    int64_t start_ns, end_ns;
    size_t lane;
  };
  std::vector<Bar> bars;
  for (const auto& trial : study.trials) {
    if (trial.state.created_ns == 0) continue;
    const int64_t start = trial.state.created_ns;
    bars.push_back({&trial, start, std::max(start, trial.state.ended_ns.value_or(trial.is_done ? start : now_ns)), 0});
  }
  if (bars.empty()) return "";
  std::ranges::stable_sort(bars, {}, &Bar::start_ns);
  std::vector<int64_t> lanes;  // when each is free
  int64_t end_ns = study.created_ns + 1;
  for (auto& bar : bars) {
    const auto free = std::ranges::find_if(lanes, [&](int64_t until_ns) { return until_ns <= bar.start_ns; });
    bar.lane = static_cast<size_t>(free - lanes.begin());
    if (free == lanes.end()) lanes.emplace_back();
    lanes[bar.lane] = std::max(bar.end_ns, bar.start_ns + 1);
    end_ns = std::max(end_ns, bar.end_ns);
  }
  const double seconds = static_cast<double>(end_ns - study.created_ns) / 1e9;
  const char* const units[] = {"seconds", "minutes", "hours"};
  const size_t unit = seconds < 180 ? 0 : seconds < 3 * 3600 ? 1 : 2;
  const double unit_s = std::pow(60.0, static_cast<double>(unit));
  const auto axis = ChartAxis::OfNumbers(0, seconds / unit_s);
  const auto place = [&](int64_t at_ns) {
    return axis.Place(static_cast<double>(at_ns - study.created_ns) / 1e9 / unit_s);
  };
  Picture picture{.id = "timeline",
                  .title = "Timeline",
                  .note = "Training jobs side by side as they ran; pale while they waited and prepared"};
  const int row = std::clamp(480 / static_cast<int>(lanes.size()), 5, 20);
  picture.height = row * static_cast<int>(lanes.size());
  AddWidthMarks(picture, axis, 6, std::string(units[unit]) + " since the start");
  for (const auto& bar : bars) {
    const int64_t trained =
        bar.trial->state.training_started_ns.value_or(bar.trial->state.started_ns.value_or(bar.end_ns));
    const std::string y = Text(static_cast<int>(bar.lane) * row + 1), height = Text(row - 2);
    const auto rect = [&](int64_t from, int64_t to, std::string_view classes) {
      const double width = std::max(place(to) - place(from), 0.0005);
      return "<rect" + std::string(classes) + " x=\"" + Percent(place(from)) + "\" y=\"" + y + "\" width=\"" +
             Percent(width) + "\" height=\"" + height + "\">";
    };
    picture.above += "<a href=\"#t" + Text(bar.trial->number) + "\" class=\"bar " +
                     std::string(ClassOf(OutcomeOf(*bar.trial))) + "\">";
    if (trained > bar.start_ns)
      picture.above += rect(bar.start_ns, std::min(trained, bar.end_ns), " class=\"w\"") + "</rect>";
    picture.above += rect(std::min(trained, bar.end_ns), bar.end_ns, "") + "<title>" + TrialText(*bar.trial) + ", " +
                     FormatSeconds(static_cast<double>(bar.end_ns - bar.start_ns) / 1e9) + "</title></rect></a>";
  }
  picture.legend = LegendOf(study, Sample::kBar);
  picture.description = CountText(bars.size(), "training job", "training jobs") + " in " + FormatSeconds(seconds) +
                        ", up to " + CountText(lanes.size(), "job", "jobs") + " at once.";
  return Figure(picture, "full", Svg(picture));
}

}  // namespace leat::tuner
