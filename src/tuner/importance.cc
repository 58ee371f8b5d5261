// SPDX-License-Identifier: Apache-2.0
#include "tuner/importance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/random.h"
#include "tuner/chart_axis.h"

namespace leat::tuner {
namespace {

constexpr size_t kLeafMax = 4, kSplitsTried = 3;

struct Table {
  std::vector<std::vector<double>> columns;  // of each range
  std::vector<bool> is_categorical;
  std::vector<double> target;
  size_t size() const { return target.size(); }
};

// Equal values share a rank; from 0 to 1.
std::vector<double> Ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](size_t i) { return values[i]; });
  std::vector<double> ranks(values.size());
  for (size_t first = 0, last; first < order.size(); first = last) {
    for (last = first; last < order.size() && values[order[last]] == values[order[first]];) ++last;
    const double rank = static_cast<double>(first + last - 1) / 2 / static_cast<double>(values.size() - 1);
    for (size_t i = first; i < last; ++i) ranks[order[i]] = rank;
  }
  return ranks;
}

// Each trial's place on the axis. Where a range is not active it gets any other trial's place: that it is not active is
// what its parent tells, which must not count twice.
std::vector<double> PlacesOn(const ChartAxis& axis, const std::string& name, const std::vector<const Trial*>& trials,
                             Random& random) {
  std::vector<double> known;
  std::vector<std::optional<double>> places;
  for (const auto* trial : trials) {
    const auto value = trial->tuned.find(name);
    places.push_back(value == trial->tuned.end() ? std::nullopt : axis.Place(value->second));
    if (places.back()) known.push_back(*places.back());
  }
  std::vector<double> filled;
  for (const auto& place : places) {
    filled.push_back(place ? *place : known.empty() ? 0 : known[random.Below(known.size())]);
  }
  return filled;
}

Table TableOf(const Study& study, size_t definition, size_t trials_max) {
  Table table;
  std::vector<double> objectives;
  std::vector<const Trial*> trials;
  for (auto trial = study.trials.rbegin(); trial != study.trials.rend() && trials.size() < trials_max; ++trial) {
    if (trial->definition != definition || !trial->is_done || !trial->HasObjective()) continue;
    trials.push_back(&*trial);
    objectives.push_back(*trial->objective);
  }
  if (trials.size() < kImportanceTrialsMin) return table;
  Random random(definition, UINT64_MAX);
  for (const auto& range : study.job.definitions[definition].ranges) {
    const ChartAxis axis = ChartAxis::OfRange(range);
    table.is_categorical.push_back(axis.IsCategorical());
    table.columns.push_back(PlacesOn(axis, range.name, trials, random));
  }
  table.target = Ranks(objectives);
  return table;
}

// One tree; nodes in a vector, children behind their parent.
class Tree {
 public:
  Tree(const Table& table, std::vector<size_t> rows, Random& random) : table_(table), random_(random) {
    Grow(rows.data(), rows.size());
  }

  // Of the values of `row`, but that of `column` taken from `other`.
  double Predict(size_t row, size_t column, size_t other) const {
    const Node* node = &nodes_[0];
    while (node->right > 0) {
      const double value = table_.columns[node->split.column][node->split.column == column ? other : row];
      node = &nodes_[node->split.IsLeft(value) ? node->left : node->right];
    }
    return node->mean;
  }

 private:
  struct Split {
    size_t column = 0;
    double threshold = 0;
    std::vector<double> categories;  // those on the left; empty: a number, left if below the threshold
    bool IsLeft(double value) const {
      return categories.empty() ? value < threshold : std::ranges::find(categories, value) != categories.end();
    }
  };
  struct Node {
    Split split;
    double mean = 0;
    size_t left = 0, right = 0;  // 0: a leaf
  };

  // False: all rows have the same value.
  bool Draw(size_t column, const size_t* rows, size_t count, Split& split) {
    const auto& values = table_.columns[column];
    split = {column, 0, {}};
    if (table_.is_categorical[column]) {
      std::vector<double> present;
      for (size_t i = 0; i < count; ++i) {
        if (std::ranges::find(present, values[rows[i]]) == present.end()) present.push_back(values[rows[i]]);
      }
      if (present.size() < 2) return false;
      Shuffle(present, random_);
      present.resize(1 + random_.Below(present.size() - 1));
      split.categories = std::move(present);
      return true;
    }
    double low = values[rows[0]], high = low;
    for (size_t i = 1; i < count; ++i) {
      low = std::min(low, values[rows[i]]);
      high = std::max(high, values[rows[i]]);
    }
    split.threshold = high - (high - low) * random_.Unit();  // in (low, high]: neither side is empty
    return low < high && split.threshold > low;
  }

