// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "golden/xmoe_cases.hpp"
#include "support/catch.hpp"
#include "support/loss_case.hpp"

// What holds for every loss, those included that conformance/loss_test.cpp cannot hold to its
// stricter rules: losses that depend on the order of tokens or experts, or that vanish at E = 1.
namespace tests {

using Ids = std::vector<std::vector<index>>;

struct LossTraits {
  bool tokens_move = true;   ///< the order of tokens is of no importance, nor where padding stands
  bool experts_move = true;  ///< nor is the order of experts
};

inline Ids random_ids(Generator& random, index tokens, index experts) {
  Ids chosen;
  for (index t = 0; t < tokens; ++t) {
    chosen.push_back(permutation(random, experts));
    chosen.back().resize(static_cast<std::size_t>(1 + random.below(std::min<index>(3, experts))));
  }
  return chosen;
}

/// The small golden case: T = 4, E = 8, scores = softmax, the k best of each row are chosen.
inline LossCase<double> wave_case(index k) {
  const reference::Matrix z = golden::wave_logits(4, 8);
  Ids chosen(4);
  for (index t = 0; t < 4; ++t) {
    std::vector<index> order{0, 1, 2, 3, 4, 5, 6, 7};
    std::stable_sort(order.begin(), order.end(),
                     [&](index a, index b) { return z(t, a) > z(t, b); });
    chosen[static_cast<std::size_t>(t)].assign(order.begin(), order.begin() + k);
  }
  LossCase<double> c(8, chosen);
  c.logits = z.values;
  c.softmax();
  return c;
}
/// The same with ReLU scores, every positive one chosen.
inline LossCase<double> relu_wave_case() {
  const reference::Matrix z = golden::wave_logits(4, 8);
  Ids chosen(4);
  std::vector<double> scores;
  for (index t = 0; t < 4; ++t) {
    for (index e = 0; e < 8; ++e) {
      scores.push_back(std::max(0.0, z(t, e)));
      if (z(t, e) > 0.0) {
        chosen[static_cast<std::size_t>(t)].push_back(e);
      }
    }
  }
  LossCase<double> c(8, chosen);
  c.logits = z.values;
  c.scores = scores;
  return c;
}

/// Backward against central differences; gradients of several losses add up.
template <class R, class L>
void check_loss_gradient(LossCase<R>& c, const L& loss) {
  const auto value = [&] { return c.value(loss); };
  const reference::Vector by_scores = slopes(value, c.scores);
  const reference::Vector by_logits = slopes(value, c.logits);
  value();
  CHECK(relative_error(c.dscores, by_scores) < 1e-6);
  CHECK(relative_error(c.dlogits, by_logits) < 1e-6);
  if (magnitude(by_scores) + magnitude(by_logits) > 1e-2) {  // twin
    CHECK(std::max(relative_error(c.dlogits, by_scores), relative_error(c.dscores, by_logits)) >
          1e-6);
  }
  const std::vector<double> scores = c.dscores, logits = c.dlogits;
  c.add(loss);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    CHECK(within(c.dscores[i], 2.0 * scores[i], 1e-14 + 1e-14 * std::abs(scores[i])));
    CHECK(within(c.dlogits[i], 2.0 * logits[i], 1e-14 + 1e-14 * std::abs(logits[i])));
  }
}

/// A case of T tokens without those at which `real` is 0, in which logits and scores are NaN.
template <class R>
LossCase<R> with_padding(const LossCase<R>& all, const Ids& chosen,
                         const std::vector<std::uint8_t>& real) {
  Ids ids = chosen;
  for (std::size_t t = 0; t < ids.size(); ++t) {
    if (real[t] == 0) {
      ids[t].clear();
    }
  }
  LossCase<R> c(all.experts, ids);
  c.logits = all.logits;
  c.scores = all.scores;
  c.valid = real;
  for (index t = 0; t < c.tokens(); ++t) {
    for (index e = 0; e < c.experts && real[static_cast<std::size_t>(t)] == 0; ++e) {
      c.logit(t, e) = c.score(t, e) = std::numeric_limits<R>::quiet_NaN();
    }
  }
  return c;
}

