// SPDX-License-Identifier: Apache-2.0
// Wrong calls: the text names function, argument and numbers, and nothing is half-written.
#include <limits>

#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::index;
using tests::Numbers;

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                       expert::Ffn<activation::Relu>, dispatch::Capacity>;

/// Runs `call`, which must throw Error with all `words` in its text.
template <class Error>
void check_throws(const std::function<void()>& call, const std::vector<std::string>& words) {
  std::string text;
  bool right_type = false;
  try {
    call();
  } catch (const Error& e) {
    right_type = true;
    text = e.what();
  } catch (const std::exception& e) {
    text = e.what();
  }
  INFO("text: '" << text << "'");
  CHECK(right_type);
  for (const std::string& word : words) {
    INFO("looked for '" << word << "'");
    CHECK(text.find(word) != std::string::npos);
  }
}

Layer make_layer() {
  Layer layer(Sizes{.model_dim = 8, .experts = 4, .expert_dim = 6}, {}, cpu::Backend(1));
  layer.initialize({.seed = 1});
  return layer;
}

TEST_CASE("wrong shapes of forward", "[layer][error]") {
  const Layer layer = make_layer();
  Numbers<float> x(5, 8), y(5, 8), narrow(5, 7), few(4, 8);
  y.fill(3.f);
  narrow.fill(3.f);
  check_throws<shape_error>([&] { layer.forward(narrow.view(), y.view()); },
                            {"forward", "x", "7", "8"});
  check_throws<shape_error>([&] { layer.forward(x.view(), narrow.view()); },
                            {"forward", "y", "7", "8"});
  check_throws<shape_error>([&] { layer.forward(x.view(), few.view()); },
                            {"forward", "y", "4", "5"});
  check_throws<shape_error>(
      [&] { layer.forward(MatrixView<const float>(nullptr, 5, 8), y.view()); },
      {"forward", "x", "null"});
  check_throws<shape_error>([&] { layer.forward(x.view(), MatrixView<float>(nullptr, 5, 8)); },
                            {"forward", "y", "null"});
  check_throws<shape_error>(
      [&] { layer.forward(MatrixView<const float>(x.view().data(), 5, 8, 7), y.view()); },
      {"forward", "x", "7", "8"});
  check_throws<shape_error>(
      [&] { layer.forward(MatrixView<const float>(x.view().data(), -1, 8), y.view()); },
      {"forward", "x", "-1"});
  for (float v : y.all()) {
    CHECK(v == 3.f);
  }
}

TEST_CASE("spans that are too short", "[layer][error]") {
  std::vector<float> numbers(39);
  check_throws<shape_error>([&] { MatrixView<float>(std::span<float>(numbers), 5, 8); },
                            {"MatrixView", "39", "5", "8"});
}

TEST_CASE("wrong padding masks and routings", "[layer][error]") {
  const Layer layer = make_layer();
  Numbers<float> x(5, 8), y(5, 8), few(4, 8), few_y(4, 8);
  const std::vector<std::uint8_t> mask(4, 1);
  check_throws<shape_error>(
      [&] {
        layer.forward(Batch<float>(x.view(), VectorView<const std::uint8_t>{mask.data(), 4}),
                      y.view());
      },
      {"forward", "mask", "4", "5"});
  const auto routing = layer.route(x.view());
  check_throws<shape_error>([&] { layer.apply(few.view(), routing, few_y.view()); },
                            {"apply", "5", "4"});
  const auto other = Routing<float>::from(3, std::vector<index>{0, 1, 1, 1, 1, 1},
                                          std::vector<std::int32_t>{0}, std::vector<float>{1.f});
  check_throws<shape_error>([&] { layer.apply(x.view(), other, y.view()); }, {"apply", "3", "4"});
}

TEST_CASE("wrong hyper-parameters, when made and when changed", "[layer][error]") {
  const Sizes sizes{.model_dim = 8, .experts = 4, .expert_dim = 6};
  check_throws<shape_error>([&] { Layer({.model_dim = 8, .experts = 0, .expert_dim = 6}); },
                            {"experts 0"});
  check_throws<shape_error>([&] { Layer({.model_dim = 0, .experts = 4, .expert_dim = 6}); },
                            {"model_dim 0"});
  check_throws<value_error>([&] { Layer(sizes, {.router = {.select = {.k = 5}}}); },
                            {"TopK", "5", "4"});
  check_throws<value_error>([&] { Layer(sizes, {.router = {.select = {.k = 0}}}); },
                            {"TopK", "0", "4"});
  check_throws<value_error>([&] { Layer(sizes, {.dispatch = {.factor = -1.0}}); },
                            {"Capacity", "-1"});
  check_throws<value_error>([&] { Layer(sizes, {.dispatch = {.factor = 0.0}}); },
                            {"Capacity", "factor 0"});
  check_throws<value_error>([&] { Layer(sizes, {.dispatch = {.minimum = -3}}); },
                            {"Capacity", "-3"});
  check_throws<value_error>([&] { Layer(sizes, {.dispatch = {.absolute = -2}}); },
                            {"Capacity", "-2"});
  check_throws<value_error>(
      [&] { Layer(sizes, {.dispatch = {.factor = std::numeric_limits<double>::quiet_NaN()}}); },
      {"Capacity", "nan"});
  Layer layer = make_layer();
  layer.config().router.select.k = 9;
  Numbers<float> x(5, 8), y(5, 8);
  y.fill(3.f);
  check_throws<value_error>([&] { layer.forward(x.view(), y.view()); }, {"TopK", "9", "4"});
  for (float v : y.all()) {
    CHECK(v == 3.f);
  }
}

