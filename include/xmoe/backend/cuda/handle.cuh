// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/moe_layer.cuh>
#include <xmoe/backend/cuda/train.cuh>
#include <xmoe/interop/device_layer.hpp>

namespace xmoe::inline XMOE_ABI::cuda {

namespace detail {

/// A layer behind portable::DeviceLayer.
template <class Layer>
class HeldLayer final : public portable::DeviceLayer {
  using S = typename Layer::scalar;
  using Sum = sum_type<S>;
  using Adam = DeviceOptimizer<optimizer::AdamW>;

 public:
  HeldLayer(Sizes sizes, typename Layer::Config config, Backend backend)
      : layer_(sizes, std::move(config), std::move(backend)), gradients_(layer_.make_gradients()) {}

  Shape shape() const override {
    return {layer_.sizes().model_dim, layer_.sizes().experts, layer_.sizes().expert_dim};
  }
  std::vector<Tensor> tensors() const override {
    std::vector<Tensor> list;
    for (const DeviceParameter& p : layer_.parameters()) {
      list.push_back({p.name, p.size(), p.role == Role::trained});
    }
    return list;
  }
  void initialize(std::uint64_t seed) override { layer_.initialize({seed}); }
  void load(const std::string& name, const float* numbers, std::ptrdiff_t count) override {
    find("load", layer_.parameters(), name)
        .load(stream(), std::span<const float>(numbers, static_cast<std::size_t>(count)));
  }
  void store(const std::string& name, float* numbers, std::ptrdiff_t count) const override {
    find("store", layer_.parameters(), name)
        .store(stream(), std::span<float>(numbers, static_cast<std::size_t>(count)));
  }

  Counts forward(Rows<const float> x, Rows<float> y) override {
    check_rows("forward", "y", y.rows, x.rows);
    upload(x, x_);
    fit(y_, x.rows);
    layer_.forward(typename Layer::ConstMatrix(matrix(x_, x.rows)), matrix(y_, x.rows));
    return download(Mode::infer, y);
  }
  void forward_device(Rows<const void> x, Rows<void> y) override {
    const index dim = layer_.sizes().model_dim;
    layer_.forward(
        typename Layer::ConstMatrix(static_cast<const S*>(x.data), x.rows, dim, x.stride),
        typename Layer::Matrix(static_cast<S*>(y.data), y.rows, dim, y.stride));
  }

  Counts record(Rows<const float> x, Rows<float> y, std::uint64_t step) override {
    check_rows("record", "y", y.rows, x.rows);
    upload(x, recorded_x_);
    fit(y_, x.rows);
    layer_.record(typename Layer::ConstMatrix(matrix(recorded_x_, x.rows)), matrix(y_, x.rows),
                  tape_, Random{step, 1});
    recorded_ = x.rows;
    return download(Mode::train, y);
  }
  void backward(Rows<const float> dy, Rows<float> dx) override {
    if (recorded_ < 0) {
      xmoe::detail::fail<value_error>("xmoe::portable::DeviceLayer::backward: nothing is recorded");
    }
    check_rows("backward", "dy", dy.rows, recorded_);
    check_rows("backward", "dx", dx.rows, recorded_);
    upload(dy, dy_);
    fit(dx_, dy.rows);
    layer_.backward(tape_, matrix(dy_, dy.rows), matrix(dx_, dy.rows), gradients_);
    download(dx_, dx);
  }
  void zero_gradients() override { gradients_.zero(); }
  void store_gradient(const std::string& name, float* numbers,
                      std::ptrdiff_t count) const override {
    find("store_gradient", gradients_.parameters(), name)
        .store(stream(), std::span<float>(numbers, static_cast<std::size_t>(count)));
  }
  void step_adamw(float learning_rate, float decay) override {
    if (adam_ == nullptr) {
      adam_ = std::make_unique<Adam>(stream(), layer_.parameters(), Adam::Options{});
    }
    adam_->options().learning_rate = learning_rate;
    adam_->options().decay = decay;
    adam_->step(layer_.parameters(), gradients_.parameters());
  }

 private:
  cudaStream_t stream() const { return layer_.backend().stream(); }
  typename Layer::Matrix matrix(DeviceBuffer<S>& buffer, index rows) const {
    return {buffer.data(), rows, layer_.sizes().model_dim};
  }
  static DeviceParameter find(const char* function, const DeviceParameters& list,
                              const std::string& name) {
    for (const DeviceParameter& p : list) {
      if (p.name == name) {
        return p;
      }
    }
    xmoe::detail::fail<value_error>("xmoe::portable::DeviceLayer::%s: no tensor is called '%s'",
                                    function, name.c_str());
  }
  static void check_rows(const char* function, const char* name, index rows, index wanted) {
    if (rows != wanted) {
      xmoe::detail::fail<shape_error>(
          "xmoe::portable::DeviceLayer::%s: %s has %td rows, must have "
          "%td",
          function, name, rows, wanted);
    }
  }
  /// Exactly [rows, D], so that a copy is of the whole buffer.
  void fit(DeviceBuffer<S>& buffer, index rows) const {
    const index count = rows * layer_.sizes().model_dim;
    if (buffer.size() != count) {
      buffer = DeviceBuffer<S>(count, uninitialized);
    }
  }
  void upload(Rows<const float> from, DeviceBuffer<S>& to) {
    const index dim = layer_.sizes().model_dim;
    fit(to, from.rows);
    staging_.resize(static_cast<std::size_t>(from.rows * dim));
    for (index t = 0; t < from.rows; ++t) {
      for (index d = 0; d < dim; ++d) {
        staging_[static_cast<std::size_t>(t * dim + d)] =
            S(static_cast<Sum>(from.data[t * from.stride + d]));
      }
    }
    to.upload(stream(), staging_);
  }
  void download(const DeviceBuffer<S>& from, Rows<float> to) {
    const index dim = layer_.sizes().model_dim;
    staging_.resize(static_cast<std::size_t>(to.rows * dim));
    from.download(stream(), staging_);
    for (index t = 0; t < to.rows; ++t) {
      for (index d = 0; d < dim; ++d) {
        to.data[t * to.stride + d] =
            static_cast<float>(staging_[static_cast<std::size_t>(t * dim + d)]);
      }
    }
  }
  Counts download(Mode mode, Rows<float> to) {
    const Summary s = layer_.summary(mode);
    download(y_, to);
    return {s.tokens, s.wanted, s.kept, s.dropped, s.capacity};
  }

  mutable Layer layer_;  // lists of tensors are references that may be written through
  mutable typename Layer::Gradients gradients_;
  typename Layer::Tape tape_;
  index recorded_ = -1;
  std::unique_ptr<Adam> adam_;
  DeviceBuffer<S> x_, y_, dy_, dx_;
  DeviceBuffer<S> recorded_x_;  ///< the tape looks at it until backward
  std::vector<S> staging_;
};

}  // namespace detail

/// A layer of Cuda traits for .cpp files; see portable::DeviceLayer. For the user's .cu: the
/// kernels are compiled where this is called. Throws as the layer's constructor.
template <class Layer>
std::unique_ptr<portable::DeviceLayer> make_device_layer(Sizes sizes,
                                                         typename Layer::Config config = {},
                                                         Backend backend = Backend()) {
  return std::make_unique<detail::HeldLayer<Layer>>(sizes, std::move(config), std::move(backend));
}

}  // namespace xmoe::inline XMOE_ABI::cuda
