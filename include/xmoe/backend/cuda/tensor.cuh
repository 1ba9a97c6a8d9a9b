// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/buffer.cuh>
#include <xmoe/core/parameters.hpp>

namespace xmoe::inline XMOE_ABI::cuda {

/// Weights on the device: a stack of `count` matrices [rows, cols], rows = outputs, row-major. Rows
/// are a multiple of 8 numbers apart, what is between them is zero and stays so; a vector [rows] is
/// a matrix of one column, without gaps. Pairs of gates and ups lie as gates 0 .. H-1, then ups,
/// whatever the outside order is. The device's counterpart of Panels, with the same load and store.
template <class W>
class DeviceTensor {
 public:
  using scalar = W;

  DeviceTensor() = default;
  /// Zeros.
  DeviceTensor(cudaStream_t stream, index count, index rows, index cols,
               RowOrder order = RowOrder::plain)
      : count_(count), rows_(rows), cols_(cols), order_(order) {
    if (count < 0 || rows < 0 || cols < 0) {
      xmoe::detail::fail<shape_error>("xmoe::cuda::DeviceTensor: shape %td x %td x %td", count,
                                      rows, cols);
    }
    values_ = DeviceBuffer<W>(count * rows * ld(), uninitialized);
    values_.zero(stream);
  }

  index count() const { return count_; }
  index rows() const { return rows_; }
  index cols() const { return cols_; }
  RowOrder order() const { return order_; }
  /// Numbers without padding.
  index size() const { return count_ * rows_ * cols_; }
  /// Numbers between the starts of two rows.
  index ld() const { return cols_ == 1 ? 1 : (cols_ + 7) / 8 * 8; }
  /// Everything that is stored, padding included.
  index stored() const { return values_.size(); }
  W* data() { return values_.data(); }
  const W* data() const { return values_.data(); }

  void zero(cudaStream_t stream) { values_.zero(stream); }

  /// Reads the stack from plain numbers [count, rows, cols] in host memory, rounded to W. Waits for
  /// the stream. Throws shape_error if there are not exactly size() of them.
  template <class From>
  void load(cudaStream_t stream, std::span<const From> numbers) {
    check_size("load", static_cast<index>(numbers.size()));
    std::vector<W> stored(static_cast<std::size_t>(values_.size()), W());
    visit([&](std::size_t at, std::size_t i) { stored[at] = convert<W>(numbers[i]); });
    values_.upload(stream, stored);
  }
  /// The inverse of `load`.
  template <class To>
  void store(cudaStream_t stream, std::span<To> numbers) const {
    check_size("store", static_cast<index>(numbers.size()));
    std::vector<W> stored(static_cast<std::size_t>(values_.size()));
    values_.download(stream, stored);
    visit([&](std::size_t at, std::size_t i) { numbers[i] = convert<To>(stored[at]); });
  }

 private:
  template <class To, class From>
  static To convert(From value) {
    if constexpr (std::same_as<To, From>) {
      return value;
    } else if constexpr (NarrowWeight<From>) {
      return static_cast<To>(static_cast<float>(value));
    } else if constexpr (NarrowWeight<To>) {
      return To(static_cast<float>(value));
    } else {
      return static_cast<To>(value);
    }
  }
  void check_size(const char* function, index numbers) const {
    if (numbers != size()) {
      xmoe::detail::fail<shape_error>(
          "xmoe::cuda::DeviceTensor::%s: %td numbers for %td x %td x %td", function, numbers,
          count_, rows_, cols_);
    }
  }
  index stored_row(index row) const {
    return order_ == RowOrder::gate_up_interleaved ? row % 2 * (rows_ / 2) + row / 2 : row;
  }
  /// f(place in memory, place in plain numbers) for every number.
  template <class F>
  void visit(const F& f) const {
    for (index i = 0; i < count_; ++i) {
      for (index row = 0; row < rows_; ++row) {
        for (index col = 0; col < cols_; ++col) {
          f(static_cast<std::size_t>((i * rows_ + stored_row(row)) * ld() + col),
            static_cast<std::size_t>((i * rows_ + row) * cols_ + col));
        }
      }
    }
  }

