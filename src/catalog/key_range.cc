// SPDX-License-Identifier: Apache-2.0
#include "catalog/key_range.h"

#include <algorithm>

#include "base/random.h"
#include "base/text.h"

namespace leat::catalog {
namespace {

constexpr size_t kDigits = 8;  // 96^8 < 2^53

// Keys behind `base` as numbers of kDigits digits; digit 0 is the end of the key.
class Scale {
 public:
  Scale(const KeyRange& range, const KeyAlphabet& alphabet) : symbols_(alphabet.symbols()), base_(range.prefix) {
    if (range.until) {
      const auto [mine, theirs] =
          std::mismatch(range.last.begin(), range.last.end(), range.until->begin(), range.until->end());
      const auto common = static_cast<size_t>(mine - range.last.begin());
      if (common > base_.size()) base_ = range.last.substr(0, common);
    }
  }
  uint64_t Position(std::string_view key) const {
    if (!key.starts_with(base_)) return key < base_ ? 0 : Top();
    key.remove_prefix(base_.size());
    uint64_t value = 0;
    for (size_t i = 0; i < kDigits; ++i) {
      const auto* const unsigned_key = reinterpret_cast<const unsigned char*>(key.data());
      const uint64_t rank =
          i >= key.size() ? 0 : static_cast<uint64_t>(std::count_if(symbols_.begin(), symbols_.end(), [&](char symbol) {
            return static_cast<unsigned char>(symbol) <= unsigned_key[i];
          }));
      value = value * Radix() + rank;
    }
    return value;
  }
  uint64_t Top() const {
    uint64_t value = 0;
    for (size_t i = 0; i < kDigits; ++i) value = value * Radix() + symbols_.size();
    return value;
  }
  std::string KeyAt(uint64_t position) const {
    std::string digits(kDigits, '\0');
    size_t length = 0;
    for (size_t i = kDigits; i-- > 0; position /= Radix()) {
      const uint64_t rank = position % Radix();
      if (rank == 0) {
        length = i;  // the key ends here
      } else {
        digits[i] = symbols_[rank - 1];
        if (length == 0) length = i + 1;
      }
    }
    return std::string(base_) + digits.substr(0, length);
  }

 private:
  uint64_t Radix() const { return symbols_.size() + 1; }
  std::string_view symbols_;
  std::string_view base_;
};

// Without a cut-off character at the end.
std::string_view ValidUtf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t length = Utf8SequenceLength(text.substr(at));
    if (length == 0) break;
    at += length;
  }
  return text.substr(0, at);
}

}  // namespace

void KeyAlphabet::Learn(std::string_view key) {
  bool is_new = false;
  for (const char byte : key) {
    if (byte < 0x20 || byte == 0x7f || seen_[static_cast<size_t>(byte)]) continue;
    seen_[static_cast<size_t>(byte)] = true;
    is_new = true;
  }
  if (!is_new) return;
  symbols_.clear();
  for (size_t byte = 0; byte < seen_.size(); ++byte) {
    if (seen_[byte]) symbols_ += static_cast<char>(byte);
  }
}

double EstimatePagesLeft(const KeyRange& range, const KeyAlphabet& alphabet) {
  const Scale scale(range, alphabet);
  const uint64_t last = scale.Position(range.last), first = std::min(last, scale.Position(range.first));
  const uint64_t end = range.until ? scale.Position(*range.until) : scale.Top();
  if (end <= last) return 0;
  return static_cast<double>(end - last) / static_cast<double>(std::max<uint64_t>(last - first, 1)) *
         static_cast<double>(range.pages);
}

std::vector<std::string> CutPoints(const KeyRange& range, const KeyAlphabet& alphabet, size_t count, bool whole_names) {
  std::vector<std::string> cuts;
  if (alphabet.symbols().empty()) return cuts;
  const Scale scale(range, alphabet);
  const uint64_t from = scale.Position(range.last);
  const uint64_t to = range.until ? scale.Position(*range.until) : scale.Top();
  if (to <= from) return cuts;
  for (size_t i = 1; i <= count; ++i) {
    std::string cut = scale.KeyAt(from + static_cast<uint64_t>(static_cast<Wide>(to - from) * i / (count + 1)));
    if (whole_names) {
      const size_t slash = cut.find('/', range.prefix.size());
      if (slash != std::string::npos) cut.resize(slash);
    }
    cut.resize(ValidUtf8(cut).size());
    if (cut <= range.last || (range.until && cut >= *range.until) || !cut.starts_with(range.prefix)) continue;
    if (cuts.empty() || cut > cuts.back()) cuts.push_back(std::move(cut));
  }
  return cuts;
}

}  // namespace leat::catalog
