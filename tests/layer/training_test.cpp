// SPDX-License-Identifier: Apache-2.0
// Tapes and gradients over several calls: micro-batches, reuse of a tape, repeated backward, where
// the router learns and where it does not, losses on a batch that was dropped altogether.
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::index;
using tests::Numbers;

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                       expert::Ffn<activation::Gelu>, dispatch::Capacity, Cpu<double>>;

tests::Case make_case(index tokens, std::uint64_t seed) {
  tests::CaseOptions o;
  o.shape = {tokens, 5, 9, 6};
  o.activation = reference::Activation::gelu_tanh;
  o.router.select = reference::Select::top_k;
  o.router.k = 2;
  return tests::random_case(seed, o);
}
/// Forward and backward of the rows begin .. end-1, gradients added to g.
void run(const Layer& layer, const tests::Case& c, index begin, index end, Layer::Gradients& g,
         Numbers<double>& y, Numbers<double>& dx) {
  const Numbers<double> x(c.x);
  const Numbers<double> dy(c.dy);
  const auto part = [&](auto view) {
    return decltype(view)(view.row_data(begin), end - begin, view.cols(), view.stride());
  };
  Layer::Tape tape;
  layer.record(part(x.view()), part(y.view()), tape);
  layer.backward(tape, part(dy.view()), part(dx.view()), g);
}

TEST_CASE("gradients of micro-batches add up to those of one batch", "[layer][training]") {
  const tests::Case c = make_case(48, 3);
  const Layer layer = tests::make_layer<Layer>(c.setup);
  Numbers<double> y(48, 9), dx(48, 9), y2(48, 9), dx2(48, 9);
  Layer::Gradients whole = layer.make_gradients();
  run(layer, c, 0, 48, whole, y, dx);
  Layer::Gradients parts = layer.make_gradients();
  for (index begin : {0, 7, 8, 30}) {
    const index end = begin == 0 ? 7 : begin == 7 ? 8 : begin == 8 ? 30 : 48;
    run(layer, c, begin, end, parts, y2, dx2);
  }
  CHECK(y == y2);
  CHECK(dx == dx2);
  const auto a = tests::tensors_of<double>(whole.parameters());
  const auto b = tests::tensors_of<double>(parts.parameters());
  for (std::size_t i = 0; i < a.size(); ++i) {
    tests::check_close<double>(a[i].name, b[i].values, a[i].values, 48);
    CHECK(tests::magnitude(a[i].values) > 0.0);
  }
}

TEST_CASE("a loss is a mean: equal micro-batches average", "[layer][training]") {
  // the z-loss is a mean over tokens; halves of equal size average to the whole
  const tests::Case c = make_case(32, 4);
  const Layer layer = tests::make_layer<Layer>(c.setup);
  const Numbers<double> x(c.x);
  Numbers<double> y(32, 9);
  Layer::Tape tape;
  const auto value = [&](index begin, index count) {
    const MatrixView<const double> part(x.view().row_data(begin), count, 9);
    layer.record(part, MatrixView<double>(y.view().row_data(begin), count, 9), tape);
    return layer.add_loss(tape, loss::ZLoss{.coefficient = 1.f});
  };
  const double whole = value(0, 32);
  CHECK(tests::within(0.5 * (value(0, 16) + value(16, 16)), whole,
                      tests::tolerance<double>(32, whole)));
}