  index count_ = 0, rows_ = 0, cols_ = 0;
  RowOrder order_ = RowOrder::plain;
  DeviceBuffer<W> values_;
};

/// One named tensor of a layer on the device: a reference into it, its gradients or its moments.
struct DeviceParameter {
  std::string name;  ///< as on the CPU: "router.gate.weight", "expert.up.weight", ...
  Role role = Role::trained;
  std::variant<DeviceTensor<float>*, DeviceTensor<double>*, DeviceTensor<bfloat16>*,
               DeviceTensor<half>*>
      tensor;

  index size() const {
    return std::visit([](const auto* t) { return t->size(); }, tensor);
  }
  /// Copies from host memory, [count, rows, cols], rounded to the tensor's scalar.
  template <class From>
  void load(cudaStream_t stream, std::span<const From> numbers) const {
    std::visit([&](auto* t) { t->load(stream, numbers); }, tensor);
  }
  /// Copies to host memory.
  template <class To>
  void store(cudaStream_t stream, std::span<To> numbers) const {
    std::visit([&](const auto* t) { t->store(stream, numbers); }, tensor);
  }
};

/// The ordered list of a layer's tensors: names, order and shapes of the CPU's list.
using DeviceParameters = std::vector<DeviceParameter>;

inline index count(const DeviceParameters& parameters) {
  index total = 0;
  for (const DeviceParameter& p : parameters) {
    total += p.size();
  }
  return total;
}

namespace detail {

/// Appends the tensors of a bundle under a prefix.
template <class Weights>
void append(DeviceParameters& list, const std::string& prefix, Weights& weights) {
  weights.tensors([&](const char* name, auto& tensor, Role role = Role::trained) {
    if (tensor.count() > 0) {
      list.push_back({prefix + name, role, &tensor});
    }
  });
}

inline void check_same_lists(const char* function, const DeviceParameters& device,
                             const Parameters& host) {
  bool same = device.size() == host.size();
  for (std::size_t i = 0; same && i < host.size(); ++i) {
    same = device[i].name == host[i].name && device[i].size() == host[i].size();
  }
  if (!same) {
    xmoe::detail::fail<shape_error>(
        "%s: %zu tensors of %td numbers on the device, %zu of %td on the host; names, order and "
        "shapes must be the same",
        function, device.size(), count(device), host.size(), xmoe::count(host));
  }
}

}  // namespace detail

/// Copies every tensor of a list on the CPU, rounded to the device's scalars. Waits for the stream.
///
///   throws  shape_error unless names, order and sizes are the same; cuda_error
inline void upload(cudaStream_t stream, const Parameters& from, const DeviceParameters& to) {
  detail::check_same_lists("xmoe::cuda::upload", to, from);
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::visit(
        [&](const auto* t) {
          using S = std::remove_cvref_t<decltype(t->at(0, 0))>;
          std::vector<S> numbers(static_cast<std::size_t>(t->size()));
          t->store(std::span<S>(numbers));
          to[i].load(stream, std::span<const S>(numbers));
        },
        from[i].tensor);
  }
}
/// The way back.
inline void download(cudaStream_t stream, const DeviceParameters& from, const Parameters& to) {
  detail::check_same_lists("xmoe::cuda::download", from, to);
  for (std::size_t i = 0; i < to.size(); ++i) {
    std::visit(
        [&](auto* t) {
          using S = std::remove_cvref_t<decltype(t->at(0, 0))>;
          std::vector<S> numbers(static_cast<std::size_t>(t->size()));
          from[i].store(stream, std::span<S>(numbers));
          t->load(std::span<const S>(numbers));
        },
        to[i].tensor);
  }
}

}  // namespace xmoe::inline XMOE_ABI::cuda
