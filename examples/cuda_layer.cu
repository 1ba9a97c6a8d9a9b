// SPDX-License-Identifier: Apache-2.0
// One layer on a CUDA device, from the first weights to a few steps of training: x, y and all that
// lies between stay in device memory; the host only launches. Without a device it says so.
//
//   nvcc -std=c++20 -O3 -arch=native -I include -I /usr/include/eigen3 examples/cuda_layer.cu
#include <xmoe/cuda.cuh>

#include <cstdio>

using namespace xmoe;

// The layer of the README on other traits: experts' weights and activations in bfloat16 on tensor
// cores, router and sums in float.
using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>,
                       expert::Ffn<activation::Gelu>, dispatch::Capacity, Cuda<bfloat16>>;

namespace {

/// Numbers for the device: tokens, and what they are to become.
cuda::DeviceBuffer<bfloat16> random_rows(const cuda::Stream& stream, xmoe::index count,
                                         Random random) {
  std::vector<bfloat16> numbers;
  for (xmoe::index i = 0; i < count; ++i) {
    numbers.push_back(bfloat16(2.f * random.uniform(static_cast<std::uint64_t>(i)) - 1.f));
  }
  cuda::DeviceBuffer<bfloat16> rows(count, uninitialized);
  rows.upload(stream.get(), numbers);
  return rows;
}

/// dy = y - target, and the sum of its squares: this host has a loss of its own.
double compare(const cuda::Stream& stream, const cuda::DeviceBuffer<bfloat16>& y,
               const cuda::DeviceBuffer<bfloat16>& target, cuda::DeviceBuffer<bfloat16>& dy) {
  const auto n = static_cast<std::size_t>(y.size());
  std::vector<bfloat16> a(n), b(n);
  y.download(stream.get(), a);
  target.download(stream.get(), b);
  double sum = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    const float difference = static_cast<float>(a[i]) - static_cast<float>(b[i]);
    sum += static_cast<double>(difference) * static_cast<double>(difference);
    a[i] = bfloat16(difference);
  }
  dy.upload(stream.get(), a);
  return sum / static_cast<double>(n);
}

void run() {
  constexpr xmoe::index tokens = 512, dim = 256;
  const cuda::Stream stream;
  Layer layer({.model_dim = dim, .experts = 32, .expert_dim = 128},
              {.router = {.select = {.threshold = 0.5f}}, .dispatch = {.factor = 4.0}},
              cuda::Backend(stream));
  layer.initialize({.seed = 1});

  auto x = random_rows(stream, tokens * dim, {2, 1});
  auto target = random_rows(stream, tokens * dim, {2, 2});
  cuda::DeviceBuffer<bfloat16> y(tokens * dim, uninitialized), dy(tokens * dim, uninitialized),
      dx(tokens * dim, uninitialized);
  const auto rows = [](cuda::DeviceBuffer<bfloat16>& b) {
    return Layer::Matrix(b.data(), tokens, dim);
  };

  Layer::Tape tape;
  Layer::Gradients gradients = layer.make_gradients();
  cuda::DeviceOptimizer<optimizer::AdamW> adam(stream.get(), layer.parameters(),
                                               {.learning_rate = 1e-3f, .decay = 0.f});
  for (xmoe::index step = 0; step < 20; ++step) {
    layer.record(rows(x), rows(y), tape, {3, static_cast<std::uint64_t>(step)});
    layer.add_loss(tape, loss::LoadBalance<>{.coefficient = 0.01f});
    const double loss = compare(stream, y, target, dy);
    gradients.restart();
    layer.backward(tape, rows(dy), rows(dx), gradients);
    adam.step(layer.parameters(), gradients.parameters());
    if (step % 5 == 0 || step == 19) {
      const Summary s = layer.summary(Mode::train);
      std::printf("step %2td: squared error %.4f, %.2f experts a token, %td of %td dropped\n", step,
                  loss, s.experts_per_token(), s.dropped, s.wanted);
    }
  }
}

}  // namespace

int main() {
  if (!cuda::available()) {
    std::puts(
        "no device: this program needs a GPU and its driver; it is compiled and linked, that "
        "is all");
    return 0;
  }
  try {
    run();
  } catch (const xmoe::error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
