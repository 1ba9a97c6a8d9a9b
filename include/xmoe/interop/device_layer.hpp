// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/view.hpp>

#include <memory>
#include <string>
#include <vector>

/// A layer on a device for .cpp files: they own and run it without seeing CUDA. Its kernels sit in
/// one .cu, which makes it by xmoe::cuda::make_device_layer (<xmoe/backend/cuda/handle.cuh>).
///
///     // layer.cu
///     std::unique_ptr<xmoe::portable::DeviceLayer> make(xmoe::Sizes sizes) {
///       return xmoe::cuda::make_device_layer<MyLayer>(sizes);
///     }
///     // main.cpp
///     std::unique_ptr<xmoe::portable::DeviceLayer> layer = make(...);
///     xmoe::interop::forward(*layer, x, y);   // Eigen or any other matrix in host memory
namespace xmoe::portable {

/// Not in the inline namespace of the version and the instruction set, and made of the language's
/// and the standard library's types alone: objects of nvcc and of any -march mean the same by it.
///
///   numbers   float in host memory, row-major, rounded to the layer's scalar on their way
///   cost      a copy each way, and waiting for it: for hosts that have nothing else on the device.
///             Who has uses forward_device, or the layer itself in the .cu
///   throws    what the layer throws; catch std::exception: the library's error types differ
///   between
///             a .cu and a .cpp. Texts name function, argument and numbers
///   threads   one at a time
class DeviceLayer {
 public:
  struct Shape {
    std::ptrdiff_t model_dim, experts, expert_dim;
  };
  struct Tensor {
    std::string name;  ///< "router.gate.weight", "expert.up.weight", ...
    std::ptrdiff_t size;
    bool trained;
  };
  /// See xmoe::Summary.
  struct Counts {
    std::ptrdiff_t tokens, wanted, kept, dropped, capacity;
  };
  /// Rows of numbers that somebody else owns, `stride` apart.
  template <class T>
  struct Rows {
    T* data;
    std::ptrdiff_t rows, stride;
  };

  virtual ~DeviceLayer() = default;

  virtual Shape shape() const = 0;
  virtual std::vector<Tensor> tensors() const = 0;
  /// The same weights as everywhere for this seed.
  virtual void initialize(std::uint64_t seed) = 0;
  /// Plain numbers [count, rows, cols] of the tensor of that name.
  virtual void load(const std::string& name, const float* numbers, std::ptrdiff_t count) = 0;
  virtual void store(const std::string& name, float* numbers, std::ptrdiff_t count) const = 0;

  /// x, y [T,D]
  virtual Counts forward(Rows<const float> x, Rows<float> y) = 0;
  /// Device memory, numbers of the layer's scalar. Does not wait.
  virtual void forward_device(Rows<const void> x, Rows<void> y) = 0;

  /// Forward that remembers x and the decision; `step` is the stream of this step's random numbers.
  virtual Counts record(Rows<const float> x, Rows<float> y, std::uint64_t step) = 0;
  /// Of the last record: dx [T,D] written, the gradients of the weights added up.
  virtual void backward(Rows<const float> dy, Rows<float> dx) = 0;
  virtual void zero_gradients() = 0;
  virtual void store_gradient(const std::string& name, float* numbers,
                              std::ptrdiff_t count) const = 0;
  /// One step of AdamW by the gradients; moments are kept from step to step.
  virtual void step_adamw(float learning_rate, float decay) = 0;

 protected:
  DeviceLayer() = default;
  DeviceLayer(const DeviceLayer&) = default;
  DeviceLayer& operator=(const DeviceLayer&) = default;
};

}  // namespace xmoe::portable

namespace xmoe::inline XMOE_ABI::interop {

namespace detail {
inline portable::DeviceLayer::Rows<const float> rows_of(const char* function, const char* name,
                                                        const portable::DeviceLayer& layer,
                                                        In<float> m, index rows) {
  if (m.cols() != layer.shape().model_dim || m.rows() != rows) {
    xmoe::detail::fail<shape_error>("%s: %s is %td x %td, must be %td x %td", function, name,
                                    m.rows(), m.cols(), rows, layer.shape().model_dim);
  }
  return {m.data(), m.rows(), m.stride()};
}
inline portable::DeviceLayer::Rows<float> rows_of(const char* function, const char* name,
                                                  const portable::DeviceLayer& layer, Out<float> m,
                                                  index rows) {
  rows_of(function, name, layer, In<float>(m), rows);
  return {m.data(), m.rows(), m.stride()};
}
}  // namespace detail

/// The layer on anything that is a matrix. Throws shape_error.
inline portable::DeviceLayer::Counts forward(portable::DeviceLayer& layer, In<float> x,
                                             Out<float> y) {
  const char* const name = "xmoe::interop::forward";
  return layer.forward(detail::rows_of(name, "x", layer, x, x.rows()),
                       detail::rows_of(name, "y", layer, y, x.rows()));
}
inline portable::DeviceLayer::Counts record(portable::DeviceLayer& layer, In<float> x, Out<float> y,
                                            std::uint64_t step) {
  const char* const name = "xmoe::interop::record";
  return layer.record(detail::rows_of(name, "x", layer, x, x.rows()),
                      detail::rows_of(name, "y", layer, y, x.rows()), step);
}
inline void backward(portable::DeviceLayer& layer, In<float> dy, Out<float> dx) {
  const char* const name = "xmoe::interop::backward";
  layer.backward(detail::rows_of(name, "dy", layer, dy, dy.rows()),
                 detail::rows_of(name, "dx", layer, dx, dy.rows()));
}

}  // namespace xmoe::inline XMOE_ABI::interop
