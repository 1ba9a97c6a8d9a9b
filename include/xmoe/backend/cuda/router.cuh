// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/call.cuh>
#include <xmoe/backend/cuda/gate.cuh>
#include <xmoe/backend/cuda/route.cuh>
#include <xmoe/backend/cuda/tensor.cuh>
#include <xmoe/router/gate/linear.hpp>

namespace xmoe::inline XMOE_ABI::cuda::detail {

/// gate::Linear on the device.
template <>
struct DeviceCode<gate::Linear> {
  static constexpr bool exists = true;

  template <class R>
  struct Weights {
    DeviceTensor<R> weight;  ///< [1,E,D]
    DeviceTensor<R> bias;    ///< [1,E,1] or nothing

    void tensors(auto&& visit) {
      visit("weight", weight);
      visit("bias", bias);
    }
  };
  template <class R>
  static Weights<R> make_weights(const gate::Linear& gate, cudaStream_t stream, Sizes sizes) {
    return {DeviceTensor<R>(stream, 1, sizes.experts, sizes.model_dim),
            gate.bias ? DeviceTensor<R>(stream, 1, sizes.experts, 1) : DeviceTensor<R>()};
  }

  template <class S, class R>
  static void forward(Call& call, const gate::Linear& gate, const Weights<R>& own,
                      const DeviceBatch<S>& batch, R* logits) {
    if (!call.measuring()) {
      gate_forward<S, R>(call.stream, batch.x, view<const R>(own), jitter(call, gate), logits);
    }
  }
  template <class S, class R>
  static void backward(Call& call, const gate::Linear& gate, const Weights<R>& own,
                       const DeviceBatch<S>& batch, const R* dlogits, Weights<R>& gradients,
                       bool accumulate, const DeviceMatrix<S>& dx) {
    const DeviceWorkspace::Scope scope(call.workspace);
    auto* const scratch = call.workspace.take<std::byte>(static_cast<index>(
        gate_scratch_bytes<R>(static_cast<int>(batch.x.rows()), static_cast<int>(own.weight.rows()),
                              static_cast<int>(own.weight.cols()))));
    if (call.measuring()) {
      return;
    }
    gate_weight_gradient<S, R>(call.stream, dlogits, batch.x, jitter(call, gate), batch.mask(),
                               view<R>(gradients), accumulate, scratch);
    gate_input_gradient<S, R>(call.stream, dlogits, view<const R>(own), jitter(call, gate),
                              batch.mask(), dx);
  }

 private:
  static GateJitter jitter(const Call& call, const gate::Linear& gate) {
    return GateJitter::of(call.random, call.training() ? gate.jitter : 0.f);
  }
  template <class R>
  static DeviceGate<R> view(auto& own) {
    return {own.weight.data(), own.bias.count() > 0 ? own.bias.data() : nullptr,
            static_cast<int>(own.weight.rows()), static_cast<int>(own.weight.ld())};
  }
};

/// What a selector owns on the device. The general one owns nothing.
template <class Select, class R>
struct DeviceSelect {
  struct Weights {
    void tensors(auto&&) {}
  };
  static Weights make_weights(cudaStream_t, index) { return {}; }
  static NoDeviceWeights view(const Weights&) { return {}; }
};
template <class Inner, class R>
struct DeviceSelect<select::Biased<Inner>, R> {
  struct Weights {
    DeviceTensor<R> bias;  ///< [1,E,1]

    void tensors(auto&& visit) { visit("bias", bias, Role::remembered); }
  };
  static Weights make_weights(cudaStream_t stream, index experts) {
    return {DeviceTensor<R>(stream, 1, experts, 1)};
  }
  static DeviceSelectBias<R> view(const Weights& own) { return {{own.bias.data()}}; }
};

template <class Policy>
concept OwnsNothing = std::same_as<weights_of<Policy, Cpu<float>>, NoWeights>;

template <class Select>
inline constexpr bool select_has_code = RowSelect<Select>&& OwnsNothing<Select> && !requires {
  Select::host_only;
};
template <class Inner>
inline constexpr bool select_has_code<select::Biased<Inner>> = select_has_code<Inner>;

/// A router of four policies on the device. Scores, selectors and weighings run by their own row
/// functions, which are host and device code.
template <class G, class S, class Sel, class W>
struct DeviceCode<Router<G, S, Sel, W>> {
  using Policy = Router<G, S, Sel, W>;
  static constexpr bool exists =
      DeviceCode<G>::exists && select_has_code<Sel> && OwnsNothing<S> && OwnsNothing<W>;

