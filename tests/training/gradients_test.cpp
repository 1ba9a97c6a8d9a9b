// SPDX-License-Identifier: Apache-2.0
#include <xmoe/xmoe.hpp>

#include <string>

#include "support/catch.hpp"

namespace xmoe {
namespace {

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                       expert::Ffn<activation::Relu>, dispatch::Dropless>;

TEST_CASE("gradients start at zero in the shapes of the weights", "[training][gradients]") {
  Layer layer({2, 3, 4}, {}, cpu::Backend(1));
  Layer::Gradients gradients = layer.make_gradients();
  const Parameters mine = gradients.parameters();
  const Parameters theirs = layer.parameters();
  REQUIRE(mine.size() == theirs.size());
  for (std::size_t i = 0; i < mine.size(); ++i) {
    CHECK(mine[i].name == theirs[i].name);
    CHECK(mine[i].size() == theirs[i].size());
    for (const float g : mine[i].as<float>().values()) {
      CHECK(g == 0.f);
    }
  }
  for (index e = 0; e < 3; ++e) {
    CHECK(!gradients.touched(e));
  }
}

TEST_CASE("zero takes back what backward added, touched marks included", "[training][gradients]") {
  Layer layer({2, 3, 4}, {}, cpu::Backend(1));
  layer.initialize({.seed = 2});
  float x[] = {1.f, -2.f}, y[2], dy[] = {1.f, 1.f}, dx[2];
  Layer::Tape tape;
  Layer::Gradients gradients = layer.make_gradients();
  layer.record(MatrixView<float>(x, 1, 2), {y, 1, 2}, tape);
  layer.backward(tape, MatrixView<const float>(dy, 1, 2), {dx, 1, 2}, gradients);
  const auto touched = [&] {
    return gradients.touched(0) + gradients.touched(1) + gradients.touched(2);
  };
  const auto total = [&] {
    double sum = 0;
    for (const Parameter& p : gradients.parameters()) {
      for (const float g : p.as<float>().values()) {
        sum += static_cast<double>(g * g);
      }
    }
    return sum;
  };
  CHECK(touched() == 2);  // k = 2 of 3
  CHECK(total() > 0);
  gradients.zero();
  CHECK(touched() == 0);
  CHECK(total() == 0);
}

TEST_CASE("gradients of another layer are refused with both counts", "[training][gradients]") {
  Layer layer({2, 3, 4}, {}, cpu::Backend(1));
  Layer other({2, 3, 5}, {}, cpu::Backend(1));
  float x[] = {1.f, -2.f}, y[2], dy[] = {1.f, 1.f}, dx[2];
  Layer::Tape tape;
  Layer::Gradients gradients = other.make_gradients();
  layer.record(MatrixView<float>(x, 1, 2), {y, 1, 2}, tape);
  std::string text;
  try {
    layer.backward(tape, MatrixView<const float>(dy, 1, 2), {dx, 1, 2}, gradients);
  } catch (const shape_error& problem) {
    text = problem.what();
  }
  CHECK(text.find("xmoe::MoeLayer::backward: gradients hold") == 0);
}

}  // namespace
}  // namespace xmoe
