// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/router.hpp>

#include <set>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using tests::Work;

/// A gate whose logits are the tokens themselves.
struct Given {
  template <class Traits, class Own>
  void forward(Context<Traits>& ctx, const Own&, const Batch<typename Traits::scalar>& batch,
               MatrixView<typename Traits::routing> logits) const {
    for (index t = 0; t < batch.x.rows() && !ctx.measuring(); ++t) {
      for (index e = 0; e < batch.x.cols(); ++e) {
        logits(t, e) = batch.x(t, e);
      }
    }
  }
  template <class Traits, class Own>
  void backward(Context<Traits>& ctx, const Own&, const Batch<typename Traits::scalar>&,
                MatrixView<const typename Traits::routing> dlogits, Own&,
                MatrixView<typename Traits::scalar> dx) const {
    for (index t = 0; t < dx.rows() && !ctx.measuring(); ++t) {
      for (index e = 0; e < dx.cols(); ++e) {
        dx(t, e) += dlogits(t, e);
      }
    }
  }
};

template <class S>
Batch<S> batch_of(const std::vector<S>& x, index experts,
                  const std::vector<std::uint8_t>& valid = {}) {
  return {In<S>(x.data(), static_cast<index>(x.size()) / experts, experts), tests::in(valid)};
}

/// A decision as vectors.
template <class R>
struct Chosen {
  std::vector<index> offsets;
  std::vector<std::int32_t> expert;
  std::vector<R> weight, score;
  index valid = 0;
};
template <class S, class P>
Chosen<S> decide(const P& router, const Batch<S>& batch, index experts) {
  Work<S> work;
  auto ctx = work.context();
  const auto own = detail::make_weights<Cpu<S>>(router, {batch.x.cols(), experts, 1});
  const RoutingView<S> r = router.forward(ctx, own, batch, experts).routing;
  const index n = r.assignments();
  return {{r.offsets, r.offsets + r.tokens + 1},
          {r.expert, r.expert + n},
          {r.weight, r.weight + n},
          {r.score, r.score + n},
          r.valid_tokens};
}

using Threshold = Router<Given, score::Softmax, select::Threshold>;
using TopK = Router<Given, score::Sigmoid, select::TopK, weigh::Normalized>;

TEST_CASE("router: one row by hand", "[router]") {
  // softmax of ln p is p
  const std::vector<double> x = {std::log(0.2), std::log(0.5), std::log(0.3)};
  const auto c = decide(Threshold{.select = {0.6f}}, batch_of(x, 3), 3);
  CHECK(c.offsets == std::vector<index>{0, 2});
  CHECK(c.expert == std::vector<std::int32_t>{1, 2});
  CHECK(tests::relative_error(c.weight, {0.5, 0.3}) < 1e-15);
  CHECK(c.score == c.weight);
  CHECK(c.valid == 1);
}

TEMPLATE_TEST_CASE("router: as the oracle", "[router]", float, double) {
  using R = TestType;
  tests::Generator random(4);
  for (const index experts : {1, 3, 8, 60}) {
    for (const index tokens : {0, 1, 33, 70}) {
      const auto x = tests::narrow<R>(tests::normals(random, tokens * experts));
      const index k = experts < 3 ? 1 : 3;
      const auto c = decide(TopK{.select = {k}, .weigh = {2.f}}, batch_of(x, experts), experts);
      INFO(tokens << " tokens, " << experts << " experts");
      REQUIRE(static_cast<index>(c.expert.size()) == tokens * k);
      reference::Router oracle;
      oracle.score = reference::Score::sigmoid;
      oracle.select = reference::Select::top_k;
      oracle.weigh = reference::Weigh::normalized;
      oracle.scale = 2.0;
      oracle.k = k;
      reference::Vector want, got = tests::wide(c.weight);
      bool same = true;
      for (index t = 0; t < tokens; ++t) {
        const reference::Vector z =
            tests::wide(std::vector<R>(x.begin() + t * experts, x.begin() + (t + 1) * experts));
        const reference::Vector s = reference::scores_of(oracle.score, z);
        const std::vector<index> ids = reference::choose(oracle, s);
        for (std::size_t r = 0; r < ids.size(); ++r) {
          same = same && ids[r] == c.expert[static_cast<std::size_t>(t * k) + r];
        }
        const reference::Vector w = reference::weigh(oracle, z, s, ids);
        want.insert(want.end(), w.begin(), w.end());
      }
      CHECK(same);
      tests::check_close<R>("weights", got, want, 8 + k);
      if (tokens > 0) {  // twins: doubled scale, zeros
        const double allowed = tests::tolerance<R>(8 + k, tests::magnitude(want));
        for (double& w : got) {
          w *= 2.0;
        }
        CHECK_FALSE(tests::difference(got, want, allowed).close);
        CHECK_FALSE(tests::difference(reference::Vector(want.size(), 0.0), want, allowed).close);
      }
    }
  }
}

TEST_CASE("router: padding takes no part", "[router]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> x = {nan, nan, 0.0, 2.0, nan, 0.0, 1.0, 0.5};
  const auto c = decide(Threshold{.select = {0.5f}}, batch_of(x, 2, {0, 1, 0, 1}), 2);
  CHECK(c.offsets == std::vector<index>{0, 0, 1, 1, 2});
  CHECK(c.expert == std::vector<std::int32_t>{1, 0});
  CHECK(c.valid == 2);
  CHECK(decide(Threshold{}, batch_of(x, 2, {0, 0, 0, 0}), 2).expert.empty());
}