/// make(tokens, experts) -> the loss, alike for double and float.
template <class Make>
void check_loss(Make make, LossTraits traits = {}) {
  Generator random(7);
  for (const index tokens : {0, 1, 2, 17}) {
    for (const index experts : {1, 2, 4, 12}) {
      INFO(tokens << " tokens, " << experts << " experts");
      const auto loss = make(tokens, experts);
      const Ids chosen = random_ids(random, tokens, experts);
      LossCase<double> c(experts, chosen);
      check_loss_gradient(c, loss);

      const double value = c.value(loss);
      CHECK(xmoe::is_finite(value));
      CHECK(c.value(loss) == value);
      CHECK((tokens > 0 || value == 0.0));
      auto twice = loss;
      twice.coefficient *= 2.f;
      CHECK(within(c.value(twice), 2.0 * value, 1e-14 * std::abs(value)));
      c.value(loss);

      LossCase<float> narrowed(experts, chosen);
      CHECK(within(narrowed.value(loss), value, 2e-5 * (std::abs(value) + loss.coefficient)));
      CHECK(relative_error(wide(narrowed.dscores), c.dscores) < 1e-3);
      CHECK(relative_error(wide(narrowed.dlogits), c.dlogits) < 1e-3);

      LossCase<double> empty =
          with_padding(c, chosen, std::vector<std::uint8_t>(static_cast<std::size_t>(tokens), 0));
      CHECK(empty.value(loss) == 0.0);
      CHECK(empty.dscores == std::vector<double>(c.scores.size(), 0.0));
      CHECK(empty.dlogits == std::vector<double>(c.scores.size(), 0.0));

      // Padding takes no part: not a number comes through, and nothing reaches it.
      std::vector<std::uint8_t> real;
      Ids left;
      std::vector<double> left_logits;
      for (index t = 0; t < tokens; ++t) {
        real.push_back(random.below(3) != 0 ? 1 : 0);
        if (real.back() != 0) {
          left.push_back(chosen[static_cast<std::size_t>(t)]);
          left_logits.insert(left_logits.end(), c.logits.begin() + t * experts,
                             c.logits.begin() + (t + 1) * experts);
        }
      }
      LossCase<double> padded = with_padding(c, chosen, real);
      const double among = padded.value(loss);
      CHECK(xmoe::is_finite(among));
      for (index t = 0; t < tokens; ++t) {
        for (index e = 0; e < experts; ++e) {
          const auto i = static_cast<std::size_t>(t * experts + e);
          CHECK(xmoe::is_finite(padded.dscores[i] + padded.dlogits[i]));
          if (real[static_cast<std::size_t>(t)] == 0) {
            CHECK(padded.dscores[i] == 0.0);
            CHECK(padded.dlogits[i] == 0.0);
          }
        }
      }
      if (traits.tokens_move) {
        LossCase<double> compact(experts, left);
        compact.logits = left_logits;
        compact.softmax();
        CHECK(within(compact.value(loss), among, 1e-14 * std::abs(among)));
      }

      if (traits.tokens_move || traits.experts_move) {
        std::vector<index> by_token(static_cast<std::size_t>(tokens));
        std::vector<index> by_expert(static_cast<std::size_t>(experts));
        std::iota(by_token.begin(), by_token.end(), index(0));
        std::iota(by_expert.begin(), by_expert.end(), index(0));
        if (traits.tokens_move) {
          by_token = permutation(random, tokens);
        }
        if (traits.experts_move) {
          by_expert = permutation(random, experts);
        }
        Ids moved;
        for (const index t : by_token) {
          moved.push_back(chosen[static_cast<std::size_t>(t)]);
          for (index& e : moved.back()) {
            e = std::find(by_expert.begin(), by_expert.end(), e) - by_expert.begin();
          }
        }
        LossCase<double> other(experts, moved);
        for (index t = 0; t < tokens; ++t) {
          for (index e = 0; e < experts; ++e) {
            other.logit(t, e) = c.logit(by_token[static_cast<std::size_t>(t)],
                                        by_expert[static_cast<std::size_t>(e)]);
          }
        }
        other.softmax();
        CHECK(within(other.value(loss), value, 1e-12 * std::abs(value)));
      }
    }
  }
}
template <class L>
void check_loss_of(const L& loss, LossTraits traits = {}) {
  check_loss([&](index, index) { return loss; }, traits);
}

}  // namespace tests
