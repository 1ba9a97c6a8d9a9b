// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/xmoe.hpp>

#include "compare.hpp"
#include "random_case.hpp"

// Between the reference's setups and the library's layers.
namespace tests {

template <class Layer>
using scalar_of = typename Layer::scalar;

/// Numbers of a layer in a matrix with rows as far apart as one likes.
template <class S>
class Numbers {
 public:
  Numbers(index rows, index cols, index stride = 0, index shift = 0)
      : rows_(rows),
        cols_(cols),
        stride_(stride < cols ? cols : stride),
        shift_(shift),
        values_(static_cast<std::size_t>(rows * stride_ + shift + 1), S(0)) {}
  explicit Numbers(const reference::Matrix& m, index stride = 0, index shift = 0)
      : Numbers(m.rows, m.cols, stride, shift) {
    for (index i = 0; i < rows_; ++i) {
      for (index j = 0; j < cols_; ++j) {
        view()(i, j) = static_cast<S>(m(i, j));
      }
    }
  }
  xmoe::MatrixView<S> view() { return {values_.data() + shift_, rows_, cols_, stride_}; }
  xmoe::MatrixView<const S> view() const {
    return {values_.data() + shift_, rows_, cols_, stride_};
  }
  std::vector<S>& all() { return values_; }
  void fill(S value) { std::fill(values_.begin(), values_.end(), value); }
  bool operator==(const Numbers& other) const {  // bit for bit, gaps between rows left out
    for (index i = 0; i < rows_; ++i) {
      for (index j = 0; j < cols_; ++j) {
        if (std::memcmp(&view()(i, j), &other.view()(i, j), sizeof(S)) != 0) {
          return false;
        }
      }
    }
    return rows_ == other.rows_ && cols_ == other.cols_;
  }

