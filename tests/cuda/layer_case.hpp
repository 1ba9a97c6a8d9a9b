// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "support/layer_case.hpp"

#include <xmoe/cuda.cuh>

#include <functional>
#include <map>

#include "emulation_case.hpp"
#include "grouped_case.hpp"

// Whole layers on the emulated device, from and to host memory.
namespace tests {

template <class S>
xmoe::cuda::DeviceMatrix<S> matrix(const OnDevice<S>& numbers, index rows, index cols,
                                   index stride = 0) {
  return {numbers.data(), rows, cols, stride == 0 ? cols : stride};
}

template <class S>
std::vector<S> rounded(const reference::Vector& values) {
  std::vector<S> result;
  for (const double v : values) {
    result.push_back(static_cast<S>(static_cast<xmoe::sum_type<S>>(v)));
  }
  return result;
}
template <class S>
reference::Vector widened(const std::vector<S>& values) {
  reference::Vector result;
  for (const S v : values) {
    result.push_back(number(v));
  }
  return result;
}

/// The numbers of a setup for a tensor of that name.
inline const reference::Vector& numbers_named(const reference::Setup& s, const std::string& name) {
  static const std::map<std::string,
                        std::function<const reference::Vector&(const reference::Setup&)>>
      table = {{"router.gate.weight", [](const auto& q) -> auto& {return q.router.weight.values;
}
}
, {"router.gate.bias", [](const auto& q) -> auto& {return q.router.bias;
}
}
, {"router.select.bias", [](const auto& q) -> auto& {return q.router.selection_bias;
}
}
, {"expert.up.weight", [](const auto& q) -> auto& {return q.experts.up.values;
}
}
, {"expert.gate_up.weight", [](const auto& q) -> auto& {return q.experts.up.values;
}
}
, {"expert.up.bias", [](const auto& q) -> auto& {return q.experts.up_bias.values;
}
}
, {"expert.gate_up.bias", [](const auto& q) -> auto& {return q.experts.up_bias.values;
}
}
, {"expert.down.weight", [](const auto& q) -> auto& {return q.experts.down.values;
}
}
, {
  "expert.down.bias", [](const auto& q) -> auto& { return q.experts.down_bias.values; }
}
}
;
return table.at(name)(s);
}

/// A layer on the device with host memory on its outside.
template <class L>
class ThroughCopies {
 public:
  using scalar = typename L::scalar;
  using Sum = xmoe::sum_type<scalar>;

  explicit ThroughCopies(const reference::Setup& s)
      : layer({s.router.weight.cols, s.experts_count(), s.experts.down.cols}, config_of<L>(s)) {
    for (const xmoe::cuda::DeviceParameter& p : layer.parameters()) {
      p.load(nullptr, std::span<const double>(numbers_named(s, p.name)));
    }
  }

  xmoe::Routing<typename L::routing_scalar> route(xmoe::In<scalar> x) const {
    const OnDevice<scalar> tokens(std::vector<scalar>(x.data(), x.data() + x.rows() * x.cols()));
    return layer.route(typename L::ConstMatrix(tokens.data(), x.rows(), x.cols()));
  }
  /// Forward and backward, as named results. Losses are added before backward.
  template <class... Losses>
  std::vector<Tensor> results(const Case& c, const Losses&... loss) const {
    const index rows = c.x.rows, cols = c.x.cols;
    const OnDevice<scalar> x(rounded<scalar>(c.x.values)), dy(rounded<scalar>(c.dy.values));
    const OnDevice<scalar> y(nans(rows * cols)), dx(nans(rows * cols));
    std::vector<std::uint8_t> mask;
    for (const bool real : c.setup.valid) {
      mask.push_back(real ? 1 : 0);
    }
    const OnDevice<std::uint8_t> valid(mask);
    const typename L::Batch batch{matrix(x, rows, cols),
                                  {valid.data(), static_cast<index>(mask.size())}};
    typename L::Tape tape;
    layer.record(batch, matrix(y, rows, cols), tape);
    (layer.add_loss(tape, loss), ...);
    auto gradients = layer.make_gradients();
    layer.backward(tape, matrix(dy, rows, cols), matrix(dx, rows, cols), gradients);
    std::vector<Tensor> all = {{"y", widened(y.numbers()), 1}, {"x", widened(dx.numbers()), 1}};
    for (const xmoe::cuda::DeviceParameter& p : gradients.parameters()) {
      if (p.role == xmoe::Role::trained) {
        reference::Vector plain(static_cast<std::size_t>(p.size()));
        p.store(nullptr, std::span<double>(plain));
        all.push_back({p.name, plain, 1});
      }
    }
    return all;
  }
  static std::vector<scalar> nans(index count) {
    return std::vector<scalar>(static_cast<std::size_t>(count),
                               scalar(std::numeric_limits<Sum>::quiet_NaN()));
  }

  L layer;
};

/// The whole comparison of one case with one layer type, float or double, with its mutation twins.
template <class L>
void check_device_layer(const Case& c, bool twins = true) {
  ThroughCopies<L> layer(c.setup);
  const reference::Setup setup = with_choice_of(layer, c.setup, c.x);
  check_against_reference<scalar_of<L>>(layer.results(c), setup, c.x, &c.dy, twins);
}

}  // namespace tests
