// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "routing_case.hpp"

// Experts alone: a plan, tokens, and the results of forward and backward in plain numbers.
namespace tests {

/// Tokens, a plan over them, and what arrives from above.
template <class S>
struct ExpertCase {
  xmoe::Sizes sizes;
  xmoe::Routing<S> routing;
  std::vector<S> x, dy;  ///< [T,D]

  ExpertCase(Generator& random, index tokens, xmoe::Sizes s, bool skewed = false)
      : sizes(s),
        routing(routing_of<S>(s.experts, random_wishes(random, tokens, s.experts, 3, skewed))),
        x(narrow<S>(normals(random, tokens * s.model_dim))),
        dy(narrow<S>(normals(random, tokens * s.model_dim))) {}

  index tokens() const { return routing.tokens(); }
  xmoe::In<S> x_view() const { return {x.data(), tokens(), sizes.model_dim}; }
  xmoe::In<S> dy_view() const { return {dy.data(), tokens(), sizes.model_dim}; }
};

template <class S, class P>
using WeightsOf = xmoe::weights_of<P, xmoe::Cpu<S>>;

/// Numbers of every tensor, plain order, one after the other.
template <class S, class Own>
std::vector<S> plain_numbers(Own& own) {
  xmoe::Parameters list;
  xmoe::detail::append(list, "", own);
  std::vector<S> all;
  for (const xmoe::Parameter& p : list) {
    std::vector<S> plain(static_cast<std::size_t>(p.size()));
    p.template as<S>().store(plain);
    all.insert(all.end(), plain.begin(), plain.end());
  }
  return all;
}
/// Fills every tensor with random numbers, padding left alone.
template <class S, class Own>
void randomize(Own& own, Generator& random, double scale) {
  xmoe::Parameters list;
  xmoe::detail::append(list, "", own);
  for (const xmoe::Parameter& p : list) {
    p.template as<S>().load(narrow<S>(normals(random, p.size(), scale)));
  }
}

template <class S>
struct ExpertResult {
  std::vector<S> rows, y;             ///< [M,D], [T,D]
  std::vector<S> dweight, drows, dx;  ///< [M], [M,D], [T,D]
};

/// Forward, row by row and summed, and if `gradients` is there, backward.
template <class S, class P>
ExpertResult<S> run_experts(const P& policy, const WeightsOf<S, P>& own, const ExpertCase<S>& c,
                            WeightsOf<S, P>* gradients = nullptr) {
  using namespace xmoe;
  Work<S> work;
  work.mode = Mode::train;
  auto ctx = work.context();
  const auto view = c.routing.view();
  const dispatch::Dropless transport;
  const PlanView plan = transport.plan(ctx, view, c.sizes.experts);
  const index dim = c.sizes.model_dim;
  ExpertResult<S> r;
  const S nan = std::numeric_limits<S>::quiet_NaN();
  r.rows.assign(static_cast<std::size_t>(plan.kept * dim), nan);
  r.y.assign(c.x.size(), nan);
  cache_of<P, Cpu<S>> cache{};
  const std::vector<S> weight = row_weights(view, plan);
  std::vector<std::int32_t> itself;  // every row its own sum
  for (index m = 0; m < plan.kept; ++m) {
    itself.push_back(static_cast<std::int32_t>(m));
  }
  cache_of<P, Cpu<S>>* const keep = gradients == nullptr ? nullptr : &cache;
  policy.forward(ctx, own, plan, c.x_view(),
                 RowSum<S>{itself.data(), nullptr, Out<S>(r.rows.data(), plan.kept, dim)}, keep);
  policy.forward(ctx, own, plan, c.x_view(),
                 RowSum<S>{plan.token, weight.data(), Out<S>(r.y.data(), c.tokens(), dim)}, keep);
  if (gradients != nullptr) {
    r.dweight.assign(weight.size(), nan);
    r.drows.assign(r.rows.size(), nan);
    r.dx.assign(c.x.size(), nan);
    policy.backward(ctx, own, plan, c.x_view(), cache, RowGradient<Cpu<S>>{c.dy_view(), in(weight)},
                    *gradients, out(r.dweight), Out<S>(r.drows.data(), plan.kept, dim));
    ctx.backend.template sum_by_token<S>(view.offsets, plan.row,
                                         In<S>(r.drows.data(), plan.kept, dim),
                                         Out<S>(r.dx.data(), c.tokens(), dim));
  }
  return r;
}

/// The same experts for the oracle.
template <class S, class Own>
reference::Experts oracle_experts(Own& own, reference::Activation activation, bool gated,
                                  xmoe::Sizes sizes) {
  reference::Experts e;
  const index rows = (gated ? 2 : 1) * sizes.expert_dim;
  e.activation = activation;
  e.gated = gated;
  e.biases = false;
  e.up = reference::Stack(sizes.experts, rows, sizes.model_dim);
  e.up_bias = reference::Stack(sizes.experts, rows, 1);
  e.down = reference::Stack(sizes.experts, sizes.model_dim, sizes.expert_dim);
  e.down_bias = reference::Stack(sizes.experts, sizes.model_dim, 1);
  xmoe::Parameters list;
  xmoe::detail::append(list, "", own);
  for (const xmoe::Parameter& p : list) {
    const bool bias = p.name.find(".bias") != std::string::npos;
    const bool down = p.name.find("down") == 0;
    reference::Stack& to = down ? (bias ? e.down_bias : e.down) : (bias ? e.up_bias : e.up);
    std::vector<S> plain(static_cast<std::size_t>(p.size()));
    p.template as<S>().store(plain);
    to.values = wide(plain);
    e.biases = e.biases || bias;
  }
  return e;
}

/// What the oracle makes of a case: rows in plan order [M,D].
template <class S>
reference::Vector oracle_rows(const reference::Experts& experts, const ExpertCase<S>& c) {
  reference::Vector rows;
  const auto view = c.routing.view();
  const index dim = c.sizes.model_dim;
  for (index e = 0; e < c.sizes.experts; ++e) {
    for (index t = 0; t < c.tokens(); ++t) {
      for (index a = view.begin(t); a < view.end(t); ++a) {
        if (view.expert[a] == e) {
          const reference::Vector x =
              wide(std::vector<S>(c.x.begin() + t * dim, c.x.begin() + (t + 1) * dim));
          const reference::Vector row = reference::run_expert(experts, e, x).out;
          rows.insert(rows.end(), row.begin(), row.end());
        }
      }
    }
  }
  return rows;
}

}  // namespace tests