 private:
  index rows_, cols_, stride_, shift_;
  std::vector<S> values_;
};

template <class S>
std::vector<S> narrowed(const reference::Vector& values) {
  std::vector<S> result;
  for (double v : values) {
    result.push_back(static_cast<S>(v));
  }
  return result;
}

/// The config of a layer that does what a setup says, as far as the policies have such numbers.
template <class Layer>
typename Layer::Config config_of(const reference::Setup& s) {
  typename Layer::Config c{};
  if constexpr (requires { c.router.gate.bias; }) {
    c.router.gate.bias = !s.router.bias.empty();
  }
  const auto set_select = [&](auto& select) {
    if constexpr (requires { select.threshold; }) {
      select.threshold = static_cast<float>(s.router.threshold);
    }
    if constexpr (requires { select.max_experts; }) {
      select.max_experts = s.router.max_experts;
    }
    if constexpr (requires { select.k; }) {
      select.k = s.router.k;
    }
  };
  if constexpr (requires { c.router.select.inner; }) {
    set_select(c.router.select.inner);
  } else {
    set_select(c.router.select);
  }
  if constexpr (requires { c.router.weigh.scale; }) {
    c.router.weigh.scale = static_cast<float>(s.router.scale);
  }
  if constexpr (requires { c.expert.bias; }) {
    c.expert.bias = s.experts.biases;
  }
  const auto set_dispatch = [&](auto& dispatch) {
    if constexpr (requires { dispatch.factor; }) {
      dispatch.limit =
          s.capacity.limited ? xmoe::dispatch::Limit::factor : xmoe::dispatch::Limit::none;
      dispatch.factor = s.capacity.factor;
      dispatch.minimum = s.capacity.minimum;
    }
  };
  if constexpr (requires { c.dispatch.inner; }) {
    set_dispatch(c.dispatch.inner);
  } else {
    set_dispatch(c.dispatch);
  }
  return c;
}

/// Copies the weights of a setup into a layer.
template <class Layer>
void load(Layer& layer, const reference::Setup& s) {
  using S = scalar_of<Layer>;
  for (const xmoe::Parameter& p : layer.parameters()) {
    const reference::Vector* from = nullptr;
    if (p.name == "router.gate.weight") {
      from = &s.router.weight.values;
    } else if (p.name == "router.gate.bias") {
      from = &s.router.bias;
    } else if (p.name == "router.select.bias") {
      from = &s.router.selection_bias;
    } else if (p.name == "expert.up.weight" || p.name == "expert.gate_up.weight") {
      from = &s.experts.up.values;
    } else if (p.name == "expert.up.bias" || p.name == "expert.gate_up.bias") {
      from = &s.experts.up_bias.values;
    } else if (p.name == "expert.down.weight") {
      from = &s.experts.down.values;
    } else if (p.name == "expert.down.bias") {
      from = &s.experts.down_bias.values;
    }
    INFO("parameter " << p.name);
    REQUIRE(from != nullptr);
    p.as<S>().load(narrowed<S>(*from));
  }
}

template <class Layer>
Layer make_layer(const reference::Setup& s, xmoe::cpu::Backend backend = xmoe::cpu::Backend(2)) {
  Layer layer(xmoe::Sizes{.model_dim = s.router.weight.cols,
                          .experts = s.experts_count(),
                          .expert_dim = s.experts.down.cols},
              config_of<Layer>(s), backend);
  load(layer, s);
  return layer;
}

/// The numbers of every trained tensor, without padding, in the order of the list.
template <class S>
std::vector<Tensor> tensors_of(const xmoe::Parameters& list) {
  std::vector<Tensor> result;
  for (const xmoe::Parameter& p : list) {
    if (p.role == xmoe::Role::trained) {
      std::vector<S> plain(static_cast<std::size_t>(p.size()));
      p.as<S>().store(plain);
      result.push_back({p.name, reference::Vector(plain.begin(), plain.end()), 1});
    }
  }
  return result;
}

/// Forward and backward of a layer, as named results. Losses are added before backward.
template <class Layer, class... Losses>
std::vector<Tensor> layer_results(Layer& layer, const Case& c, const Losses&... loss) {
  using S = scalar_of<Layer>;
  const Numbers<S> x(c.x);
  const Numbers<S> dy(c.dy);
  Numbers<S> y(c.x.rows, c.x.cols);
  Numbers<S> dx(c.x.rows, c.x.cols);
  typename Layer::Tape tape;
  layer.record(x.view(), y.view(), tape);
  (layer.add_loss(tape, loss), ...);
  typename Layer::Gradients g = layer.make_gradients();
  layer.backward(tape, dy.view(), dx.view(), g);
  std::vector<Tensor> results = {{"y", numbers(y.view()), 1}, {"x", numbers(dx.view()), 1}};
  for (Tensor& t : tensors_of<S>(g.parameters())) {
    results.push_back(std::move(t));
  }
  return results;
}

/// The library's choice in place of the reference's, where the two differ by no more than rounding.
/// Fails for any other difference.
template <class Layer>
reference::Setup with_choice_of(Layer& layer, const reference::Setup& s,
                                const reference::Matrix& x) {
  using S = scalar_of<Layer>;
  const Numbers<S> tokens(x);
  const auto routing = layer.route(tokens.view());
  const reference::Forward f = reference::route(s, x);
  reference::Setup pinned = tests::frozen(s, f);
  pinned.pinned_kept.reset();
  for (index t = 0; t < x.rows; ++t) {
    std::vector<index> chosen;
    for (index a = routing.offsets()[static_cast<std::size_t>(t)];
         a < routing.offsets()[static_cast<std::size_t>(t + 1)]; ++a) {
      chosen.push_back(routing.expert()[static_cast<std::size_t>(a)]);
    }
    std::vector<index>& ours = (*pinned.pinned)[static_cast<std::size_t>(t)];
    if (chosen != ours) {
      const double near = tolerance<S>(x.cols + s.outputs(), 1.0);
      INFO("token " << t << ": the layer chooses other experts");
      const double mass_gap = [&] {
        double before = 0.0;
        for (std::size_t r = 0; r < std::min(chosen.size(), ours.size()); ++r) {
          before += f.scores(t, ours[r]);
        }
        return std::abs(before - s.router.threshold);
      }();
      CHECK((chosen.size() == ours.size() || mass_gap < near));
      for (std::size_t r = 0; r < std::min(chosen.size(), ours.size()); ++r) {
        CHECK(std::abs(f.scores(t, ours[r]) - f.scores(t, chosen[r])) < near);
      }
      ours = chosen;
    }
  }
  return pinned;
}

/// The whole comparison of one case with one layer type.
template <class Layer>
void check_layer(const Case& c, bool twins = true) {
  Layer layer = make_layer<Layer>(c.setup);
  const reference::Setup setup = with_choice_of(layer, c.setup, c.x);
  check_against_reference<scalar_of<Layer>>(layer_results(layer, c), setup, c.x, &c.dy, twins);
}

}  // namespace tests
