// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "conformance/expert.hpp"
#include "support/catch.hpp"
#include "support/expert_case.hpp"

// What every bank of experts must do, for one entry of the list.
namespace conformance {

template <class S, class P>
tests::WeightsOf<S, P> random_bank(const P& policy, xmoe::Sizes sizes, std::uint64_t seed) {
  tests::Generator random(seed);
  auto own = policy.template make_weights<xmoe::Cpu<S>>(sizes);
  tests::randomize<S>(own, random, 0.6);
  return own;
}

/// Every element written, the same twice, float as double, gradients too.
template <class P>
void check_numbers(const P& policy) {
  for (const index tokens : all_tokens) {
    for (const xmoe::Sizes sizes :
         {xmoe::Sizes{5, 1, 3}, xmoe::Sizes{7, 3, 33}, xmoe::Sizes{33, 8, 4}}) {
      tests::Generator random(1), again(1);
      const tests::ExpertCase<double> wide(random, tokens, sizes, tokens == 17);
      const tests::ExpertCase<float> narrow(again, tokens, sizes, tokens == 17);
      const auto own = random_bank<double>(policy, sizes, 2);
      const auto own_float = random_bank<float>(policy, sizes, 2);
      auto g = policy.template make_weights<xmoe::Cpu<double>>(sizes);
      auto g_float = policy.template make_weights<xmoe::Cpu<float>>(sizes);
      auto g_again = g_float;
      const auto want = tests::run_experts(policy, own, wide, &g);
      const auto got = tests::run_experts(policy, own_float, narrow, &g_float);
      const auto twice = tests::run_experts(policy, own_float, narrow, &g_again);
      INFO(tokens << " tokens, D " << sizes.model_dim << ", H " << sizes.expert_dim);
      const index chain = 3 * (sizes.model_dim + sizes.expert_dim) + tokens;
      tests::check_close<float>("rows", tests::wide(got.rows), want.rows, chain);
      tests::check_close<float>("y", tests::wide(got.y), want.y, chain);
      tests::check_close<float>("dweight", tests::wide(got.dweight), want.dweight, chain);
      tests::check_close<float>("dx", tests::wide(got.dx), want.dx, chain);
      tests::check_close<float>("gradients", tests::wide(tests::plain_numbers<float>(g_float)),
                                tests::plain_numbers<double>(g), chain);
      CHECK(tests::same_bits(got.rows, twice.rows));
      CHECK(tests::same_bits(got.dx, twice.dx));
      CHECK(tests::same_bits(tests::plain_numbers<float>(g_float),
                             tests::plain_numbers<float>(g_again)));
      // inference keeps nothing and computes the same
      CHECK(tests::same_bits(tests::run_experts(policy, own_float, narrow).rows, got.rows));
      if (tests::magnitude(want.rows) > 0.0) {  // twin: the rows in another order
        const double allowed = tests::tolerance<float>(chain, tests::magnitude(want.rows));
        CHECK_FALSE(
            tests::difference({want.rows.rbegin(), want.rows.rend()}, want.rows, allowed).close);
      }
    }
  }
}

template <class P>
void check_gradients(const P& policy, const double h = 1e-6) {
  for (const xmoe::Sizes sizes : {xmoe::Sizes{3, 4, 5}, xmoe::Sizes{17, 2, 3}}) {
    tests::Generator random(3);
    tests::ExpertCase<double> c(random, 6, sizes);
    auto own = random_bank<double>(policy, sizes, 4);
    auto gradient = policy.template make_weights<xmoe::Cpu<double>>(sizes);
    const auto result = tests::run_experts(policy, own, c, &gradient);
    const auto objective = [&] {  // <dy, y>
      const auto r = tests::run_experts(policy, own, c);
      double value = 0.0;
      for (std::size_t i = 0; i < r.y.size(); ++i) {
        value += c.dy[i] * r.y[i];
      }
      return value;
    };
    INFO("D " << sizes.model_dim << ", H " << sizes.expert_dim);
    const reference::Vector by_x = tests::slopes(objective, c.x, h);
    CHECK(tests::relative_error(result.dx, by_x) < 1e-6);
    xmoe::Parameters weights, gradients;
    xmoe::detail::append(weights, "", own);
    xmoe::detail::append(gradients, "", gradient);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      INFO(weights[i].name);
      const auto numeric = tests::slopes(objective, weights[i].template as<double>().values(), h);
      auto analytic = tests::wide(gradients[i].template as<double>().values());
      CHECK(tests::relative_error(analytic, numeric) < 1e-6);
      analytic.front() += 1e-3 * tests::magnitude(numeric);  // twin
      CHECK(tests::relative_error(analytic, numeric) > 1e-6);
    }
    // dweight = <dy, f(x)>
    const auto view = c.routing.view();
    reference::Vector want;
    std::size_t m = 0;
    for (index e = 0; e < sizes.experts; ++e) {
      for (index t = 0; t < c.tokens(); ++t) {
        for (index a = view.begin(t); a < view.end(t); ++a) {
          if (view.expert[a] == e) {
            want.push_back(0.0);
            for (index d = 0; d < sizes.model_dim; ++d) {
              want.back() +=
                  c.dy_view()(t, d) * result.rows[m * static_cast<std::size_t>(sizes.model_dim) +
                                                  static_cast<std::size_t>(d)];
            }
            ++m;
          }
        }
      }
    }
    CHECK(tests::relative_error(result.dweight, want) < 1e-12);
    auto twice = policy.template make_weights<xmoe::Cpu<double>>(sizes);
    tests::run_experts(policy, own, c, &twice);  // gradients accumulate
    tests::run_experts(policy, own, c, &twice);
    auto once = tests::plain_numbers<double>(gradient);
    for (double& v : once) {
      v *= 2.0;
    }
    CHECK(tests::relative_error(tests::plain_numbers<double>(twice), once) < 1e-13);
  }
}

