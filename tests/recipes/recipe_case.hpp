// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "support/catch.hpp"
#include "support/policy_case.hpp"

// What every recipe must do at a small size.
namespace tests {

/// A published layer with its hyper-parameters, but small; started from a seed, then spread out.
template <class Published>
typename Published::layer small_layer(Published p, xmoe::Sizes sizes, std::uint64_t seed = 1) {
  p.sizes = sizes;
  typename Published::layer layer = p.make(xmoe::cpu::Backend(1));
  layer.initialize(xmoe::Random{seed});
  Generator random(seed);
  for (const xmoe::Parameter& q : layer.parameters()) {
    xmoe::Panels<double>& tensor = q.template as<double>();
    std::vector<double> numbers(static_cast<std::size_t>(q.size()));
    tensor.store(numbers);
    for (double& v : numbers) {
      v += 0.5 * random.normal();
    }
    tensor.load(numbers);
  }
  return layer;
}

template <class Layer>
reference::Vector outputs(const Layer& layer, const std::vector<double>& x) {
  const index dim = layer.sizes().model_dim, tokens = static_cast<index>(x.size()) / dim;
  std::vector<double> y(x.size(), std::numeric_limits<double>::quiet_NaN());
  layer.forward(xmoe::In<double>(x.data(), tokens, dim), xmoe::Out<double>(y.data(), tokens, dim));
  return y;
}

/// Forward and backward run, and the gradients, balance loss included, are the differences.
template <class Layer, class Loss>
void check_trains(Layer& layer, const Loss& loss, index tokens = 12) {
  using namespace xmoe;
  const index dim = layer.sizes().model_dim;
  Generator random(7);
  std::vector<double> x = normals(random, tokens * dim), y(x.size()), dx(x.size());
  const std::vector<double> dy = normals(random, tokens * dim);
  const In<double> x_view(x.data(), tokens, dim);
  typename Layer::Tape tape;
  const auto objective = [&] {
    layer.record(x_view, Out<double>(y.data(), tokens, dim), tape, Random{2, 3});
    double value = layer.add_loss(tape, loss);
    for (std::size_t i = 0; i < y.size(); ++i) {
      value += dy[i] * y[i];
    }
    return value;
  };
  objective();
  typename Layer::Gradients gradients = layer.make_gradients();
  layer.backward(tape, In<double>(dy.data(), tokens, dim), Out<double>(dx.data(), tokens, dim),
                 gradients);
  CHECK(layer.statistics(tape).summary.kept > 0);
  CHECK(relative_error(dx, slopes(objective, x)) < 1e-6);
  const Parameters own = layer.parameters(), slope = gradients.parameters();
  REQUIRE(own.size() == slope.size());
  for (std::size_t i = 0; i < own.size(); ++i) {
    INFO(own[i].name);
    const auto numeric = slopes(objective, own[i].template as<double>().values());
    auto analytic = wide(slope[i].template as<double>().values());
    CHECK(relative_error(analytic, numeric) < 1e-6);
    CHECK(magnitude(numeric) > 1e-6);  // every tensor learns
    for (double& g : analytic) {
      g *= 1.001;
    }
    CHECK((magnitude(numeric) < 1e-2 || relative_error(analytic, numeric) > 1e-6));  // twin
  }
}

}  // namespace tests