TEST_CASE("a tape is reusable, larger and smaller; backward may be repeated", "[layer][training]") {
  Layer::Tape tape;
  for (index tokens : {8, 64, 5, 0, 33}) {
    INFO("T " << tokens);
    const tests::Case c = make_case(tokens, 10 + static_cast<std::uint64_t>(tokens));
    const Layer layer = tests::make_layer<Layer>(c.setup);
    const Numbers<double> x(c.x), dy(c.dy);
    Numbers<double> y(tokens, 9), dx(tokens, 9), dx2(tokens, 9), dx3(tokens, 9);
    layer.record(x.view(), y.view(), tape);
    Layer::Gradients g = layer.make_gradients();
    layer.backward(tape, dy.view(), dx.view(), g);
    Layer::Gradients twice = layer.make_gradients();
    layer.backward(tape, dy.view(), dx2.view(), twice);
    CHECK(dx == dx2);
    Layer::Tape fresh;
    layer.record(x.view(), y.view(), fresh);
    layer.backward(fresh, dy.view(), dx3.view(), twice);
    CHECK(dx == dx3);
    const auto once = tests::tensors_of<double>(g.parameters());
    const auto sum = tests::tensors_of<double>(twice.parameters());
    for (std::size_t i = 0; i < once.size(); ++i) {
      reference::Vector doubled = once[i].values;
      for (double& v : doubled) {
        v *= 2.0;
      }
      tests::check_close<double>(once[i].name, sum[i].values, doubled, tokens);
    }
  }
}

TEST_CASE("the router learns from one expert a token with raw weights", "[layer][training]") {
  tests::Case c = make_case(20, 5);
  c.setup.router.k = 1;
  const Layer layer = tests::make_layer<Layer>(c.setup);
  Numbers<double> y(20, 9), dx(20, 9);
  Layer::Gradients g = layer.make_gradients();
  run(layer, c, 0, 20, g, y, dx);
  CHECK(tests::magnitude(tests::tensors_of<double>(g.parameters())[0].values) > 1e-3);
}

TEST_CASE("with everything dropped only the losses reach the router", "[layer][training]") {
  tests::Case c = make_case(20, 6);
  c.setup.balance = {{.coefficient = 0.5}};
  Layer layer = tests::make_layer<Layer>(c.setup);
  layer.config().dispatch.limit = dispatch::Limit::absolute;  // of 0
  const Numbers<double> x(c.x), dy(c.dy);
  Numbers<double> y(20, 9), dx(20, 9);
  Layer::Tape tape;
  layer.record(x.view(), y.view(), tape);
  const double value = layer.add_loss(tape, loss::LoadBalance<>{.coefficient = 0.5f});
  Layer::Gradients g = layer.make_gradients();
  layer.backward(tape, dy.view(), dx.view(), g);
  c.setup.capacity = {true, 1e-9, 0, reference::Priority::rank_then_probability, {}};
  reference::Setup none = c.setup;
  const reference::Forward f = reference::route(c.setup, c.x);
  none = tests::frozen(none, f);
  for (auto& row : *none.pinned_kept) {
    row.assign(row.size(), false);
  }
  const reference::Forward dropped = reference::forward(none, c.x);
  const reference::Gradients want = reference::backward(none, c.x, dropped, c.dy);
  const double wanted = reference::losses(none, dropped);
  CHECK(tests::within(value, wanted, tests::tolerance<double>(29, wanted)));
  tests::check_close<double>("x", tests::numbers(dx.view()), want.dx.values, 60);
  const auto tensors = tests::tensors_of<double>(g.parameters());
  tests::check_close<double>("gate", tensors[0].values, want.gate.values, 60);
  CHECK(tests::magnitude(want.gate.values) > 0.0);
  for (std::size_t i = 1; i < tensors.size(); ++i) {
    CHECK(tests::magnitude(tensors[i].values) == 0.0);
  }
}

TEST_CASE("recording and inference agree bitwise; recording leaves the layer alone",
          "[layer][training]") {
  const tests::Case c = make_case(40, 7);
  const Layer layer = tests::make_layer<Layer>(c.setup);  // const: nothing can change
  const Numbers<double> x(c.x);
  Numbers<double> a(40, 9), b(40, 9);
  layer.forward(x.view(), a.view());
  const Layer::Tape tape = layer.record(x.view(), b.view());
  CHECK(a == b);
  const Statistics first = layer.statistics(tape);
  const Statistics second = layer.statistics(tape);
  CHECK(first.load == second.load);
  CHECK(first.entropy == second.entropy);
}

}  // namespace
