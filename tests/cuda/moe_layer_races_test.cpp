// SPDX-License-Identifier: Apache-2.0
// A whole layer, small, for the thread sanitizer: every kernel of a step after the other, and calls
// from several threads.
#include <thread>

#include "layer_case.hpp"

namespace tests {
namespace {

using namespace xmoe;

template <class S>
using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>, expert::Ffn<>,
                       dispatch::Capacity, Cuda<S>>;

Case small_case() {
  CaseOptions o;
  o.shape = {9, 3, 8, 6};
  o.gate_bias = true;
  o.router.threshold = 0.7;
  o.capacity = {true, 0.8, 1, reference::Priority::rank_then_probability, {}};
  return random_case(3, o);
}

TEMPLATE_TEST_CASE("device layer: a step of training has no race", "[cuda][layer][threads]", float,
                   bfloat16) {
  const Case c = small_case();
  const ThroughCopies<Layer<TestType>> layer(c.setup);
  const auto losses = [&] {
    return layer.results(c, loss::LoadBalance<>{.coefficient = 0.1f}, loss::ZLoss{});
  };
  const auto results = losses();
  CHECK(magnitude(results[0].values) > 0.1);
  CHECK(magnitude(results[2].values) > 0.01);
  const Emulated emulated(5, 3);
  const auto again = losses();
  for (std::size_t i = 0; i < results.size(); ++i) {
    CHECK(again[i].values == results[i].values);
  }
}

TEST_CASE("device layer: calls of several threads on one layer", "[cuda][layer][threads]") {
  using L = Layer<float>;
  const Case c = small_case();
  const ThroughCopies<L> held(c.setup);
  const OnDevice<float> x(rounded<float>(c.x.values));
  const auto forward = [&](const OnDevice<float>& y) {
    held.layer.forward(L::ConstMatrix(matrix(x, 9, 8)), matrix(y, 9, 8));
  };
  const OnDevice<float> want(ThroughCopies<L>::nans(72)), a(ThroughCopies<L>::nans(72)),
      b(ThroughCopies<L>::nans(72));
  forward(want);
  std::thread other([&] { forward(a); });
  forward(b);
  other.join();
  CHECK(a.numbers() == want.numbers());
  CHECK(b.numbers() == want.numbers());
}

}  // namespace
}  // namespace tests