TEST_CASE("wrong backward", "[layer][error]") {
  const Layer layer = make_layer();
  Numbers<float> x(5, 8), y(5, 8), dy(5, 8), dx(5, 8), few(4, 8);
  Layer::Tape tape;
  Layer::Gradients g = layer.make_gradients();
  check_throws<value_error>([&] { layer.backward(tape, dy.view(), dx.view(), g); },
                            {"backward", "tape"});
  check_throws<value_error>([&] { layer.add_loss(tape, loss::ZLoss{}); }, {"add_loss", "tape"});
  layer.record(x.view(), y.view(), tape);
  check_throws<shape_error>([&] { layer.backward(tape, few.view(), dx.view(), g); },
                            {"backward", "dy", "4", "5"});
  check_throws<shape_error>([&] { layer.backward(tape, dy.view(), few.view(), g); },
                            {"backward", "dx", "4", "5"});
  check_throws<value_error>([&] { layer.backward(tape, dy.view(), dy.view(), g); },
                            {"backward", "overlap"});
  Layer::Gradients empty;
  check_throws<shape_error>([&] { layer.backward(tape, dy.view(), dx.view(), empty); },
                            {"backward", "gradients"});
  for (const Sizes& sizes : {Sizes{16, 4, 6}, Sizes{8, 5, 6}, Sizes{8, 4, 60}}) {
    const Layer other(sizes, {}, cpu::Backend(1));
    Layer::Gradients foreign = other.make_gradients();
    check_throws<shape_error>([&] { layer.backward(tape, dy.view(), dx.view(), foreign); },
                              {"backward", "gradients"});
    check_throws<value_error>([&] { other.add_loss(tape, loss::ZLoss{}); },
                              {"add_loss", "tape", "8 x 4 x 6"});
    check_throws<value_error>([&] { other.backward(tape, dy.view(), dx.view(), foreign); },
                              {"backward", "tape", "8 x 4 x 6"});
  }
  const Layer unbiased(layer.sizes(), {.expert = {.bias = false}}, cpu::Backend(1));
  Layer::Gradients fewer = unbiased.make_gradients();
  check_throws<shape_error>([&] { layer.backward(tape, dy.view(), dx.view(), fewer); },
                            {"backward", "gradients"});
  for (const tests::Tensor& t : tests::tensors_of<float>(g.parameters())) {
    CHECK(tests::magnitude(t.values) == 0.0);
  }
  // a call that fails takes the old recording with it
  x.view()(2, 3) = std::numeric_limits<float>::quiet_NaN();
  check_throws<value_error>([&] { layer.record(x.view(), y.view(), tape); }, {"token 2"});
  check_throws<value_error>([&] { layer.backward(tape, dy.view(), dx.view(), g); },
                            {"backward", "tape"});
}

TEST_CASE("a workspace that is too small", "[layer][error]") {
  const Layer layer = make_layer();
  Numbers<float> x(5, 8), y(5, 8);
  for (index bytes : {index{0}, index{64}, layer.workspace_bytes(5) / 2}) {
    INFO(bytes << " bytes");
    Workspace small(bytes);
    y.fill(3.f);
    check_throws<value_error>([&] { layer.forward(small, x.view(), y.view()); },
                              {"Workspace", "bytes needed", std::to_string(bytes)});
    for (float v : y.all()) {
      CHECK(v == 3.f);
    }
  }
  Workspace right(layer.workspace_bytes(5));
  layer.forward(right, x.view(), y.view());
}

TEST_CASE("no tokens: everything works and is empty", "[layer]") {
  const Layer layer = make_layer();
  const MatrixView<const float> x(nullptr, 0, 8);
  const MatrixView<float> y(nullptr, 0, 8);
  CHECK(layer.forward(x, y).kept == 0);
  CHECK(layer.route(x).tokens() == 0);
  layer.apply(x, layer.route(x), y);
  Layer::Tape tape;
  const Summary s = layer.record(x, y, tape);
  CHECK(s.tokens == 0);
  CHECK(s.capacity == 0);
  CHECK(layer.add_loss(tape, loss::LoadBalance<>{}) == 0.0);
  Layer::Gradients g = layer.make_gradients();
  layer.backward(tape, x, y, g);
  for (const tests::Tensor& t : tests::tensors_of<float>(g.parameters())) {
    CHECK(tests::magnitude(t.values) == 0.0);
  }
  const Statistics st = layer.statistics(tape);
  CHECK(st.entropy == 0.0);
  CHECK(st.kept_per_token == 0.0);
  CHECK(st.balance_deviation == 0.0);
  CHECK(st.flops_padded == 0.0);
}

}  // namespace
