// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "byte_pairs.hpp"
#include "text.hpp"

namespace lm {

/// Some windows of text: what the model reads, and what it should say at every place.
struct Batch {
  index sequences = 0;                 // B
  index length = 0;                    // L
  std::vector<std::int32_t> input{};   // [B,L]
  std::vector<std::int32_t> target{};  // [B,L] the unit that follows
  index characters = 0;                // of the targets (validation only)

  index tokens() const { return sequences * length; }
};

/// A text in units: the first nine tenths to learn from, the rest to be judged by.
struct Corpus {
  BytePairs vocabulary;
  std::vector<std::int32_t> training;
  std::vector<std::int32_t> held_out;
  std::vector<int> held_out_characters;
  std::uint64_t fingerprint = 0;  // of the text: a checkpoint belongs to one

  Corpus(std::string_view text, std::int32_t units) {
    std::size_t cut = text.find('\n', text.size() / 10 * 9);
    cut = cut == std::string_view::npos ? text.size() / 10 * 9 : cut + 1;
    vocabulary = BytePairs::learn(text.substr(0, cut), units);
    training = vocabulary.encode(text.substr(0, cut));
    held_out = vocabulary.encode(text.substr(cut));
    held_out_characters = vocabulary.characters(held_out);
    fingerprint = 0xcbf29ce484222325u;  // FNV-1a
    for (const char c : text) {
      fingerprint = (fingerprint ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    }
  }

  /// Throws user_error if there is not enough text for windows of `length` units.
  void check(index length) const {
    const auto need = size(length) + 1;
    if (training.size() < need || held_out.size() < need) {
      throw user_error("the text is too short: " + std::to_string(training.size()) +
                       " units to learn from and " + std::to_string(held_out.size()) +
                       " held out, at least " + std::to_string(need) + " each are needed");
    }
  }

  /// Random windows of the training part: a function of seed and step only, so every model of a
  /// seed sees the same ones, and a continued run sees those that it would have seen.
  Batch training_batch(std::uint64_t seed, index step, index sequences, index length) const {
    const xmoe::Random random{seed, xmoe::Random{}.fork(static_cast<std::uint64_t>(step)).stream};
    const auto places = training.size() - size(length);
    Batch batch{.sequences = sequences, .length = length};
    for (index b = 0; b < sequences; ++b) {
      const xmoe::Random::Block bits = random.block(static_cast<std::uint64_t>(b));
      const std::uint64_t number = (std::uint64_t{bits.word[0]} << 32) | bits.word[1];
      append(batch, training, static_cast<std::size_t>(number % places));
    }
    return batch;
  }

  /// Batch `number` of `batches`, whose windows are spread evenly over the held-out part.
  Batch validation_batch(index number, index batches, index sequences, index length) const {
    const index windows = batches * sequences;
    const index places = static_cast<index>(held_out.size()) - length - 1;
    Batch batch{.sequences = sequences, .length = length};
    for (index b = 0; b < sequences; ++b) {
      const index window = number * sequences + b;
      const std::size_t start = size(windows > 1 ? window * places / (windows - 1) : 0);
      append(batch, held_out, start);
      for (std::size_t i = start + 1; i <= start + size(length); ++i) {
        batch.characters += held_out_characters[i];
      }
    }
    return batch;
  }

 private:
  static void append(Batch& batch, const std::vector<std::int32_t>& ids, std::size_t start) {
    const auto first = ids.begin() + static_cast<std::ptrdiff_t>(start);
    batch.input.insert(batch.input.end(), first, first + batch.length);
    batch.target.insert(batch.target.end(), first + 1, first + 1 + batch.length);
  }
};

}  // namespace lm
