// SPDX-License-Identifier: Apache-2.0
// Policies that a user writes outside of the library: the one of the README, and one with a
// gradient that the user checks.
#include <xmoe/xmoe.hpp>

#include "support/catch.hpp"

struct FirstExpert {  // everybody to expert 0
  xmoe::index max_assignments(xmoe::index tokens, xmoe::index) const { return tokens; }
  template <class R>
  xmoe::index row(xmoe::SelectRow<R> row) const {
    row.chosen[0] = 0;
    return 1;
  }
};

/// Weights are the squares of the scores; `slope` is 2 when the gradient is right.
template <int slope>
struct Squared {
  template <class R>
  void row(xmoe::WeighRow<R> row, xmoe::VectorView<R> weights) const {
    for (xmoe::index r = 0; r < row.chosen.size(); ++r) {
      weights[r] = row.scores[row.chosen[r]] * row.scores[row.chosen[r]];
    }
  }
  template <class R>
  void row_backward(xmoe::WeighRow<R> row, xmoe::VectorView<const R>,
                    xmoe::VectorView<const R> dweights, xmoe::VectorView<R> dscores,
                    xmoe::VectorView<R>) const {
    for (xmoe::index r = 0; r < row.chosen.size(); ++r) {
      const xmoe::index e = row.chosen[r];
      dscores[e] += R(slope) * row.scores[e] * dweights[r];
    }
  }
};

namespace xmoe {
namespace {

TEST_CASE("layer: the README's own selector", "[layer]") {
  MoeLayer<Router<gate::Linear, score::Softmax, FirstExpert>, expert::Ffn<activation::Relu>,
           dispatch::Dropless>
      layer({3, 4, 5}, {}, cpu::Backend(1));
  layer.initialize({.seed = 1});
  const float x[] = {1, 2, 3, -1, 0, 1};
  const auto routing = layer.route(MatrixView<const float>(x, 2, 3));
  REQUIRE(routing.assignments() == 2);
  CHECK(routing.expert()[0] == 0);
  CHECK(routing.expert()[1] == 0);
}

template <int slope>
double worst_error() {
  using Layer = MoeLayer<Router<gate::Linear, score::Sigmoid, select::TopK, Squared<slope>>,
                         expert::Ffn<activation::Gelu>, dispatch::Dropless, Cpu<double>>;
  Layer layer({3, 4, 5}, {}, cpu::Backend(1));
  for (const Parameter& p : layer.parameters()) {
    Panels<double>& t = p.as<double>();
    for (index i = 0; i < t.size(); ++i) {
      const index row = i / t.cols() % t.rows();
      t.at(i / t.cols() / t.rows(), row, i % t.cols()) =
          0.7 *
          Random{3, static_cast<std::uint64_t>(t.size())}.normal(static_cast<std::uint64_t>(i));
    }
  }
  std::vector<double> x(21), y(21), dy(21), dx(21);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = Random{4}.normal(i);
    dy[i] = Random{5}.normal(i);
  }
  typename Layer::Tape tape;
  typename Layer::Gradients gradients = layer.make_gradients();
  const auto objective = [&] {
    layer.record(MatrixView<double>(x.data(), 7, 3), {y.data(), 7, 3}, tape);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      sum += y[i] * dy[i];
    }
    return sum;
  };
  objective();
  layer.backward(tape, MatrixView<const double>(dy.data(), 7, 3), {dx.data(), 7, 3}, gradients);
  return gradient_check(objective, layer.parameters(), gradients.parameters()).worst;
}

TEST_CASE("layer: a user's weigh policy and the check of its gradient", "[layer]") {
  CHECK(worst_error<2>() < 1e-6);
  CHECK(worst_error<3>() > 1e-2);  // a wrong slope does not get through
}

}  // namespace
}  // namespace xmoe