TEST_CASE("router: a logit that is no number is refused by name", "[router]") {
  std::vector<float> x = {0, 1, 2, 3, 4, 5};
  const auto text = [&](const std::vector<std::uint8_t>& valid) {
    return tests::message_of<value_error>([&] { decide(TopK{}, batch_of(x, 3, valid), 3); });
  };
  CHECK(text({}).empty());
  x[4] = std::numeric_limits<float>::infinity();
  CHECK(text({}) ==
        "xmoe::Router::forward: the logit of token 1, expert 1 is inf: x or the gate's weights are "
        "not finite (Router::nonfinite = NonFinite::propagate routes on)");
  x[2] = std::numeric_limits<float>::quiet_NaN();
  CHECK(text({}).find("the logit of token 0, expert 2 is nan") != std::string::npos);
  CHECK(text({0, 1}).find("the logit of token 1, expert 1 is inf") != std::string::npos);
  CHECK(text({0, 0}).empty());
  x = {0, 1, -std::numeric_limits<float>::infinity(), 0, 0, 0};  // a mask, not an error
  CHECK(text({}).empty());
}

TEMPLATE_TEST_CASE("router: hard rows routed on", "[router]", float, double) {
  using R = TestType;
  for (const index experts : {2, 7, 60}) {
    for (const auto& row : tests::hard_rows<R>(experts)) {
      INFO(experts << " experts: " << row.name);
      const auto check = [&](const auto& router) {
        const auto c = decide(router, batch_of(row.values, experts), experts);
        const std::set<std::int32_t> distinct(c.expert.begin(), c.expert.end());
        CHECK(distinct.size() == c.expert.size());
        CHECK(distinct.empty() == (row.name == "all -Inf"));
        CHECK((distinct.empty() || (*distinct.begin() >= 0 && *distinct.rbegin() < experts)));
      };
      check(Threshold{.nonfinite = NonFinite::propagate});
      check(TopK{.nonfinite = NonFinite::propagate});
    }
  }
}

TEST_CASE("router: the gradient, with what losses add", "[router]") {
  tests::Generator random(6);
  const index experts = 5, tokens = 4;
  std::vector<double> x = tests::normals(random, tokens * experts, 2.0);
  const reference::Vector dw = tests::normals(random, tokens * experts);
  const reference::Vector ds = tests::normals(random, tokens * experts);
  const reference::Vector dz = tests::normals(random, tokens * experts);
  const Router<Given, score::Softmax, select::Threshold, weigh::Normalized> router{
      .select = {0.7f}};
  Work<double> work;
  auto own = router.make_weights<Cpu<double>>({experts, experts, 1});
  const auto objective = [&] {
    auto ctx = work.context();
    const auto d = router.forward(ctx, own, batch_of(x, experts), experts);
    double value = 0.0;
    for (index a = 0; a < d.routing.assignments(); ++a) {
      value += dw[static_cast<std::size_t>(a)] * d.routing.weight[a];
    }
    for (index i = 0; i < tokens * experts; ++i) {
      const auto j = static_cast<std::size_t>(i);
      value += ds[j] * d.scores.data()[i] + dz[j] * d.logits.data()[i];
    }
    return value;
  };
  auto ctx = work.context();
  const auto decision = router.forward(ctx, own, batch_of(x, experts), experts);
  std::vector<double> dx(x.size(), 0.0);
  const auto backward = [&](In<double> scores, In<double> logits) {
    std::fill(dx.begin(), dx.end(), 0.0);
    router.backward(ctx, own, batch_of(x, experts), decision,
                    DecisionGradient<double>{tests::in(dw), scores, logits}, own,
                    Out<double>(dx.data(), tokens, experts));
  };
  backward({ds.data(), tokens, experts}, {dz.data(), tokens, experts});
  const std::vector<double> analytic = dx;
  backward({}, {dz.data(), tokens, experts});
  const std::vector<double> without = dx;
  const reference::Vector numeric = tests::slopes(objective, x);
  CHECK(tests::relative_error(analytic, numeric) < 1e-8);
  CHECK(tests::relative_error(without, numeric) > 1e-2);
}

TEST_CASE("router: what can never learn is refused in training", "[router]") {
  CHECK(tests::message_of<value_error>([] {
          TopK{.select = {1}}.check_training({4, 8, 1});
        }) ==
        "xmoe::Router: with one expert a token (of 8), weights renormalised over the choice are "
        "always 1 and the router never learns; use weigh::Raw");
  CHECK(tests::message_of<value_error>([] {
          TopK{.select = {2}}.check_training({4, 8, 1});
        }).empty());
  CHECK(tests::message_of<value_error>([] {
          TopK{.select = {1}}.check_training({4, 1, 1});
        }).empty());
  CHECK(tests::message_of<value_error>([] {
          Threshold{.select = {0.f}}.check_training({4, 8, 1});
        }).empty());  // raw weights learn
  CHECK(tests::message_of<value_error>([] {
          TopK{.select = {9}}.check({4, 8, 1});
        }) == "xmoe::select::TopK: k is 9, must be in 1 .. 8 (experts)");
}

TEST_CASE("router: names of the tensors", "[router]") {
  Router<gate::Linear, score::Softmax, select::Biased<select::TopK>> router{.gate = {.bias = true}};
  auto own = router.make_weights<Cpu<float>>({3, 4, 1});
  Parameters list;
  detail::append(list, "router.", own);
  REQUIRE(list.size() == 3);
  CHECK(list[0].name == "router.gate.weight");
  CHECK(list[1].name == "router.gate.bias");
  CHECK(list[2].name == "router.select.bias");
  CHECK(count(list) == 12 + 4 + 4);
}

}  // namespace
}  // namespace xmoe
