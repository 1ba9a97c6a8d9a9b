// SPDX-License-Identifier: Apache-2.0
#include "conformance/batch_select.hpp"

#include <set>

#include "support/catch.hpp"

namespace conformance {
namespace {

using tests::Lists;
using tests::ScoreBatch;

constexpr xmoe::Mode modes[] = {xmoe::Mode::infer, xmoe::Mode::train};

template <class R>
void check_lists(const ScoreBatch<R>& batch, const Lists& got, bool by_scores) {
  for (index t = 0; t < batch.tokens(); ++t) {
    const auto& list = got[static_cast<std::size_t>(t)];
    const std::set<index> distinct(list.begin(), list.end());
    INFO("token " << t);
    CHECK(distinct.size() == list.size());
    CHECK((batch.is_valid(t) || list.empty()));
    for (const index e : list) {
      REQUIRE((e >= 0 && e < batch.experts));
      CHECK_FALSE(batch.masked(t, e));
    }
    for (std::size_t i = 1; i < list.size() && by_scores; ++i) {
      const auto before = xmoe::Candidate<R>::make({batch.score(t, list[i - 1])}, list[i - 1]);
      const auto after = xmoe::Candidate<R>::make({batch.score(t, list[i])}, list[i]);
      CHECK(after < before);
    }
  }
}
/// Some pairs masked, some tokens padding.
template <class R>
ScoreBatch<R> random_batch(tests::Generator& random, index tokens, index experts, bool ties,
                           bool holes) {
  auto batch = tests::softmax_batch<R>(tests::normal_matrix(random, tokens, experts, 1.5));
  for (std::size_t i = 0; i < batch.scores.size(); ++i) {
    if (ties) {
      batch.scores[i] = std::round(batch.scores[i] * R(16)) / R(16);
    }
    if (holes && random.below(8) == 0) {
      batch.logits[i] = -std::numeric_limits<R>::infinity();
    }
  }
  for (index t = 0; t < tokens && holes; ++t) {
    batch.valid.push_back(random.below(5) == 0 ? 0 : 1);
  }
  return batch;
}

TEMPLATE_TEST_CASE("batch selects: distinct, in range, allowed, best first, for any threads",
                   "[conformance]", float, double) {
  using R = TestType;
  each(batch_selects(), [](const auto& entry) {
    using P = std::remove_cvref_t<decltype(entry.policy)>;
    tests::Generator random(1);
    for (const index experts : {1, 2, 7, 60}) {
      for (const index tokens : all_tokens) {
        for (const int kind : {0, 1, 2, 3}) {
          const auto batch = random_batch<R>(random, tokens, experts, kind % 2 != 0, kind > 1);
          const Fitted<P> fitted(entry.policy, batch);
          xmoe::detail::check(fitted.policy, {1, experts, 1});
          for (const xmoe::Mode mode : modes) {
            INFO("seed 1, " << experts << " experts, " << tokens << " tokens, kind " << kind);
            const Lists got = tests::experts_by(fitted.policy, batch, {1, mode});
            check_lists(batch, got, orders_by_scores<P>);
            CHECK(tests::experts_by(fitted.policy, batch, {2, mode}) == got);
            CHECK(tests::experts_by(fitted.policy, batch, {5, mode}) == got);
          }
        }
      }
    }
  });
}

TEMPLATE_TEST_CASE("batch selects: hard rows among others", "[conformance]", float, double) {
  using R = TestType;
  each(batch_selects(), [](const auto& entry) {
    using P = std::remove_cvref_t<decltype(entry.policy)>;
    tests::Generator random(2);
    for (const index experts : {1, 3, 8}) {
      for (const auto& row : tests::hard_rows<R>(experts)) {
        for (const index tokens : {1, 5}) {  // alone, in the middle, everywhere
          for (const bool all : {false, true}) {
            auto batch = random_batch<R>(random, tokens, experts, false, false);
            for (index t = all ? 0 : tokens / 2; t < (all ? tokens : tokens / 2 + 1); ++t) {
              std::copy(row.values.begin(), row.values.end(), batch.scores.begin() + t * experts);
              std::copy(row.values.begin(), row.values.end(), batch.logits.begin() + t * experts);
            }
            const Fitted<P> fitted(entry.policy, batch);
            for (const xmoe::Mode mode : modes) {
              INFO(row.name << ", " << experts << " experts, " << tokens << " tokens");
              check_lists(batch, tests::experts_by(fitted.policy, batch, {2, mode}),
                          orders_by_scores<P>);
            }
          }
        }
      }
    }
  });
}

TEST_CASE("batch selects: padding changes nothing for the others", "[conformance]") {
  each(batch_selects(), [](const auto& entry) {
    using P = std::remove_cvref_t<decltype(entry.policy)>;
    if constexpr (requires { entry.policy.sequence; }) {
      if (entry.policy.sequence != 0) {
        return;  // padding has its place in a sequence
      }
    }
    tests::Generator random(3);
    for (const index experts : {1, 4, 9}) {
      const auto plain = random_batch<double>(random, 12, experts, false, false);
      auto padded = plain;
      for (const index at : {12, 5, 0}) {
        for (auto* numbers : {&padded.scores, &padded.logits}) {
          numbers->insert(numbers->begin() + at * experts, static_cast<std::size_t>(experts), 50.0);
        }
      }
      padded.valid.assign(15, 1);
      padded.valid[0] = padded.valid[6] = padded.valid[14] = 0;
      const Fitted<P> fitted(entry.policy, plain);
      const Fitted<P> other(entry.policy, padded);
      for (const xmoe::Mode mode : modes) {
        INFO("seed 3, " << experts << " experts");
        Lists got = tests::experts_by(other.policy, padded, {2, mode});
        for (const index at : {14, 6, 0}) {
          CHECK(got[static_cast<std::size_t>(at)].empty());
          got.erase(got.begin() + at);
        }
        CHECK(got == tests::experts_by(fitted.policy, plain, {2, mode}));
      }
    }
  });
}

TEST_CASE("batch selects: tokens and experts are interchangeable without ties", "[conformance]") {
  each(batch_selects(), [](const auto& entry) {
    using P = std::remove_cvref_t<decltype(entry.policy)>;
    if constexpr (requires { entry.policy.sequence; }) {
      if (entry.policy.sequence != 0) {
        return;
      }
    }
    if constexpr (std::is_same_v<P, xmoe::select::Given>) {
      return;
    } else {
      auto policy = entry.policy;
      if constexpr (requires { policy.eps; }) {
        policy.eps = 1e-6f;  // exact, as far as the bound tells optima apart
      } else if constexpr (requires { policy.inner.eps; }) {
        policy.inner.eps = 1e-9f;
      }
      tests::Generator random(4);
      for (const index experts : {2, 3, 8}) {  // one alone: softmax makes ties
        const index tokens = 24;
        const auto batch = random_batch<double>(random, tokens, experts, false, false);
        const std::vector<index> rows = tests::permutation(random, tokens);
        const std::vector<index> cols = tests::permutation(random, experts);
        ScoreBatch<double> moved = batch;
        for (index t = 0; t < tokens; ++t) {
          for (index e = 0; e < experts; ++e) {
            const index from =
                rows[static_cast<std::size_t>(t)] * experts + cols[static_cast<std::size_t>(e)];
            const auto to = static_cast<std::size_t>(t * experts + e);
            moved.scores[to] = batch.scores[static_cast<std::size_t>(from)];
            moved.logits[to] = batch.logits[static_cast<std::size_t>(from)];
          }
        }
        for (const xmoe::Mode mode : modes) {
          INFO("seed 4, " << experts << " experts");
          const Lists want = tests::experts_by(clamped(policy, experts), batch, {2, mode});
          Lists got = tests::experts_by(clamped(policy, experts), moved, {2, mode});
          for (auto& list : got) {
            for (index& e : list) {
              e = cols[static_cast<std::size_t>(e)];
            }
          }
          CHECK(got == permuted(want, rows));
        }
      }
    }
  });
}

TEST_CASE("batch selects: scratch as measured, in a router", "[conformance]") {
  each(batch_selects(), [](const auto& entry) {
    using P = std::remove_cvref_t<decltype(entry.policy)>;
    tests::Generator random(5);
    for (const index experts : {1, 3, 60}) {
      for (const index tokens : all_tokens) {
        const index dim = 5;
        const auto x = tests::narrow<float>(tests::normals(random, tokens * dim));
        const ScoreBatch<float> sizes{
            experts, std::vector<float>(static_cast<std::size_t>(tokens * experts), 0.f)};
        const Fitted<P> fitted(entry.policy, sizes);
        using Router = xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, P>;
        const Router router{.select = fitted.policy};
        tests::Work<float> work;
        auto own = router.template make_weights<xmoe::Cpu<float>>({dim, experts, 1});
        own.gate.weight.load(tests::narrow<float>(tests::normals(random, experts * dim)));
        for (work.mode = xmoe::Mode::infer;; work.mode = xmoe::Mode::train) {
          INFO(experts << " experts, " << tokens << " tokens");
          check_measured(work, [&](auto& ctx) {
            const xmoe::Batch<float> batch{xmoe::In<float>(x.data(), tokens, dim)};
            const auto d = router.forward(ctx, own, batch, experts);
            CHECK(d.routing.assignments() <= router.max_assignments(tokens, experts));
            for (index t = 0; t < tokens && !ctx.measuring(); ++t) {
              for (index a = d.routing.begin(t); a < d.routing.end(t); ++a) {
                CHECK(d.routing.weight[a] == d.scores(t, d.routing.expert[a]));
              }
            }
          });
          if (work.mode == xmoe::Mode::train) {
            break;
          }
        }
        auto other = router.template make_weights<xmoe::Cpu<float>>({dim, experts, 1});
        check_round_trip<float>(own, other);
      }
    }
  });
}

}  // namespace
}  // namespace conformance
