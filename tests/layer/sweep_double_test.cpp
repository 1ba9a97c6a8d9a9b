// SPDX-License-Identifier: Apache-2.0
// Forward and backward of a threshold layer with capacity against the oracle, in double: many
// sizes, among them none, one, primes, and both sides of every multiple of a tile.
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::index;

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>,
                       expert::Ffn<activation::Gelu>, dispatch::Capacity, Cpu<double>>;

struct Sizes5 {
  index tokens, experts, dim, hidden;
  double threshold, factor;
};

void check_sizes(const Sizes5& n, std::uint64_t seed) {
  tests::CaseOptions o;
  o.shape = {n.tokens, n.experts, n.dim, n.hidden};
  o.activation = reference::Activation::gelu_tanh;
  o.gate_bias = seed % 2 == 0;
  o.biases = seed % 3 != 0;
  o.router.threshold = n.threshold;
  o.capacity = {true, n.factor, 1, reference::Priority::rank_then_probability, {}};
  INFO("seed " << seed << ": T " << n.tokens << ", E " << n.experts << ", D " << n.dim << ", H "
               << n.hidden);
  const bool twins = n.tokens <= 65 && n.experts <= 64 && n.dim * n.hidden <= 10000;
  tests::check_layer<Layer>(tests::random_case(seed, o), twins);
}

TEST_CASE("threshold layer equals the oracle: few tokens", "[layer][oracle]") {
  std::uint64_t seed = 1;
  for (const Sizes5& n : std::vector<Sizes5>{{0, 4, 8, 8, 0.9, 2},
                                             {1, 1, 1, 1, 0.9, 1},
                                             {1, 7, 17, 3, 0.9, 2},
                                             {2, 2, 3, 1, 0.6, 2},
                                             {3, 3, 7, 3, 0.8, 1.5},
                                             {7, 7, 16, 16, 0.7, 2},
                                             {15, 8, 17, 17, 0.9, 1.75},
                                             {16, 60, 16, 8, 0.5, 4},
                                             {17, 64, 7, 100, 0.3, 4},
                                             {31, 3, 100, 7, 0.9, 1.25},
                                             {32, 8, 17, 3, 0.9, 8},
                                             {33, 160, 3, 16, 0.4, 8},
                                             {4, 513, 3, 3, 0.5, 8},
                                             {2, 4096, 3, 2, 0.2, 2048}}) {
    check_sizes(n, seed++);
  }
}

TEST_CASE("threshold layer equals the oracle: many tokens", "[layer][oracle]") {
  std::uint64_t seed = 100;
  for (const Sizes5& n : std::vector<Sizes5>{{63, 7, 100, 50, 0.8, 2},
                                             {64, 64, 16, 17, 0.3, 8},
                                             {65, 2, 600, 7, 0.9, 1.5},
                                             {127, 8, 7, 600, 0.5, 2},
                                             {128, 384, 16, 3, 0.1, 16},
                                             {129, 3, 17, 16, 0.9, 2.5},
                                             {25, 3, 1700, 20, 0.8, 2},
                                             {25, 3, 20, 1700, 0.8, 2},
                                             {1000, 8, 16, 16, 0.7, 2}}) {
    check_sizes(n, seed++);
  }
}

}  // namespace
