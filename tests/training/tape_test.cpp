// SPDX-License-Identifier: Apache-2.0
#include <xmoe/xmoe.hpp>

#include <string>
#include <utility>

#include "support/catch.hpp"

namespace xmoe {
namespace {

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                       expert::Ffn<activation::Relu>, dispatch::Dropless>;
static_assert(!std::is_copy_constructible_v<Layer::Tape>);  // its views would dangle
static_assert(std::is_move_constructible_v<Layer::Tape>);

std::string refusal(const Layer& layer, const Layer::Tape& tape) {
  try {
    layer.statistics(tape);
  } catch (const value_error& problem) {
    return problem.what();
  }
  return "";
}

TEST_CASE("a tape holds a record from record on, and takes it along", "[training][tape]") {
  Layer layer({2, 3, 4}, {}, cpu::Backend(1));
  layer.initialize({.seed = 1});
  float x[] = {1.f, -2.f, 3.f, 4.f}, y[4], dy[] = {1.f, 1.f, -1.f, 2.f}, dx[4], again[4];
  const MatrixView<float> tokens(x, 2, 2);
  Layer::Tape tape;
  CHECK(refusal(layer, tape) == "xmoe::MoeLayer::statistics: nothing is recorded on this tape");
  layer.record(tokens, {y, 2, 2}, tape);
  CHECK(refusal(layer, tape).empty());
  CHECK(tape.decision().routing.assignments() == 4);
  CHECK(tape.plan().kept == 4);

  Layer::Gradients gradients = layer.make_gradients();
  layer.backward(tape, MatrixView<const float>(dy, 2, 2), {dx, 2, 2}, gradients);
  Layer::Tape moved = std::move(tape);
  CHECK(!refusal(layer, tape).empty());  // NOLINT(bugprone-use-after-move): that is the test
  layer.backward(moved, MatrixView<const float>(dy, 2, 2), {again, 2, 2}, gradients);
  for (int i = 0; i < 4; ++i) {
    CHECK(again[i] == dx[i]);
  }
  tape = std::move(moved);
  CHECK(refusal(layer, tape).empty());
  CHECK(!refusal(layer, moved).empty());  // NOLINT(bugprone-use-after-move)
}

}  // namespace
}  // namespace xmoe