/// Tokens in any order, neighbours or none: the same bits. Experts in any order as well.
template <class P>
void check_order(const P& policy) {
  const xmoe::Sizes sizes{9, 5, 7};
  tests::Generator random(5);
  const auto own = random_bank<float>(policy, sizes, 6);
  for (const index tokens : {1, 2, 17, 33}) {
    tests::ExpertCase<float> c(random, tokens, sizes, true);
    const auto wishes = [&] {
      std::vector<std::vector<tests::Wish>> list;
      const auto view = c.routing.view();
      for (index t = 0; t < tokens; ++t) {
        list.emplace_back();
        for (index a = view.begin(t); a < view.end(t); ++a) {
          list.back().push_back({view.expert[a], static_cast<double>(view.weight[a])});
        }
      }
      return list;
    }();
    auto g = policy.template make_weights<xmoe::Cpu<float>>(sizes);
    const auto plain = tests::run_experts(policy, own, c, &g);
    const auto order = tests::permutation(random, tokens);
    tests::ExpertCase<float> moved = c;
    moved.routing = tests::routing_of<float>(sizes.experts, permuted(wishes, order));
    moved.x = permuted(c.x, order, sizes.model_dim);
    moved.dy = permuted(c.dy, order, sizes.model_dim);
    const auto r = tests::run_experts(policy, own, moved, &g);
    INFO(tokens << " tokens");
    CHECK(tests::same_bits(r.y, permuted(plain.y, order, sizes.model_dim)));
    CHECK(tests::same_bits(r.dx, permuted(plain.dx, order, sizes.model_dim)));

    const auto swap = tests::permutation(random, sizes.experts);
    auto turned = policy.template make_weights<xmoe::Cpu<float>>(sizes);
    xmoe::Parameters from, to;
    auto copy = own;
    xmoe::detail::append(from, "", copy);
    xmoe::detail::append(to, "", turned);
    for (std::size_t i = 0; i < from.size(); ++i) {
      std::vector<float> numbers(static_cast<std::size_t>(from[i].size()));
      from[i].template as<float>().store(numbers);
      to[i].template as<float>().load(permuted(numbers, swap, from[i].size() / sizes.experts));
    }
    auto renamed = wishes;
    for (auto& row : renamed) {
      for (tests::Wish& w : row) {
        w.expert = std::find(swap.begin(), swap.end(), w.expert) - swap.begin();
      }
    }
    tests::ExpertCase<float> other = c;
    other.routing = tests::routing_of<float>(sizes.experts, renamed);
    // every row the same; a token's rows meet in another order, which is that of the experts
    tests::check_close<float>("y", tests::wide(tests::run_experts(policy, turned, other).y),
                              tests::wide(plain.y), 3);
    CHECK_FALSE((wishes[0][0].expert != renamed[0][0].expert &&
                 tests::same_bits(tests::run_experts(policy, own, other).y, plain.y)));
  }
}

/// Weights by name, seeds, and the work a row costs.
template <class P>
void check_weights(const P& policy) {
  const xmoe::Sizes sizes{6, 3, 4};
  tests::Generator random(7);
  auto one = random_bank<float>(policy, sizes, 8);
  auto two = random_bank<float>(policy, sizes, 9);
  const tests::ExpertCase<float> c(random, 5, sizes);
  const auto rows = tests::run_experts(policy, one, c).rows;
  CHECK_FALSE(tests::same_bits(tests::run_experts(policy, two, c).rows, rows));
  check_round_trip<float>(one, two);
  CHECK(tests::same_bits(tests::run_experts(policy, two, c).rows, rows));
  policy.template initialize<xmoe::Cpu<float>>(one, xmoe::Random{1});
  policy.template initialize<xmoe::Cpu<float>>(two, xmoe::Random{1});
  CHECK(tests::plain_numbers<float>(one) == tests::plain_numbers<float>(two));
  policy.template initialize<xmoe::Cpu<float>>(two, xmoe::Random{2});
  CHECK(tests::plain_numbers<float>(one) != tests::plain_numbers<float>(two));
  xmoe::Parameters list;
  xmoe::detail::append(list, "", one);
  index matrices = 0;  // numbers of one expert's matrices = multiply-adds of a row
  for (const xmoe::Parameter& p : list) {
    matrices += p.name.find("weight") == std::string::npos ? 0 : p.size() / sizes.experts;
  }
  CHECK(policy.multiply_adds(sizes) == matrices);
}

template <class P>
void check_expert(const P& policy) {
  check_numbers(policy);
  check_gradients(policy);
  check_order(policy);
  check_weights(policy);
}

}  // namespace conformance
