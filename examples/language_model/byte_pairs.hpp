// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace lm {

/// A vocabulary of byte-pair units: the bytes that occur, then ever longer pieces of words, each
/// the most frequent pair of neighbours when it was learnt. Pieces never cross a word; a word takes
/// the space before it along. Any text comes back exactly: a byte that the vocabulary has not seen
/// is written as the unit `escape` and two units that stand for its two hexadecimal digits.
///
///   source  R. Sennrich, B. Haddow, A. Birch, "Neural machine translation of rare words with
///           subword units", 2016
class BytePairs {
 public:
  static constexpr std::int32_t escape = 0;
  using Pair = std::pair<std::int32_t, std::int32_t>;

  BytePairs() = default;
  /// From what `alphabet()` and `merges()` gave.
  BytePairs(std::string_view alphabet, std::span<const Pair> merges) {
    byte_unit_.fill(-1);
    pieces_.emplace_back();
    for (const char c : alphabet) {
      byte_unit_[static_cast<unsigned char>(c)] = units();
      pieces_.emplace_back(1, c);
    }
    alphabet_ = alphabet;
    for (const Pair& pair : merges) {
      add(pair);
    }
  }

  /// Learns at most `units` units from a text (fewer if no pair occurs twice any more).
  static BytePairs learn(std::string_view text, std::int32_t units) {
    BytePairs result(alphabet_of(text), {});
    std::unordered_map<std::string_view, index> counts;
    for_each_word(text, [&](std::string_view word) { ++counts[word]; });
    // The order of a hash table must not decide between equally frequent pairs: sort.
    const std::map<std::string_view, index> sorted(counts.begin(), counts.end());
    std::vector<std::pair<std::vector<std::int32_t>, index>> words;
    for (const auto& [word, count] : sorted) {
      words.emplace_back(result.bytes(word), count);
    }
    while (result.units() < units) {
      const Pair best = most_frequent(words);
      if (best.first < 0) {
        break;
      }
      const std::int32_t unit = result.add(best);
      for (auto& entry : words) {
        merge(entry.first, best, unit);
      }
    }
    return result;
  }

  std::int32_t units() const { return static_cast<std::int32_t>(pieces_.size()); }
  const std::string& alphabet() const { return alphabet_; }
  const std::vector<Pair>& merges() const { return merges_; }

  std::vector<std::int32_t> encode(std::string_view text) const {
    std::vector<std::int32_t> result;
    std::unordered_map<std::string_view, std::vector<std::int32_t>> seen;
    for_each_word(text, [&](std::string_view word) {
      auto [entry, is_new] = seen.try_emplace(word);
      if (is_new) {
        entry->second = encode_word(word);
      }
      result.insert(result.end(), entry->second.begin(), entry->second.end());
    });
    return result;
  }

