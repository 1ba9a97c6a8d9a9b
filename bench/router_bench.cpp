// SPDX-License-Identifier: Apache-2.0
// Routers alone, by layer.route and by plain code: <side>_route/<workload>/<selector>/threads:<n>/
// sharpness:<s>. A sharp router gives few experts most of the probability.
#include "shapes.hpp"

#include <benchmark/benchmark.h>
#include <Eigen/Core>
#include <xmoe/xmoe.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace xmoe_bench {

namespace {

std::vector<float> make_tokens(const Shape& shape) {
  std::vector<float> x(static_cast<std::size_t>(shape.tokens * shape.model_dim));
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(xmoe::Random{2}.normal(i));
  }
  return x;
}

void count(benchmark::State& state, const Shape& shape, xmoe::index assignments) {
  using benchmark::Counter;
  const auto rate = [&](xmoe::index amount) {
    return Counter(static_cast<double>(amount), Counter::kIsIterationInvariantRate);
  };
  state.counters["tokens/s"] = rate(shape.tokens);
  state.counters["FLOP/s"] = rate(2 * shape.tokens * shape.model_dim * shape.routed);
  state.counters["experts/token"] =
      static_cast<double>(assignments) / static_cast<double>(shape.tokens);
}

template <class Select>
void route(benchmark::State& state, const Shape& shape, const Select& select) {
  using Router = xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, Select, xmoe::weigh::Raw>;
  using Layer =
      xmoe::MoeLayer<Router, xmoe::expert::Ffn<xmoe::activation::Relu>, xmoe::dispatch::Dropless>;
  typename Layer::Config config;
  config.router.gate.init_scale = static_cast<float>(state.range(1));
  config.router.select = select;
  // the experts do not run
  Layer layer({shape.model_dim, shape.routed, 1}, config, xmoe::cpu::Backend(state.range(0)));
  layer.initialize({.seed = 1});
  std::vector<float> x = make_tokens(shape);
  const xmoe::In<float> tokens(x.data(), shape.tokens, shape.model_dim);
  xmoe::index assignments = layer.route(tokens).assignments();
  for (auto _ : state) {
    assignments = layer.route(tokens).assignments();
    benchmark::DoNotOptimize(assignments);
  }
  count(state, shape, assignments);
}

/// What one writes with Eigen and std: a product, a softmax, a sort per token. One thread.
void plain_route(benchmark::State& state, const Shape& shape, bool top_k) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const float bound =
      static_cast<float>(state.range(1)) / std::sqrt(static_cast<float>(shape.model_dim));
  const Matrix keys =
      Matrix::NullaryExpr(shape.routed, shape.model_dim, [&](Eigen::Index e, Eigen::Index d) {
        const auto position = static_cast<std::uint64_t>(e * shape.model_dim + d);
        return bound * (2.f * xmoe::Random{1}.uniform(position) - 1.f);
      });
  std::vector<float> numbers = make_tokens(shape);
  const Eigen::Map<const Matrix> x(numbers.data(), shape.tokens, shape.model_dim);
  Matrix scores(shape.tokens, shape.routed);
  std::vector<std::pair<float, std::int32_t>> order(static_cast<std::size_t>(shape.routed));
  std::vector<std::int32_t> expert;
  std::vector<float> weight;
  for (auto _ : state) {
    expert.clear();
    weight.clear();
    scores.noalias() = x * keys.transpose();
    for (index t = 0; t < shape.tokens; ++t) {
      const float top = scores.row(t).maxCoeff();
      scores.row(t) = (scores.row(t).array() - top).exp();
      scores.row(t) /= scores.row(t).sum();
      for (index e = 0; e < shape.routed; ++e) {
        order[static_cast<std::size_t>(e)] = {-scores(t, e), static_cast<std::int32_t>(e)};
      }
      const auto last = top_k ? order.begin() + shape.per_token : order.end();
      std::partial_sort(order.begin(), last, order.end());
      float mass = 0.f;
      for (auto o = order.begin(); o != last && (top_k || mass < 0.9f); ++o) {
        expert.push_back(o->second);
        weight.push_back(-o->first);
        mass -= o->first;
      }
    }
    benchmark::DoNotOptimize(expert.data());
    benchmark::DoNotOptimize(weight.data());
  }
  count(state, shape, static_cast<index>(expert.size()));
}

template <class Select>
void add(const Shape& shape, const std::string& name, const Select& select, bool top_k) {
  const auto full = [&](const char* side) {
    return std::string(side).append(shape.name).append("/").append(name);
  };
  auto* ours = benchmark::RegisterBenchmark(
      full("xmoe_route/").c_str(), [=](benchmark::State& state) { route(state, shape, select); });
  auto* plain = benchmark::RegisterBenchmark(
      full("eigen_route/").c_str(),
      [=](benchmark::State& state) { plain_route(state, shape, top_k); });
  for (auto* each : {ours, plain}) {
    each->ArgNames({"threads", "sharpness"})->Unit(benchmark::kMicrosecond)->UseRealTime();
  }
  for (const index sharpness : {1, 16}) {
    for (const index threads : thread_counts()) {
      ours->Args({threads, sharpness});
    }
    plain->Args({1, sharpness});
  }
}

const bool registered = [] {
  for (const Shape& shape : shapes) {
    xmoe::select::TopK top_k;
    top_k.k = shape.per_token;
    add(shape, "top_k", top_k, true);
    add(shape, "threshold", xmoe::select::Threshold{}, false);
  }
  return true;
}();

}  // namespace

}  // namespace xmoe_bench
