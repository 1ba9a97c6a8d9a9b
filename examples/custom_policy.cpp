// SPDX-License-Identifier: Apache-2.0
// A selector of your own: the two best experts, the second one only where it comes close. It takes
// the place of any other in a router; forward, backward and the gradient check come with the layer.
#include <xmoe/xmoe.hpp>

#include <cstdio>
#include <vector>

struct CloseSecond {
  float share = 0.5f;  ///< of the best score that the second one has to reach

  xmoe::index max_assignments(xmoe::index tokens, xmoe::index experts) const {
    return tokens * (experts < 2 ? experts : 2);
  }
  template <class R>
  xmoe::index row(xmoe::SelectRow<R> row) const {
    auto order = row.descending();  // best first, ties to the lower index, never a masked expert
    xmoe::index count = 0;
    while (count < row.chosen.size() && order.next(row.chosen[count]) &&
           (count == 0 || row.scores[row.chosen[1]] >= R(share) * row.scores[row.chosen[0]])) {
      ++count;
    }
    return count;
  }
};
static_assert(xmoe::RowSelect<CloseSecond>);

int main() {
  using Layer = xmoe::MoeLayer<xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, CloseSecond>,
                               xmoe::expert::Ffn<xmoe::activation::Gelu>, xmoe::dispatch::Dropless,
                               xmoe::Cpu<double>>;
  Layer layer({.model_dim = 8, .experts = 6, .expert_dim = 5});
  layer.initialize({.seed = 7});
  std::vector<double> x(64 * 8), y(x.size()), dy(x.size()), dx(x.size());
  const xmoe::Random random{.seed = 1};
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = random.normal(i);
    dy[i] = random.fork(1).normal(i);
  }
  const xmoe::In<double> tokens(x.data(), 64, 8);
  const xmoe::Out<double> out(y.data(), 64, 8);
  const auto objective = [&] {
    layer.forward(tokens, out);
    double value = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      value += dy[i] * y[i];
    }
    return value;
  };
  const auto tape = layer.record(tokens, out);
  auto gradients = layer.make_gradients();
  layer.backward(tape, xmoe::In<double>(dy.data(), 64, 8), xmoe::Out<double>(dx.data(), 64, 8),
                 gradients);
  const auto report = xmoe::gradient_check(objective, layer.parameters(), gradients.parameters());
  std::printf("%.2f experts a token; worst gradient: %s, off by %.0e\n",
              layer.statistics(tape).wanted_per_token, report.name.c_str(), report.worst);
  return report.worst < 1e-6 ? 0 : 1;
}