  template <class R>
  struct Weights {
    typename DeviceCode<G>::template Weights<R> gate;
    typename DeviceSelect<Sel, R>::Weights select;

    void tensors(auto&& visit) {
      gate.tensors([&](const std::string& name, auto& tensor, Role role = Role::trained) {
        visit(("gate." + name).c_str(), tensor, role);
      });
      select.tensors([&](const std::string& name, auto& tensor, Role role = Role::trained) {
        visit(("select." + name).c_str(), tensor, role);
      });
    }
  };
  template <class R>
  static Weights<R> make_weights(const Policy& policy, cudaStream_t stream, Sizes sizes) {
    return {DeviceCode<G>::template make_weights<R>(policy.gate, stream, sizes),
            DeviceSelect<Sel, R>::make_weights(stream, sizes.experts)};
  }

  /// Room for a decision about T tokens.
  template <class R>
  static DeviceRouting<R> take(DeviceWorkspace& memory, const Policy& policy, index tokens,
                               index experts) {
    const index width = policy.max_assignments(1, experts);
    DeviceRouting<R> routing;
    routing.tokens = static_cast<int>(tokens);
    routing.experts = static_cast<int>(experts);
    routing.width = static_cast<int>(width);
    routing.count = memory.take<int>(tokens);
    routing.expert = memory.take<int>(tokens * width);
    routing.weight = memory.take<R>(tokens * width);
    routing.score = memory.take<R>(tokens * width);
    routing.logits = memory.take<R>(tokens * experts);
    routing.scores = memory.take<R>(tokens * experts);
    return routing;
  }

  template <class X, class R>
  static DeviceRouting<R> forward(Call& call, const Policy& policy, const Weights<R>& own,
                                  const DeviceBatch<X>& batch, index experts,
                                  FirstNonfinite* nonfinite) {
    DeviceRouting<R> routing = take<R>(call.keep, policy, batch.x.rows(), experts);
    routing.valid_tokens = count_valid(call, batch);
    DeviceCode<G>::forward(call, policy.gate, own.gate, batch, routing.logits);
    if (!call.measuring()) {
      cuda::route(call.stream, policy, DeviceSelect<Sel, R>::view(own.select),
                  RouteArguments<R>{routing, batch.mask(), nonfinite, call.mode, call.random});
    }
    return routing;
  }
  /// `dweight` [T,width], 0 where no row is; dscores, dlogits [T,E] from losses. Adds to dx.
  template <class X, class R>
  static void backward(Call& call, const Policy& policy, const Weights<R>& own,
                       const DeviceBatch<X>& batch, const DeviceRouting<R>& routing,
                       const R* dweight, const R* dscores, const R* dlogits, Weights<R>& gradients,
                       bool accumulate, const DeviceMatrix<X>& dx) {
    const DeviceWorkspace::Scope scope(call.workspace);
    R* const dz = call.workspace.take<R>(static_cast<index>(routing.tokens) * routing.experts);
    if (!call.measuring()) {
      route_backward(call.stream, policy.score, policy.weigh,
                     RouteGradient<R>{routing, batch.mask(), dweight, dscores, dlogits, dz,
                                      call.mode, call.random});
    }
    DeviceCode<G>::backward(call, policy.gate, own.gate, batch, static_cast<const R*>(dz),
                            gradients.gate, accumulate, dx);
  }
};

}  // namespace xmoe::inline XMOE_ABI::cuda::detail
