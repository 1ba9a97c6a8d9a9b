// SPDX-License-Identifier: Apache-2.0
#include "conformance/gate.hpp"

#include "support/catch.hpp"

namespace conformance {
namespace {

constexpr index dim = 6;

/// A gate with random weights, and what it makes of tokens.
template <class S, class P>
struct Case {
  using Weights = xmoe::weights_of<P, xmoe::Cpu<S>>;
  P policy;
  index experts;
  Weights own;
  tests::Work<S> work;

  Case(const P& p, index e, tests::Generator& random)
      : policy(p), experts(e), own(xmoe::detail::make_weights<xmoe::Cpu<S>>(p, {dim, e, 1})) {
    for (const xmoe::Parameter& q : parameters(own)) {
      q.template as<S>().load(tests::narrow<S>(tests::normals(random, q.size())));
    }
  }
  static xmoe::Parameters parameters(Weights& weights) {
    xmoe::Parameters list;
    xmoe::detail::append(list, "", weights);
    return list;
  }
  static xmoe::Batch<S> batch(const std::vector<S>& x) {
    return {xmoe::In<S>(x.data(), static_cast<index>(x.size()) / dim, dim)};
  }
  std::vector<S> logits(const std::vector<S>& x) {
    const index tokens = static_cast<index>(x.size()) / dim;
    std::vector<S> z(static_cast<std::size_t>(tokens * experts),
                     std::numeric_limits<S>::quiet_NaN());
    auto ctx = work.context();
    policy.forward(ctx, own, batch(x), xmoe::Out<S>(z.data(), tokens, experts));
    return z;
  }
};
template <class S, class P>
Case<S, P> make_case(const P& policy, index experts, tests::Generator& random) {
  return {policy, experts, random};
}

/// Roundings in a logit: one a term, and those of the terms themselves where they are sums too.
template <class P>
index products(const P& policy) {
  if constexpr (requires { policy.dim; }) {
    return (dim + 1) * (policy.dim + 1);
  } else {
    return dim + 1;
  }
}

TEST_CASE("gates: float as double, the same twice, every logit written", "[conformance]") {
  each(gates(), [](const auto& entry) {
    for (const index tokens : all_tokens) {
      for (const index experts : all_experts) {
        tests::Generator random(1), again(1);
        auto wide = make_case<double>(entry.policy, experts, random);
        auto narrow = make_case<float>(entry.policy, experts, again);
        const reference::Vector x = tests::normals(random, tokens * dim);
        const std::vector<double> want = wide.logits(x);
        const std::vector<float> got = narrow.logits(tests::narrow<float>(x));
        INFO(tokens << " tokens, " << experts << " experts");
        tests::check_close<float>("logits", tests::wide(got), want, products(entry.policy));
        CHECK(tests::same_bits(got, narrow.logits(tests::narrow<float>(x))));
        if (tokens > 0) {
          const double allowed =
              tests::tolerance<float>(products(entry.policy), tests::magnitude(want));
          CHECK_FALSE(tests::difference(reference::Vector(want.size(), 0.0), want, allowed).close);
        }
        check_measured(narrow.work, [&](auto& ctx) {
          std::vector<float> z(got.size());
          const auto xs = tests::narrow<float>(x);
          narrow.policy.forward(ctx, narrow.own, narrow.batch(xs),
                                xmoe::Out<float>(z.data(), tokens, experts));
        });
      }
    }
  });
}

TEST_CASE("gates: tokens do not see each other", "[conformance]") {
  each(gates(), [](const auto& entry) {
    for (const index experts : {1, 3, 64}) {
      tests::Generator random(2);
      auto c = make_case<float>(entry.policy, experts, random);
      for (const index tokens : all_tokens) {
        const auto x = tests::narrow<float>(tests::normals(random, tokens * dim));
        const std::vector<index> order = tests::permutation(random, tokens);
        const auto z = c.logits(x);
        CHECK(tests::same_bits(c.logits(permuted(x, order, dim)), permuted(z, order, experts)));
        for (index t = 0; t < tokens; ++t) {
          CHECK(tests::same_bits(c.logits(permuted(x, {t}, dim)), permuted(z, {t}, experts)));
        }
      }
    }
  });
}

TEST_CASE("gates: experts are interchangeable", "[conformance]") {
  each(gates(), [](const auto& entry) {
    for (const index experts : all_experts) {
      tests::Generator random(3);
      auto c = make_case<float>(entry.policy, experts, random);
      const auto x = tests::narrow<float>(tests::normals(random, 17 * dim));
      const auto z = c.logits(x);
      const std::vector<index> order = tests::permutation(random, experts);
      for (const xmoe::Parameter& p : c.parameters(c.own)) {  // tensors [1,E,cols]
        xmoe::Panels<float>& tensor = p.template as<float>();
        if (tensor.rows() != experts || p.name.find("projection") == 0) {
          continue;
        }
        std::vector<float> rows(static_cast<std::size_t>(tensor.size()));
        tensor.store(rows);
        tensor.load(permuted(rows, order, tensor.cols()));
      }
      const auto moved = c.logits(x);
      for (index t = 0; t < 17; ++t) {
        CHECK(tests::same_bits(permuted(moved, {t}, experts),
                               permuted(permuted(z, {t}, experts), order)));
      }
    }
  });
}

TEST_CASE("gates: gradients", "[conformance]") {
  each(gates(), [](const auto& entry) {
    for (const index tokens : all_tokens) {
      for (const index experts : {1, 2, 7, 17}) {
        tests::Generator random(4);
        auto c = make_case<double>(entry.policy, experts, random);
        c.work.mode = xmoe::Mode::train;
        c.work.random = xmoe::Random{1, 2};
        std::vector<double> x = tests::normals(random, tokens * dim);
        const index stride = xmoe::Panels<double>(0, experts, 0).padded_rows();
        std::vector<double> g(static_cast<std::size_t>(tokens * stride), 0.0);
        for (index i = 0; i < tokens * experts; ++i) {
          g[static_cast<std::size_t>(i / experts * stride + i % experts)] = random.normal();
        }
        const xmoe::In<double> upstream(g.data(), tokens, experts, stride);
        const auto objective = [&] {
          const std::vector<double> z = c.logits(x);
          double value = 0.0;
          for (index i = 0; i < tokens * experts; ++i) {
            value += upstream(i / experts, i % experts) * z[static_cast<std::size_t>(i)];
          }
          return value;
        };
        auto gradient = xmoe::detail::make_weights<xmoe::Cpu<double>>(c.policy, {dim, experts, 1});
        std::vector<double> dx(x.size(), 0.0);
        const auto backward = [&](auto& ctx) {
          c.policy.backward(ctx, c.own, c.batch(x), upstream, gradient,
                            xmoe::Out<double>(dx.data(), tokens, dim));
        };
        check_measured(c.work, backward);
        INFO(tokens << " tokens, " << experts << " experts");
        CHECK(tests::relative_error(dx, tests::slopes(objective, x)) < 1e-6);
        const xmoe::Parameters own = c.parameters(c.own), d = c.parameters(gradient);
        REQUIRE(own.size() == d.size());
        std::vector<std::vector<double>> numeric;
        for (std::size_t i = 0; i < own.size(); ++i) {
          INFO(own[i].name);
          numeric.push_back(tests::slopes(objective, own[i].template as<double>().values()));
          const auto once = tests::wide(d[i].template as<double>().values());
          CHECK(tests::relative_error(once, numeric.back()) < 1e-6);
        }
        auto ctx = c.work.context();
        backward(ctx);  // once more: gradients accumulate
        for (std::size_t i = 0; i < own.size(); ++i) {
          auto twice = tests::wide(d[i].template as<double>().values());
          CHECK((tokens == 0 || tests::relative_error(twice, numeric[i]) > 0.5));
          for (double& v : twice) {
            v *= 0.5;
          }
          CHECK(tests::relative_error(twice, numeric[i]) < 1e-6);
        }
      }
    }
  });
}

TEST_CASE("gates: weights round trip by name", "[conformance]") {
  each(gates(), [](const auto& entry) {
    for (const index experts : all_experts) {
      tests::Generator random(5);
      auto one = make_case<float>(entry.policy, experts, random);
      auto two = make_case<float>(entry.policy, experts, random);
      const auto x = tests::narrow<float>(tests::normals(random, 3 * dim));
      CHECK_FALSE(tests::same_bits(one.logits(x), two.logits(x)));
      check_round_trip<float>(one.own, two.own);
      CHECK(tests::same_bits(one.logits(x), two.logits(x)));
    }
  });
}

TEST_CASE("gates: the same seed starts the same", "[conformance]") {
  each(gates(), [](const auto& entry) {
    tests::Generator random(6);
    auto one = make_case<float>(entry.policy, 7, random);
    auto two = make_case<float>(entry.policy, 7, random);
    const auto x = tests::narrow<float>(tests::normals(random, 3 * dim));
    const auto start = [&](auto& c, std::uint64_t seed) {
      xmoe::detail::initialize<xmoe::Cpu<float>>(c.policy, c.own, xmoe::Random{seed});
    };
    start(one, 1);
    start(two, 1);
    CHECK(tests::same_bits(one.logits(x), two.logits(x)));
    start(two, 2);
    CHECK_FALSE(tests::same_bits(one.logits(x), two.logits(x)));
  });
}

}  // namespace
}  // namespace conformance