  // Of the target's sum of squares, how much the two sides' means explain.
  double Gain(const Split& split, const size_t* rows, size_t count, double mean) const {
    double left = 0, right = 0;
    size_t left_count = 0;
    for (size_t i = 0; i < count; ++i) {
      const double distance = table_.target[rows[i]] - mean;
      if (split.IsLeft(table_.columns[split.column][rows[i]])) {
        left += distance;
        ++left_count;
      } else {
        right += distance;
      }
    }
    return left * left / static_cast<double>(left_count) + right * right / static_cast<double>(count - left_count);
  }

  size_t Grow(size_t* rows, size_t count) {
    const size_t at = nodes_.size();
    nodes_.emplace_back();
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += table_.target[rows[i]];
    const double mean = sum / static_cast<double>(count);
    nodes_[at].mean = mean;
    if (count <= kLeafMax) return at;
    Split best, split;
    double best_gain = 0;
    for (size_t column = 0; column < table_.columns.size(); ++column) {
      for (size_t i = 0; i < kSplitsTried; ++i) {
        if (!Draw(column, rows, count, split)) break;
        const double gain = Gain(split, rows, count, mean);
        if (gain <= best_gain) continue;
        best_gain = gain;
        best = split;
      }
    }
    if (best_gain < 1e-12) return at;
    const auto* middle = std::stable_partition(
        rows, rows + count, [&](size_t row) { return best.IsLeft(table_.columns[best.column][row]); });
    const auto left_count = static_cast<size_t>(middle - rows);
    nodes_[at].split = std::move(best);
    nodes_[at].left = Grow(rows, left_count);
    const size_t right = Grow(rows + left_count, count - left_count);
    nodes_[at].right = right;
    return at;
  }

  const Table& table_;
  Random& random_;
  std::vector<Node> nodes_;
};

}  // namespace

Importances ImportancesOf(const Study& study, size_t definition, const ImportanceEffort& effort) {
  const Table table = TableOf(study, definition, effort.trials_max);
  const size_t count = table.size(), columns = table.columns.size();
  Importances importances;
  if (count == 0 || std::ranges::all_of(table.target, [&](double rank) { return rank == table.target[0]; })) {
    return importances;
  }
  std::vector<double> harm(columns, 0), prediction(count, 0), predictions(count, 0);
  for (size_t i = 0; i < effort.trees; ++i) {
    Random random(definition, i);
    std::vector<size_t> shown(count), hidden;
    std::vector<bool> is_shown(count, false);
    for (auto& row : shown) is_shown[row = random.Below(count)] = true;
    for (size_t row = 0; row < count; ++row) {
      if (!is_shown[row]) hidden.push_back(row);
    }
    if (hidden.size() < 2) continue;
    const Tree tree(table, shown, random);
    const auto error = [&](size_t row, double predicted) {
      return (table.target[row] - predicted) * (table.target[row] - predicted);
    };
    double errors = 0;
    for (const size_t row : hidden) {
      const double predicted = tree.Predict(row, columns, row);
      errors += error(row, predicted);
      prediction[row] += predicted;
      ++predictions[row];
    }
    for (size_t column = 0; column < columns; ++column) {
      std::vector<size_t> others = hidden;
      Shuffle(others, random);
      double mixed_errors = 0;
      for (size_t k = 0; k < hidden.size(); ++k) {
        mixed_errors += error(hidden[k], tree.Predict(hidden[k], column, others[k]));
      }
      harm[column] += (mixed_errors - errors) / static_cast<double>(hidden.size());
    }
  }
  const double mean = std::accumulate(table.target.begin(), table.target.end(), 0.0) / static_cast<double>(count);
  double missed = 0, all = 0;
  for (size_t row = 0; row < count; ++row) {
    if (predictions[row] == 0) continue;
    missed += std::pow(table.target[row] - prediction[row] / predictions[row], 2);
    all += std::pow(table.target[row] - mean, 2);
  }
  double sum = 0;
  for (auto& value : harm) sum += value = std::max(value, 0.0);
  if (sum <= 0 || all <= 0) return importances;
  importances.explained = std::max(0.0, 1 - missed / all);
  const auto& ranges = study.job.definitions[definition].ranges;
  for (size_t column = 0; column < columns; ++column) {
    importances.of_each.push_back({ranges[column].name, harm[column] / sum});
  }
  std::ranges::stable_sort(importances.of_each, std::greater<>(), &Importance::share);
  return importances;
}

}  // namespace leat::tuner
