// SPDX-License-Identifier: Apache-2.0
#include "conformance/dispatch.hpp"

#include "support/catch.hpp"
#include "support/routing_case.hpp"

namespace conformance {
namespace {

constexpr index dim = 5;
using Wishes = std::vector<std::vector<tests::Wish>>;

/// A plan with rows that depend on (token, expert) alone, and both ways back.
template <class S>
struct Result {
  std::vector<std::vector<tests::Kept>> kept;
  std::vector<S> y, dx;  ///< [T,D]
};

template <class S>
S row_number(const Wishes& wishes, index token, index expert, index d) {
  const double first = wishes[static_cast<std::size_t>(token)][0].score;
  return static_cast<S>(static_cast<float>(
      std::sin(7.0 * first + 3.0 * static_cast<double>(expert) + static_cast<double>(d))));
}

template <class S, class P>
Result<S> run(const P& policy, const Wishes& wishes, index experts, bool check = true) {
  const index first = P::placeholders;
  const index tokens = static_cast<index>(wishes.size());
  const xmoe::Routing<S> routing = tests::routing_of<S>(experts + first, wishes);
  const auto view = routing.view();
  tests::Work<S> work;
  work.random = xmoe::Random{5};
  const auto plan_of = [&](auto& ctx) { return policy.plan(ctx, view, experts); };
  if (check) {
    check_measured(work, [&](auto& ctx) { plan_of(ctx); });
  }
  auto ctx = work.context();
  const xmoe::PlanView plan = plan_of(ctx);
  if (check) {
    tests::check_plan(plan, view, first);
    CHECK(plan.kept <= policy.max_rows(ctx, tokens, experts, routing.assignments()));
  }
  std::vector<S> rows(static_cast<std::size_t>(plan.kept * dim));
  for (index m = 0; m < plan.kept; ++m) {
    const index e = view.expert[plan.assignment[m]];
    for (index d = 0; d < dim; ++d) {
      rows[static_cast<std::size_t>(m * dim + d)] = row_number<S>(wishes, plan.token[m], e, d);
    }
  }
  Result<S> r{tests::kept_by_expert(plan, view), {}, {}};
  r.y.assign(static_cast<std::size_t>(tokens * dim), std::numeric_limits<S>::quiet_NaN());
  r.dx = r.y;
  const xmoe::In<S> from(rows.data(), plan.kept, dim);
  const std::vector<S> weight = tests::row_weights(view, plan);
  const xmoe::RowSum<S> y{plan.token, weight.data(), xmoe::Out<S>(r.y.data(), tokens, dim)};
  y.clear();
  for (index m = 0; m < plan.kept; ++m) {
    y.add(m, 0, dim, from.row_data(m));
  }
  ctx.backend.template sum_by_token<S>(view.offsets, plan.row, from,
                                       xmoe::Out<S>(r.dx.data(), tokens, dim));
  return r;
}

/// The sums that should come out, from who was kept.
template <class S>
Result<double> naive(const Result<S>& got, const Wishes& wishes, index first) {
  Result<double> r;
  r.y.assign(got.y.size(), 0.0);
  r.dx = r.y;
  for (const auto& expert : got.kept) {
    for (const tests::Kept& k : expert) {
      const tests::Wish& wish =
          wishes[static_cast<std::size_t>(k.token)][static_cast<std::size_t>(k.rank)];
      REQUIRE(wish.expert >= first);
      for (index d = 0; d < dim; ++d) {
        const auto i = static_cast<std::size_t>(k.token * dim + d);
        const double number = row_number<double>(wishes, k.token, wish.expert, d);
        r.y[i] += wish.score * number;
        r.dx[i] += number;
      }
    }
  }
  return r;
}

TEMPLATE_TEST_CASE("dispatches: plans hold together, sums are right", "[conformance]", float,
                   double) {
  using S = TestType;
  each(dispatches(), [](const auto& entry) {
    constexpr index first = std::remove_cvref_t<decltype(entry.policy)>::placeholders;
    tests::Generator random(1);
    for (const index tokens : all_tokens) {
      for (const index experts : all_experts) {
        INFO(tokens << " tokens, " << experts << " experts");
        const Wishes wishes =
            tests::random_wishes(random, tokens, experts + first, 5, tokens == 17);
        const Result<S> got = run<S>(entry.policy, wishes, experts);
        const Result<double> want = naive(got, wishes, first);
        tests::check_close<S>("y", tests::wide(got.y), want.y, 6);
        tests::check_close<S>("dx", tests::wide(got.dx), want.dx, 6);
        if (tests::magnitude(want.y) > 0.0) {  // twin: unweighted sums are not the weighted ones
          CHECK_FALSE(tests::difference(tests::wide(got.dx), want.y,
                                        tests::tolerance<S>(6, tests::magnitude(want.y)))
                          .close);
        }
      }
    }
  });
}

TEST_CASE("dispatches: the same twice, and in float as in double", "[conformance]") {
  each(dispatches(), [](const auto& entry) {
    constexpr index first = std::remove_cvref_t<decltype(entry.policy)>::placeholders;
    tests::Generator random(2);
    for (const index experts : all_experts) {
      const Wishes wishes = tests::random_wishes(random, 33, experts + first, 4, true);
      const Result<float> one = run<float>(entry.policy, wishes, experts, false);
      const Result<float> two = run<float>(entry.policy, wishes, experts, false);
      CHECK(one.kept == two.kept);
      CHECK(tests::same_bits(one.y, two.y));
      CHECK(tests::same_bits(one.dx, two.dx));
      CHECK(run<double>(entry.policy, wishes, experts, false).kept == one.kept);
    }
  });
}

TEST_CASE("dispatches: tokens may come in any order", "[conformance]") {
  each(dispatches(), [](const auto& entry) {
    using P = std::remove_cvref_t<decltype(entry.policy)>;
    if constexpr (blind_to_order<P>) {
      tests::Generator random(3);
      for (const index tokens : all_tokens) {
        for (const index experts : {1, 3, 8}) {
          const Wishes wishes =
              tests::random_wishes(random, tokens, experts + P::placeholders, 3, true);
          const std::vector<index> order = tests::permutation(random, tokens);
          const Result<float> plain = run<float>(entry.policy, wishes, experts, false);
          const Result<float> moved =
              run<float>(entry.policy, permuted(wishes, order), experts, false);
          INFO(tokens << " tokens, " << experts << " experts");
          CHECK(tests::same_bits(moved.y, permuted(plain.y, order, dim)));
          CHECK(tests::same_bits(moved.dx, permuted(plain.dx, order, dim)));
        }
      }
    }
  });
}

TEST_CASE("dispatches: all on one expert, nobody at all, everybody alike", "[conformance]") {
  each(dispatches(), [](const auto& entry) {
    constexpr index first = std::remove_cvref_t<decltype(entry.policy)>::placeholders;
    for (const index experts : {1, 2, 60}) {
      for (const index target : {index(0), experts - 1}) {
        Wishes wishes(33, {{target + first, 0.5}});  // every score ties
        const Result<double> got = run<double>(entry.policy, wishes, experts);
        for (index e = 0; e < experts; ++e) {
          CHECK((e == target || got.kept[static_cast<std::size_t>(e)].empty()));
        }
      }
      const Result<double> none = run<double>(entry.policy, Wishes(7), experts);
      CHECK(none.y == std::vector<double>(7 * dim, 0.0));
      CHECK(none.dx == none.y);
    }
  });
}

}  // namespace
}  // namespace conformance
