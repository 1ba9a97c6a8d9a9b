// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kinds.hpp"

// A layer on the device with a case's tokens beside it.
namespace gpu_check {

template <class T>
xmoe::cuda::DeviceBuffer<T> on_device(const std::vector<T>& numbers) {
  xmoe::cuda::DeviceBuffer<T> buffer(static_cast<index>(numbers.size()), xmoe::uninitialized);
  buffer.upload(nullptr, numbers);
  return buffer;
}
template <class T>
std::vector<T> on_host(const xmoe::cuda::DeviceBuffer<T>& buffer) {
  std::vector<T> numbers(static_cast<std::size_t>(buffer.size()));
  buffer.download(nullptr, numbers);
  return numbers;
}

struct Named {
  std::string name;
  Vector values;
};

/// What a pass leaves behind, bits and all.
template <class S>
struct Pass {
  std::vector<S> y, dx;
  std::vector<Named> gradients;

  std::vector<Named> all() const {
    std::vector<Named> list = {{"y", widened(y)}, {"x", widened(dx)}};
    list.insert(list.end(), gradients.begin(), gradients.end());
    return list;
  }
};
template <class S>
void same_bits(Findings& f, const Pass<S>& got, const Pass<S>& want) {
  f.same_bits("y", got.y, want.y);
  f.same_bits("dx", got.dx, want.dx);
  for (std::size_t i = 0; i < want.gradients.size(); ++i) {
    f.same_bits(want.gradients[i].name, got.gradients[i].values, want.gradients[i].values);
  }
}

/// Numbers of every trained tensor.
inline std::vector<Named> numbers_of(const xmoe::cuda::DeviceParameters& list) {
  std::vector<Named> result;
  for (const xmoe::cuda::DeviceParameter& p : list) {
    if (p.role == xmoe::Role::trained) {
      Vector plain(static_cast<std::size_t>(p.size()));
      p.store(nullptr, std::span<double>(plain));
      result.push_back({p.name, plain});
    }
  }
  return result;
}

template <class Kind, class S>
class HeldLayer {
 public:
  using L = typename Kind::template Layer<S>;
  using Matrix = typename L::Matrix;
  using ConstMatrix = typename L::ConstMatrix;
  using Buffer = xmoe::cuda::DeviceBuffer<S>;

  explicit HeldLayer(const Case& c, xmoe::cuda::Backend backend = xmoe::cuda::Backend())
      : rows(c.x.rows),
        cols(c.x.cols),
        layer({c.x.cols, c.setup.experts_count(), c.setup.experts.down.cols},
              Kind::template config<S>(c.setup), backend),
        x(on_device(rounded<S>(c.x.values))),
        dy(on_device(rounded<S>(c.dy.values))) {
    for (const xmoe::cuda::DeviceParameter& p : layer.parameters()) {
      p.load(backend.stream(), std::span<const double>(numbers_named(c.setup, p.name)));
    }
  }

  /// Tokens first .. first + count - 1.
  ConstMatrix tokens(index first, index count) const {
    return {x.data() + first * cols, count, cols};
  }
  ConstMatrix tokens() const { return tokens(0, rows); }
  ConstMatrix output_gradient() const { return {dy.data(), rows, cols}; }
  static Matrix matrix(Buffer& numbers, index r, index c) { return {numbers.data(), r, c}; }
  /// Room for a result: NaN, so that what is not written is seen.
  Buffer nans(index count) const {
    Buffer buffer(count * cols, xmoe::uninitialized);
    buffer.fill(nullptr, 0xff);
    return buffer;
  }

  std::vector<S> forward(index first, index count) const {
    Buffer y = nans(count);
    layer.forward(tokens(first, count), matrix(y, count, cols));
    return on_host(y);
  }
  /// Forward and backward; losses are added in between, their value is returned by `loss`.
  template <class... Losses>
  Pass<S> pass(double* loss = nullptr, const Losses&... losses) const {
    Buffer y = nans(rows), dx = nans(rows);
    typename L::Tape tape;
    layer.record(tokens(), matrix(y, rows, cols), tape);
    (layer.add_loss(tape, losses), ...);
    auto gradients = layer.make_gradients();
    layer.backward(tape, output_gradient(), matrix(dx, rows, cols), gradients);
    if (loss != nullptr) {
      *loss = layer.losses(tape);
    }
    return {on_host(y), on_host(dx), numbers_of(gradients.parameters())};
  }

  index rows, cols;
  L layer;
  Buffer x, dy;
};

}  // namespace gpu_check
