// SPDX-License-Identifier: Apache-2.0
// Uneven routings against the oracle, in float: everybody to one expert, to the last one, one token
// an expert, a few experts with nearly everything, and the same under capacity.
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::index;

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                       expert::Ffn<activation::Gelu>, dispatch::Capacity>;

/// Token t wants expert wish[t] first: the gate reads the first E inputs, one of which is large.
tests::Case wishing(const std::vector<index>& wish, index experts, double factor) {
  tests::CaseOptions o;
  o.shape = {static_cast<index>(wish.size()), experts, experts + 9, 21};
  o.activation = reference::Activation::gelu_tanh;
  o.router.select = reference::Select::top_k;
  o.router.k = 1;
  o.capacity = {true, factor, 1, reference::Priority::rank_then_probability, {}};
  tests::Case c = tests::random_case(static_cast<std::uint64_t>(wish.size()), o);
  for (index e = 0; e < experts; ++e) {
    for (index d = 0; d < c.x.cols; ++d) {
      c.setup.router.weight(e, d) = d == e ? 1.0 : 0.0;
    }
  }
  for (index t = 0; t < c.x.rows; ++t) {
    for (index e = 0; e < experts; ++e) {
      c.x(t, e) *= 0.25;
    }
    c.x(t, wish[static_cast<std::size_t>(t)]) = 3.0 + c.x(t, experts);
  }
  return c;
}
void check(const char* name, const std::vector<index>& wish, index experts) {
  for (double factor : {static_cast<double>(experts), 1.5}) {
    INFO(name << ", factor " << factor);
    tests::check_layer<Layer>(wishing(wish, experts, factor));
  }
}

TEST_CASE("skewed routings equal the oracle", "[layer][oracle]") {
  check("all to the first", std::vector<index>(70, 0), 5);
  check("all to the last", std::vector<index>(70, 4), 5);
  check("one expert alone", std::vector<index>(33, 0), 1);
  std::vector<index> each;
  for (index e = 0; e < 16; ++e) {
    each.push_back((e * 7) % 16);
  }
  check("one token an expert", each, 16);
  std::vector<index> two_ends(40, 0);
  std::fill(two_ends.begin() + 17, two_ends.end(), index{23});
  check("first and last of many", two_ends, 24);
  std::vector<index> zipf;
  for (index rank = 1; rank <= 12; ++rank) {
    zipf.insert(zipf.end(), static_cast<std::size_t>(60 / rank), rank - 1);
  }
  check("the n-th expert gets 1/n", zipf, 12);
}

}  // namespace
