// SPDX-License-Identifier: Apache-2.0
// A layer on the device as a .cpp file sees it.
#include <Eigen/Core>

#include "layer_case.hpp"

namespace tests {
namespace {

using namespace xmoe;

template <class Traits>
using LayerOn = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>, expert::Ffn<>,
                         dispatch::Capacity, Traits>;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

std::string text_of(auto&& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "no error";
}

std::vector<float> tensor_of(const portable::DeviceLayer& layer, const std::string& name,
                             bool gradient) {
  for (const auto& t : layer.tensors()) {
    if (t.name == name) {
      std::vector<float> numbers(static_cast<std::size_t>(t.size));
      if (gradient) {
        layer.store_gradient(name, numbers.data(), t.size);
      } else {
        layer.store(name, numbers.data(), t.size);
      }
      return numbers;
    }
  }
  return {};
}

TEST_CASE("device layer's handle: steps of training are the CPU's", "[cuda][layer]") {
  LayerOn<Cpu<float>> host({24, 5, 16});
  const auto device = cuda::make_device_layer<LayerOn<Cuda<float>>>({24, 5, 16});
  host.initialize({.seed = 3});
  device->initialize(3);
  const Matrix x = Matrix::Random(19, 24), dy = Matrix::Random(19, 24);
  Matrix wide = Matrix::Zero(19, 40), y(19, 24), dx(19, 24), want(19, 24), want_dx(19, 24);

  const Summary s = host.forward(x, want);
  const auto counts = interop::forward(*device, x, wide.leftCols(24));
  CHECK(wide.leftCols(24) == want);
  CHECK(wide.rightCols(16).isZero());
  CHECK((counts.tokens == s.tokens && counts.wanted == s.wanted && counts.kept == s.kept &&
         counts.dropped == s.dropped && counts.capacity == s.capacity));

  decltype(host)::Tape tape;
  auto gradients = host.make_gradients();
  optimizer::AdamW adam(host.parameters(), {.learning_rate = 0.1f, .decay = 0.f});
  for (int step = 0; step < 2; ++step) {
    gradients.zero();
    device->zero_gradients();
    host.record(x, want, tape);
    host.backward(tape, dy, want_dx, gradients);
    interop::record(*device, x, y, static_cast<std::uint64_t>(step));
    Matrix other = Matrix::Random(step == 0 ? 19 : 30, 24), unused(other.rows(), 24);
    interop::forward(*device, other, unused);  // a call between does not touch what is recorded
    interop::backward(*device, dy, dx);
    CHECK((y - want).norm() <= 1e-5f * want.norm());
    CHECK((dx - want_dx).norm() <= 1e-5f * want_dx.norm());
    CHECK(want_dx.norm() > 1e-3f);
    for (const Parameter& p : gradients.parameters()) {
      std::vector<float> numbers(static_cast<std::size_t>(p.size()));
      p.as<float>().store(std::span<float>(numbers));
      const auto got = tensor_of(*device, p.name, true);
      INFO(p.name);
      check_close<float>(p.name, widened(got), widened(numbers), 100);
      CHECK(magnitude(widened(numbers)) > 0.0);
    }
    const auto before = tensor_of(*device, "expert.down.weight", false);
    adam.step(host.parameters(), gradients.parameters());
    device->step_adamw(0.1f, 0.f);
    CHECK(tensor_of(*device, "expert.down.weight", false) != before);
  }
}

TEST_CASE("device layer's handle: memory that is on the device already", "[cuda][layer]") {
  const auto layer = cuda::make_device_layer<LayerOn<Cuda<bfloat16>>>({24, 5, 16});
  layer->initialize(3);
  const Matrix x = Matrix::Random(19, 24);
  Matrix want(19, 24);
  interop::forward(*layer, x, want);
  std::vector<bfloat16> rounded;
  for (const float v : std::vector<float>(x.data(), x.data() + x.size())) {
    rounded.push_back(bfloat16(v));
  }
  const OnDevice<bfloat16> in(rounded), out(std::vector<bfloat16>(19 * 24));
  layer->forward_device({in.data(), 19, 24}, {out.data(), 19, 24});
  const auto got = out.numbers();
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(static_cast<float>(got[i]) == want.data()[i]);
  }
}

TEST_CASE("device layer's handle: tensors by name, errors by text", "[cuda][layer][error]") {
  const auto layer = cuda::make_device_layer<LayerOn<Cuda<half>>>({8, 3, 4});
  CHECK(layer->shape().experts == 3);
  CHECK(layer->tensors().size() == 5);
  CHECK(layer->tensors()[1].name == "expert.up.weight");
  CHECK(layer->tensors()[1].size == 3 * 4 * 8);
  CHECK(layer->tensors()[1].trained);
  std::vector<float> numbers(96, 0.5f);
  layer->load("expert.up.weight", numbers.data(), 96);
  CHECK(tensor_of(*layer, "expert.up.weight", false) == numbers);
  CHECK(text_of([&] { layer->load("expert.sideways", numbers.data(), 96); }) ==
        "xmoe::portable::DeviceLayer::load: no tensor is called 'expert.sideways'");
  CHECK(text_of([&] {
          layer->load("expert.up.weight", numbers.data(), 95);
        }).find("95 numbers for 3 x 4 x 8") != std::string::npos);
  Matrix x = Matrix::Random(5, 8), y(5, 8), short_one(4, 8), narrow(5, 7);
  CHECK(text_of([&] { interop::forward(*layer, x, short_one); }) ==
        "xmoe::interop::forward: y is 4 x 8, must be 5 x 8");
  CHECK(text_of([&] { interop::forward(*layer, narrow, y); }) ==
        "xmoe::interop::forward: x is 5 x 7, must be 5 x 8");
  CHECK(text_of([&] { interop::backward(*layer, x, y); }) ==
        "xmoe::portable::DeviceLayer::backward: nothing is recorded");
  interop::record(*layer, x, y, 0);
  CHECK(text_of([&] { interop::backward(*layer, short_one, short_one); }) ==
        "xmoe::portable::DeviceLayer::backward: dy has 4 rows, must have 5");
  x(2, 3) = std::numeric_limits<float>::infinity();
  layer->initialize(1);
  CHECK(text_of([&] { interop::forward(*layer, x, y); }).find("token 2") != std::string::npos);
}

}  // namespace
}  // namespace tests
