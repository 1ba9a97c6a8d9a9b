// SPDX-License-Identifier: Apache-2.0
// Rows far apart, rows on odd addresses, Eigen matrices, dirty memory: the numbers are the same,
// bit for bit, and nothing is written beside them. Aliasing outputs are refused.
#include <Eigen/Core>

#include <limits>

#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::index;
using tests::Numbers;

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>,
                       expert::Ffn<activation::Gelu>, dispatch::Capacity>;

tests::Case make_case(index dim) {
  tests::CaseOptions o;
  o.shape = {37, 5, dim, 19};
  o.activation = reference::Activation::gelu_tanh;
  o.router.threshold = 0.8;
  o.capacity = {true, 2.0, 1, reference::Priority::rank_then_probability, {}};
  return tests::random_case(static_cast<std::uint64_t>(dim), o);
}

struct Results {
  Numbers<float> y, dx;
  std::vector<tests::Tensor> gradients;
};

/// Forward and backward with all four matrices laid out in one way. The gaps hold a mark.
Results run(Layer& layer, const tests::Case& c, index stride, index shift) {
  const float mark = 12345.5f;
  const Numbers<float> x(c.x, stride, shift);
  const Numbers<float> dy(c.dy, stride, shift);
  Results r{Numbers<float>(c.x.rows, c.x.cols, stride, shift),
            Numbers<float>(c.x.rows, c.x.cols, stride, shift),
            {}};
  r.y.fill(mark);
  r.dx.fill(mark);
  Layer::Tape tape;
  layer.record(x.view(), r.y.view(), tape);
  Layer::Gradients g = layer.make_gradients();
  layer.backward(tape, dy.view(), r.dx.view(), g);
  r.gradients = tests::tensors_of<float>(g.parameters());
  const index step = r.y.view().stride();
  for (Numbers<float>* numbers : {&r.y, &r.dx}) {
    index marks = 0;
    for (float v : numbers->all()) {
      marks += v == mark ? 1 : 0;
    }
    CHECK(marks == c.x.rows * (step - c.x.cols) + shift + 1);
  }
  return r;
}

TEST_CASE("strides and odd addresses change no bit", "[layer][views]") {
  for (index dim : {1, 7, 32, 33, 64}) {
    INFO("D " << dim);
    const tests::Case c = make_case(dim);
    Layer layer = tests::make_layer<Layer>(c.setup);
    const Results plain = run(layer, c, 0, 0);
    for (const auto& [stride, shift] : std::vector<std::pair<index, index>>{
             {0, 1}, {dim + 1, 0}, {dim + 5, 3}, {2 * dim + 16, 1}}) {
      INFO("stride " << stride << ", shift " << shift);
      const Results other = run(layer, c, stride, shift);
      CHECK(plain.y == other.y);
      CHECK(plain.dx == other.dx);
      for (std::size_t i = 0; i < plain.gradients.size(); ++i) {
        CHECK(plain.gradients[i].values == other.gradients[i].values);
      }
    }
  }
}

TEST_CASE("Eigen matrices, maps and blocks are views", "[layer][views]") {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const tests::Case c = make_case(24);
  Layer layer = tests::make_layer<Layer>(c.setup);
  const Results plain = run(layer, c, 0, 0);
  Matrix x(37, 24);
  for (index t = 0; t < 37; ++t) {
    for (index d = 0; d < 24; ++d) {
      x(t, d) = static_cast<float>(c.x(t, d));
    }
  }
  Matrix wide = Matrix::Constant(40, 30, -1.f);
  layer.forward(x, wide.block(2, 3, 37, 24));
  for (index i = 0; i < 40; ++i) {
    for (index j = 0; j < 30; ++j) {
      const bool inside = i >= 2 && i < 39 && j >= 3 && j < 27;
      CHECK(wide(i, j) == (inside ? plain.y.view()(i - 2, j - 3) : -1.f));
    }
  }
}

TEST_CASE("outputs on top of inputs are refused", "[layer][views]") {
  const tests::Case c = make_case(8);
  Layer layer = tests::make_layer<Layer>(c.setup);
  Numbers<float> x(c.x);
  CHECK_THROWS_AS(layer.forward(x.view(), x.view()), value_error);
  std::vector<float> both(static_cast<std::size_t>(2 * 37 * 8), 0.5f);
  MatrixView<float> first(both.data(), 37, 8);
  MatrixView<float> shifted(both.data() + 36 * 8, 37, 8);
  CHECK_THROWS_AS(layer.forward(first, shifted), value_error);
  MatrixView<float> behind(both.data() + 37 * 8, 37, 8);
  layer.forward(first, behind);  // neighbours are fine
}

TEST_CASE("dirty memory: every number is written, and the second call equals the first",
          "[layer][views]") {
  const float poison = std::numeric_limits<float>::signaling_NaN();
  const tests::Case c = make_case(17);
  Layer layer = tests::make_layer<Layer>(c.setup);
  const Results plain = run(layer, c, 0, 0);
  Workspace workspace(layer.workspace_bytes(37));
  const Numbers<float> x(c.x);
  for (int call = 0; call < 2; ++call) {
    {  // poison all scratch
      const index count = workspace.capacity() / static_cast<index>(sizeof(float));
      const Workspace::Scope scope(workspace);
      std::fill_n(workspace.take<float>(count), count, poison);
    }
    Numbers<float> y(37, 17);
    y.fill(poison);
    layer.forward(workspace, x.view(), y.view());
    CHECK(plain.y == y);
  }
  // training: scratch full of poison, a tape that has just seen nothing but NaN
  Workspace training(layer.training_workspace_bytes(37));
  Layer::Tape tape;
  layer.prepare(tape, 37);
  Numbers<float> nothing(37, 17);
  nothing.fill(std::numeric_limits<float>::quiet_NaN());
  Numbers<float> y(37, 17), dx(37, 17);
  layer.config().router.nonfinite = NonFinite::propagate;
  layer.record(training, nothing.view(), y.view(), tape);
  layer.config().router.nonfinite = NonFinite::refuse;
  const auto poison_training = [&] {
    const index count = training.capacity() / static_cast<index>(sizeof(float));
    const Workspace::Scope scope(training);
    std::fill_n(training.take<float>(count), count, poison);
  };
  poison_training();
  y.fill(poison);
  layer.record(training, x.view(), y.view(), tape);
  CHECK(plain.y == y);
  poison_training();
  dx.fill(poison);
  Layer::Gradients g = layer.make_gradients();
  const Numbers<float> dy(c.dy);
  layer.backward(training, tape, dy.view(), dx.view(), g);
  CHECK(plain.dx == dx);
  const auto gradients = tests::tensors_of<float>(g.parameters());
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    CHECK(gradients[i].values == plain.gradients[i].values);
  }
  // a larger, different call in between on the layer's own memory
  tests::CaseOptions o;
  o.shape = {64, 5, 17, 19};
  const tests::Case other = tests::random_case(99, o);
  const Numbers<float> big(other.x);
  Numbers<float> big_y(64, 17);
  layer.forward(big.view(), big_y.view());
  const Results again = run(layer, c, 0, 0);
  CHECK(plain.y == again.y);
  CHECK(plain.dx == again.dx);
}

}  // namespace