  std::string decode(std::span<const std::int32_t> ids) const {
    std::string text;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] != escape) {
        text += pieces_[size(ids[i])];
      } else if (i + 2 < ids.size()) {
        text += static_cast<char>(ids[i + 1] % 16 * 16 + ids[i + 2] % 16);
        i += 2;
      }
    }
    return text;
  }

  /// Characters that begin in each unit: bytes, without the continuation bytes of UTF-8.
  std::vector<int> characters(std::span<const std::int32_t> ids) const {
    std::vector<int> result(ids.size(), 0);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const bool escaped = ids[i] == escape;
      const std::size_t length = escaped ? 3 : 1;
      for (const char c : decode(ids.subspan(i, std::min(length, ids.size() - i)))) {
        result[i] += (static_cast<unsigned char>(c) & 0xC0u) != 0x80u ? 1 : 0;
      }
      i += length - 1;
    }
    return result;
  }

 private:
  static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (static_cast<unsigned char>(c) & 0x80u);
  }
  static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

  /// A word: letters, or a run of other signs, with one space before it; or one white-space byte.
  template <class F>
  static void for_each_word(std::string_view text, F&& f) {
    for (std::size_t i = 0; i < text.size();) {
      std::size_t end = i + 1;
      const bool leads = text[i] == ' ' && end < text.size() && !is_space(text[end]);
      if (leads || !is_space(text[i])) {
        const bool letters = is_letter(text[leads ? end : i]);
        while (end < text.size() && !is_space(text[end]) && is_letter(text[end]) == letters) {
          ++end;
        }
      }
      f(text.substr(i, end - i));
      i = end;
    }
  }

  /// The bytes that occur, in order; at least fifteen, so that sixteen units can stand for digits.
  static std::string alphabet_of(std::string_view text) {
    std::array<bool, 256> used{};
    for (const char c : text) {
      used[static_cast<unsigned char>(c)] = true;
    }
    for (std::size_t b = 'a'; std::count(used.begin(), used.end(), true) < 15; ++b) {
      used[b] = true;
    }
    std::string alphabet;
    for (std::size_t b = 0; b < used.size(); ++b) {
      if (used[b]) {
        alphabet += static_cast<char>(b);
      }
    }
    return alphabet;
  }

  /// Units of single bytes; an unknown byte b becomes -1 - b, which no merge ever touches.
  std::vector<std::int32_t> bytes(std::string_view word) const {
    std::vector<std::int32_t> result;
    for (const char c : word) {
      const auto b = static_cast<unsigned char>(c);
      result.push_back(byte_unit_[b] >= 0 ? byte_unit_[b] : -1 - static_cast<std::int32_t>(b));
    }
    return result;
  }

  std::vector<std::int32_t> encode_word(std::string_view word) const {
    std::vector<std::int32_t> ids = bytes(word);
    while (ids.size() > 1) {  // the pair that was learnt first goes first
      std::int32_t unit = units();
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
        const auto found = unit_of_.find({ids[i], ids[i + 1]});
        unit = found == unit_of_.end() ? unit : std::min(unit, found->second);
      }
      if (unit == units()) {
        break;
      }
      merge(ids, merges_[size(unit) - 1 - alphabet_.size()], unit);
    }
    std::vector<std::int32_t> result;
    for (const std::int32_t id : ids) {
      if (id >= 0) {
        result.push_back(id);
      } else {
        result.insert(result.end(), {escape, (-1 - id) / 16, (-1 - id) % 16});
      }
    }
    return result;
  }

  static void merge(std::vector<std::int32_t>& ids, Pair pair, std::int32_t unit) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const bool match = i + 1 < ids.size() && ids[i] == pair.first && ids[i + 1] == pair.second;
      ids[kept++] = match ? unit : ids[i];
      i += match ? 1 : 0;
    }
    ids.resize(kept);
  }

  /// The smallest of the most frequent pairs, or {-1,-1} if none occurs twice.
  static Pair most_frequent(const std::vector<std::pair<std::vector<std::int32_t>, index>>& words) {
    std::unordered_map<std::int64_t, index> counts;
    Pair best{-1, -1};
    index most = 1;
    for (const auto& [ids, count] : words) {
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
        counts[(std::int64_t{ids[i]} << 32) + ids[i + 1]] += count;
      }
    }
    for (const auto& [key, count] : counts) {
      const Pair pair{static_cast<std::int32_t>(key >> 32), static_cast<std::int32_t>(key)};
      if (count > most || (count == most && pair < best)) {
        best = pair;
        most = count;
      }
    }
    return best;
  }

  std::int32_t add(Pair pair) {
    const std::int32_t unit = units();
    pieces_.push_back(pieces_[size(pair.first)] + pieces_[size(pair.second)]);
    merges_.push_back(pair);
    unit_of_[pair] = unit;
    return unit;
  }

  std::vector<std::string> pieces_;  // text of a unit
  std::array<std::int32_t, 256> byte_unit_{};
  std::string alphabet_;
  std::vector<Pair> merges_;  // merges_[i] makes unit 1 + alphabet + i
  std::map<Pair, std::int32_t> unit_of_;
};

}  // namespace lm
