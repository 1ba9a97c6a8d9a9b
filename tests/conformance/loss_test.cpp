// SPDX-License-Identifier: Apache-2.0
#include "conformance/loss.hpp"

#include "support/catch.hpp"
#include "support/loss_case.hpp"

namespace conformance {
namespace {

using Ids = std::vector<std::vector<index>>;

Ids random_choice(tests::Generator& random, index tokens, index experts) {
  Ids chosen;
  for (index t = 0; t < tokens; ++t) {
    std::vector<index> ids = tests::permutation(random, experts);
    ids.resize(static_cast<std::size_t>(1 + random.below(std::min<index>(3, experts))));
    chosen.push_back(ids);
  }
  return chosen;
}

TEST_CASE("losses: gradients of scores and of logits", "[conformance]") {
  each(losses(), [](const auto& entry) {
    tests::Generator random(1);
    for (const index tokens : all_tokens) {
      for (const index experts : {1, 2, 3, 7, 17}) {
        tests::LossCase<double> c(experts, random_choice(random, tokens, experts));
        const auto value = [&] { return c.value(entry.policy); };
        const reference::Vector by_scores = tests::slopes(value, c.scores);
        const reference::Vector by_logits = tests::slopes(value, c.logits);
        value();
        INFO(tokens << " tokens, " << experts << " experts");
        CHECK(tests::relative_error(c.dscores, by_scores) < 1e-6);
        CHECK(tests::relative_error(c.dlogits, by_logits) < 1e-6);
        if (tests::magnitude(by_scores) + tests::magnitude(by_logits) > 1e-2) {  // twin
          CHECK(std::max(tests::relative_error(c.dlogits, by_scores),
                         tests::relative_error(c.dscores, by_logits)) > 1e-6);
        }
        const std::vector<double> scores = c.dscores, logits = c.dlogits;
        c.add(entry.policy);  // gradients accumulate
        for (std::size_t i = 0; i < scores.size(); ++i) {
          CHECK(tests::within(c.dscores[i], 2.0 * scores[i], 1e-14));
          CHECK(tests::within(c.dlogits[i], 2.0 * logits[i], 1e-14));
        }
      }
    }
  });
}

TEST_CASE("losses: no tokens, no value; finite otherwise; the same twice", "[conformance]") {
  each(losses(), [](const auto& entry) {
    tests::Generator random(2);
    for (const index experts : all_experts) {
      tests::LossCase<float> none(experts, {});
      CHECK(none.value(entry.policy) == 0.0);
      tests::LossCase<float> c(experts, random_choice(random, 33, experts));
      const double value = c.value(entry.policy);
      CHECK(xmoe::is_finite(value));
      CHECK(value >= 0.0);
      CHECK(c.value(entry.policy) == value);
      c.valid.assign(33, 0);  // nothing but padding; such tokens have no experts
      tests::LossCase<float> padding(experts, Ids(33));
      padding.valid.assign(33, 0);
      CHECK(padding.value(entry.policy) == 0.0);
      CHECK(padding.dscores == std::vector<float>(padding.dscores.size(), 0.f));
      CHECK(padding.dlogits == std::vector<float>(padding.dlogits.size(), 0.f));
    }
  });
}

TEST_CASE("losses: float as double", "[conformance]") {
  each(losses(), [](const auto& entry) {
    tests::Generator random(3);
    for (const index experts : all_experts) {
      const Ids chosen = random_choice(random, 33, experts);
      tests::LossCase<double> wide(experts, chosen);
      tests::LossCase<float> narrow(experts, chosen);
      const double want = wide.value(entry.policy);
      INFO(experts << " experts");
      tests::check_close<float>("value", {narrow.value(entry.policy)}, {want}, experts + 16);
      // Gradients are differences of numbers of this size; they may cancel.
      const double scale =
          static_cast<double>(entry.policy.coefficient) * static_cast<double>(experts) / 33.0;
      const auto close = [&](const std::vector<float>& got, const std::vector<double>& right) {
        return tests::difference(
                   tests::wide(got), right,
                   tests::tolerance<float>(experts + 16, std::max(scale, tests::magnitude(right))))
            .close;
      };
      CHECK(close(narrow.dscores, wide.dscores));
      CHECK(close(narrow.dlogits, wide.dlogits));
      CHECK((experts < 7 || !close(narrow.dscores, wide.dlogits)));  // twin
      CHECK_FALSE(tests::within(narrow.value(entry.policy), 2.0 * want,
                                tests::tolerance<float>(experts + 16, std::abs(want))));
    }
  });
}

TEST_CASE("losses: proportional to the coefficient", "[conformance]") {
  each(losses(), [](const auto& entry) {
    tests::Generator random(4);
    for (const index experts : {1, 7, 60}) {
      tests::LossCase<double> c(experts, random_choice(random, 17, experts));
      auto half = entry.policy;
      half.coefficient *= 0.5f;
      CHECK(tests::within(c.value(entry.policy), 2.0 * c.value(half), 1e-12));
    }
  });
}

TEST_CASE("losses: padding as if it were not there, bit for bit", "[conformance]") {
  each(losses(), [](const auto& entry) {
    tests::Generator random(5);
    for (const index experts : {1, 3, 60}) {
      const Ids real = random_choice(random, 17, experts);
      Ids chosen;
      std::vector<std::uint8_t> valid;
      for (const auto& row : real) {
        while (random.below(3) == 0) {
          chosen.emplace_back();
          valid.push_back(0);
        }
        chosen.push_back(row);
        valid.push_back(1);
      }
      tests::LossCase<float> compact(experts, real), padded(experts, chosen, 9);
      padded.valid = valid;
      index next = 0;
      for (index t = 0; t < padded.tokens(); ++t) {
        const bool is_real = valid[static_cast<std::size_t>(t)] != 0;
        for (index e = 0; e < experts; ++e) {
          const float nan = std::numeric_limits<float>::quiet_NaN();
          padded.logit(t, e) = is_real ? compact.logit(next, e) : nan;
          padded.score(t, e) = is_real ? compact.score(next, e) : nan;
        }
        next += is_real ? 1 : 0;
      }
      CHECK(padded.value(entry.policy) == compact.value(entry.policy));
      std::vector<float> dscores, dlogits;
      for (index t = 0; t < padded.tokens(); ++t) {
        for (index e = 0; e < experts; ++e) {
          const auto i = static_cast<std::size_t>(t * experts + e);
          if (valid[static_cast<std::size_t>(t)] != 0) {
            dscores.push_back(padded.dscores[i]);
            dlogits.push_back(padded.dlogits[i]);
          } else {
            CHECK(padded.dscores[i] == 0.f);
            CHECK(padded.dlogits[i] == 0.f);
          }
        }
      }
      CHECK(tests::same_bits(dscores, compact.dscores));
      CHECK(tests::same_bits(dlogits, compact.dlogits));
    }
  });
}

TEST_CASE("losses: tokens and experts are interchangeable", "[conformance]") {
  each(losses(), [](const auto& entry) {
    tests::Generator random(6);
    for (const index experts : {2, 7, 60}) {
      const Ids chosen = random_choice(random, 17, experts);
      tests::LossCase<double> c(experts, chosen);
      const auto by_token = tests::permutation(random, 17);
      const auto by_expert = tests::permutation(random, experts);
      Ids moved = permuted(chosen, by_token);
      for (auto& row : moved) {
        for (index& e : row) {
          e = std::find(by_expert.begin(), by_expert.end(), e) - by_expert.begin();
        }
      }
      tests::LossCase<double> other(experts, moved);
      for (index t = 0; t < 17; ++t) {
        for (index e = 0; e < experts; ++e) {
          const index u = by_token[static_cast<std::size_t>(t)];
          const index f = by_expert[static_cast<std::size_t>(e)];
          other.logit(t, e) = c.logit(u, f);
          other.score(t, e) = c.score(u, f);
        }
      }
      CHECK(tests::within(other.value(entry.policy), c.value(entry.policy), 1e-12));
    }
  });
}

}  // namespace
}  // namespace conformance
