// SPDX-License-Identifier: Apache-2.0
#include <xmoe/convert/dense_to_experts.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using convert::DenseFfn;
using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::All, weigh::Unit>,
                       expert::Ffn<activation::Gelu>, dispatch::Dropless, Cpu<double>>;

/// A dense FFN [H0,D], [H0], [D,H0], [D].
struct Dense {
  index hidden, dim;
  std::vector<double> w1, b1, w2, b2;

  Dense(index h, index d) : hidden(h), dim(d) {
    tests::Generator random(1);
    w1 = tests::normals(random, h * d, 0.5);
    b1 = tests::normals(random, h);
    w2 = tests::normals(random, h * d, 0.5);
    b2 = tests::normals(random, d);
  }
  DenseFfn<double> view() const {
    return {{w1.data(), hidden, dim}, tests::in(b1), {w2.data(), dim, hidden}, tests::in(b2)};
  }
  /// y of tokens x [T,D], naively.
  reference::Vector run(const std::vector<double>& x) const {
    reference::Vector y;
    for (std::size_t t = 0; t < x.size(); t += static_cast<std::size_t>(dim)) {
      reference::Vector h;
      for (index i = 0; i < hidden; ++i) {
        double sum = b1.empty() ? 0.0 : b1[static_cast<std::size_t>(i)];
        for (index d = 0; d < dim; ++d) {
          sum += w1[static_cast<std::size_t>(i * dim + d)] * x[t + static_cast<std::size_t>(d)];
        }
        h.push_back(reference::activate(reference::Activation::gelu_tanh, sum));
      }
      for (index d = 0; d < dim; ++d) {
        y.push_back(b2.empty() ? 0.0 : b2[static_cast<std::size_t>(d)]);
        for (index i = 0; i < hidden; ++i) {
          y.back() += w2[static_cast<std::size_t>(d * hidden + i)] * h[static_cast<std::size_t>(i)];
        }
      }
    }
    return y;
  }
};

reference::Vector run(const Layer& layer, const std::vector<double>& x) {
  const index dim = layer.sizes().model_dim, tokens = static_cast<index>(x.size()) / dim;
  std::vector<double> y(x.size());
  layer.forward(In<double>(x.data(), tokens, dim), Out<double>(y.data(), tokens, dim));
  return y;
}

TEST_CASE("dense to experts: all parts together are the dense FFN", "[convert]") {
  tests::Generator random(2);
  for (const index parts : {1, 2, 6}) {
    for (const index dim : {12, 5}) {  // square with D = H0
      Dense dense(12, dim);
      Layer layer({dim, parts, 12 / parts}, {}, cpu::Backend(1));
      layer.initialize(Random{3});
      const std::vector<double> x = tests::normals(random, 7 * dim);
      convert::dense_to_experts(dense.view(), layer);
      INFO(parts << " parts, D " << dim);
      CHECK(tests::relative_error(run(layer, x), dense.run(x)) < 1e-14);
      dense.b1.clear();  // without biases: the layer's become zero
      dense.b2.clear();
      CHECK(tests::relative_error(run(layer, x), dense.run(x)) > 1e-2);
      convert::dense_to_experts(dense.view(), layer);
      CHECK(tests::relative_error(run(layer, x), dense.run(x)) < 1e-14);
    }
  }
}

TEST_CASE("dense to experts: where every number goes", "[convert]") {
  const Dense dense(6, 4);
  Layer layer({4, 3, 2}, {}, cpu::Backend(1));
  layer.initialize(Random{3});
  const Parameters p = layer.parameters();
  std::vector<double> gate(12), after(12);
  p[0].as<double>().store(gate);
  convert::dense_to_experts(dense.view(), layer);
  p[0].as<double>().store(after);
  CHECK(gate == after);  // the router is left as it is
  for (index e = 0; e < 3; ++e) {
    for (index h = 0; h < 2; ++h) {
      const index unit = 2 * e + h;
      CHECK(p[2].as<double>().at(e, h) == dense.b1[static_cast<std::size_t>(unit)]);
      for (index d = 0; d < 4; ++d) {
        CHECK(p[1].as<double>().at(e, h, d) == dense.w1[static_cast<std::size_t>(unit * 4 + d)]);
        CHECK(p[3].as<double>().at(e, d, h) == dense.w2[static_cast<std::size_t>(d * 6 + unit)]);
        CHECK(p[4].as<double>().at(e, d) == dense.b2[static_cast<std::size_t>(d)] / 3.0);
      }
    }
  }
}

TEST_CASE("dense to experts: errors", "[convert]") {
  const Dense dense(6, 4);
  const auto text = [&](Sizes sizes, bool bias, const DenseFfn<double>& from) {
    Layer layer(sizes, {.expert = {.bias = bias}}, cpu::Backend(1));
    return tests::message_of<shape_error>([&] { convert::dense_to_experts(from, layer); });
  };
  CHECK(text({4, 3, 2}, true, dense.view()).empty());
  CHECK(
      text({4, 3, 3}, true, dense.view()) ==
      "xmoe::convert::dense_to_experts: W1 is 6 x 4, W2 4 x 6, b1 6, b2 4; the layer has 3 experts "
      "of 3 for model_dim 4");
  CHECK_FALSE(text({5, 3, 2}, true, dense.view()).empty());
  CHECK(
      text({4, 3, 2}, false, dense.view()) ==
      "xmoe::convert::dense_to_experts: the dense FFN has biases, the layer has none (expert.bias "
      "= true)");
  DenseFfn<double> part = dense.view();
  part.b1.count = 5;
  CHECK_FALSE(text({4, 3, 2}, true, part).empty());
  part = dense.view();
  part.b1 = part.b2 = {};
  CHECK(text({4, 3, 2}, false, part).empty());
  std::swap(part.w1, part.w2);
  CHECK_FALSE(text({4, 3, 2}, false, part).empty());
}

}  // namespace
}  // namespace xmoe
