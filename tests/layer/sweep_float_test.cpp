// SPDX-License-Identifier: Apache-2.0
// Forward and backward of a top-k layer of gated experts against the oracle, in float: many sizes,
// k from 1 to E.
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::index;

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                       expert::Glu<activation::Silu>, dispatch::Dropless>;

struct SizesK {
  index tokens, experts, k, dim, hidden;
};

void check_sizes(const SizesK& n, std::uint64_t seed) {
  tests::CaseOptions o;
  o.shape = {n.tokens, n.experts, n.dim, n.hidden};
  o.activation = reference::Activation::silu;
  o.gated = true;
  o.biases = seed % 2 == 0;
  o.router.select = reference::Select::top_k;
  o.router.k = n.k;
  o.router.scale = seed % 3 == 0 ? 2.5 : 1.0;
  INFO("seed " << seed << ": T " << n.tokens << ", E " << n.experts << ", k " << n.k << ", D "
               << n.dim << ", H " << n.hidden);
  const bool twins = n.tokens <= 65 && n.experts <= 64 && n.dim * n.hidden <= 10000;
  tests::check_layer<Layer>(tests::random_case(seed, o), twins);
}

TEST_CASE("top-k layer equals the oracle: few tokens", "[layer][oracle]") {
  std::uint64_t seed = 1;
  for (const SizesK& n : std::vector<SizesK>{{0, 3, 2, 5, 4},
                                             {1, 2, 1, 1, 1},
                                             {1, 1, 1, 3, 2},
                                             {2, 3, 3, 3, 1},
                                             {3, 7, 3, 7, 2},
                                             {7, 8, 8, 16, 16},
                                             {15, 60, 30, 17, 3},
                                             {16, 64, 2, 100, 16},
                                             {17, 7, 7, 16, 17},
                                             {31, 8, 4, 33, 100},
                                             {32, 2, 2, 100, 50},
                                             {33, 3, 1, 31, 32},
                                             {5, 384, 8, 16, 7},
                                             {3, 513, 256, 3, 3},
                                             {2, 4096, 2048, 3, 2}}) {
    check_sizes(n, seed++);
  }
}

TEST_CASE("top-k layer equals the oracle: many tokens", "[layer][oracle]") {
  std::uint64_t seed = 100;
  for (const SizesK& n : std::vector<SizesK>{{63, 8, 2, 64, 32},
                                             {64, 160, 8, 16, 16},
                                             {65, 7, 3, 600, 7},
                                             {127, 2, 1, 7, 600},
                                             {128, 60, 4, 32, 17},
                                             {129, 8, 3, 17, 33},
                                             {25, 3, 2, 1700, 40},
                                             {25, 3, 2, 40, 1700},
                                             {400, 2, 1, 1400, 20},
                                             {1000, 8, 2, 16, 16}}) {
    check_sizes(n, seed++);
  }
}

}  // namespace
