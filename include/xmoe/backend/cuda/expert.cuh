// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/call.cuh>
#include <xmoe/backend/cuda/combine.cuh>
#include <xmoe/backend/cuda/grouped_ffn.cuh>
#include <xmoe/backend/cuda/tensor.cuh>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/expert/glu.hpp>

namespace xmoe::inline XMOE_ABI::cuda::detail {

/// What tells expert::Ffn and expert::Glu apart: names, rows of the first matrix for one hidden
/// unit, epilogues.
template <class Expert>
struct ExpertKind;

template <class Act>
struct ExpertKind<expert::Ffn<Act>> {
  static constexpr bool pair = false;
  static constexpr const char* first = "up";
  static constexpr RowOrder order = RowOrder::plain;

  template <class S>
  static StoreActivation<Act, S> activation(EpilogueRows<S> out, EpilogueRows<S> before,
                                            const S* bias, int hidden) {
    return {out, before, bias, hidden};
  }
  template <class S, class R>
  static auto gradient(EpilogueRows<const S> before, EpilogueRows<S> dbefore,
                       EpilogueRows<S> activation, RowWeight<R> weight, sum_type<S>* dots,
                       int segments, int) {
    return StoreActivationGradient<Act, S, R, sum_type<S>>{before, dbefore, activation,
                                                           weight, dots,    segments};
  }
};
template <class Act, class Layout>
struct ExpertKind<expert::Glu<Act, Layout>> {
  static constexpr bool pair = true;
  static constexpr const char* first = "gate_up";
  static constexpr RowOrder order = Layout::order;

  template <class S>
  static StoreGlu<Act, S> activation(EpilogueRows<S> out, EpilogueRows<S> before, const S* bias,
                                     int hidden) {
    return {out, before, bias, hidden};
  }
  template <class S, class R>
  static auto gradient(EpilogueRows<const S> before, EpilogueRows<S> dbefore,
                       EpilogueRows<S> activation, RowWeight<R> weight, sum_type<S>* dots,
                       int segments, int hidden) {
    return StoreGluGradient<Act, S, R, sum_type<S>>{before, dbefore,  activation, weight,
                                                    dots,   segments, hidden};
  }
};

/// Rows that the kernels write: begin at multiples of 16 bytes.
template <class S>
struct ScratchRows {
  S* data = nullptr;
  index stride = 0;

  static ScratchRows take(DeviceWorkspace& memory, index rows, index cols) {
    const index stride = (cols + 7) / 8 * 8;
    return {memory.take<S>(rows * stride), stride};
  }
  EpilogueRows<S> written() const { return epilogue_rows(data, stride); }
  EpilogueRows<const S> read() const { return epilogue_rows(static_cast<const S*>(data), stride); }
  DeviceRows<S> rows() const { return {data, stride, nullptr}; }
};

/// Both kinds of experts of two layers on the device.
template <class Expert>
struct TwoLayers {
  static constexpr bool exists = true;
  using Kind = ExpertKind<Expert>;
  static constexpr index joint = Kind::pair ? 2 : 1;

  template <class W>
  struct Weights {
    DeviceTensor<W> up;         ///< [E,H,D], or [E,2H,D]: gates, then ups
    DeviceTensor<W> up_bias;    ///< [E,H,1] or [E,2H,1], or nothing
    DeviceTensor<W> down;       ///< [E,D,H]
    DeviceTensor<W> down_bias;  ///< [E,D,1] or nothing

    void tensors(auto&& visit) {
      const std::string first = Kind::first;
      visit((first + ".weight").c_str(), up);
      visit((first + ".bias").c_str(), up_bias);
      visit("down.weight", down);
      visit("down.bias", down_bias);
    }
  };
  template <class W>
  static Weights<W> make_weights(const Expert& policy, cudaStream_t stream, Sizes sizes) {
    using T = DeviceTensor<W>;
    const index count = sizes.experts, first = joint * sizes.expert_dim;
    return {T(stream, count, first, sizes.model_dim, Kind::order),
            policy.bias ? T(stream, count, first, 1, Kind::order) : T(),
            T(stream, count, sizes.model_dim, sizes.expert_dim),
            policy.bias ? T(stream, count, sizes.model_dim, 1) : T()};
  }

  /// What backward needs: the sums before the activation, [M,H] or [M,2H].
  template <class S>
  using Cache = ScratchRows<S>;

  template <class Math, class S, class R>
  static void forward(Call& call, const Weights<S>& own, const DevicePlan& plan,
                      const DeviceMatrix<const S>& x, const DeviceRouting<R>& routing,
                      Cache<S>* cache, const DeviceMatrix<S>& y) {
    const index hidden = own.down.cols();
    const bool fused = takes_fused<Math, S>(hidden);
    ScratchRows<S> before;
    if (cache != nullptr) {
      before = *cache = ScratchRows<S>::take(call.keep, plan.most_rows, joint * hidden);
    }
    const DeviceWorkspace::Scope scope(call.workspace);
    const auto outputs = ScratchRows<S>::take(call.workspace, plan.most_rows, own.down.rows());
    const auto between =
        fused ? ScratchRows<S>() : ScratchRows<S>::take(call.workspace, plan.most_rows, hidden);
    if (call.measuring()) {
      return;
    }
    const DeviceGroups groups = groups_of(plan);
    const DeviceRows<S> in{x.data(), x.stride(), plan.token};
    const auto activation = Kind::template activation<S>(between.written(), before.written(),
                                                         bias(own.up_bias), narrow(hidden));
    const StoreWeighted<S, R> output{outputs.written(), bias(own.down_bias), own.down.rows(), {}};
    if (fused) {
      grouped_ffn<Math, S>(call.stream, groups, in, matrices(own.up), matrices(own.down),
                           activation, output);
    } else {
      grouped_forward<Math, S>(call.stream, groups, in, matrices(own.up), activation);
      grouped_forward<Math, S>(call.stream, groups, between.rows(), matrices(own.down), output);
    }
    combine<R, S, S>(
        call.stream, routing, plan, false,
        DeviceMatrix<const S>(outputs.data, plan.most_rows, own.down.rows(), outputs.stride), y);
  }

  /// Gradients of the weights, of a row's weight, of x: all written to their places but dx, which
  /// the router adds to afterwards.
  ///
  ///   accumulate   adds to the gradients; else writes, zeros for experts without rows
  ///   dweight      [T,width], 0 where no row is
  template <class Math, class S, class R>
  static void backward(Call& call, const Weights<S>& own, const DevicePlan& plan,
                       const DeviceMatrix<const S>& x, const DeviceRouting<R>& routing,
                       const Cache<S>& cache, const DeviceMatrix<const S>& dy,
                       Weights<sum_type<S>>& gradients, bool accumulate, R* dweight,
                       const DeviceMatrix<S>& dx) {
    using Sum = sum_type<S>;
    const index hidden = own.down.cols(), dim = own.down.rows();
    const int segments = ceil_div(narrow(hidden), segment);
    const DeviceWorkspace::Scope scope(call.workspace);
    const auto dbefore = ScratchRows<S>::take(call.workspace, plan.most_rows, joint * hidden);
    const auto activation = ScratchRows<S>::take(call.workspace, plan.most_rows, hidden);
    const auto drows = ScratchRows<S>::take(call.workspace, plan.most_rows, dim);
    Sum* const dots = call.workspace.take<Sum>(static_cast<index>(plan.most_rows) * segments);
    if (call.measuring()) {
      return;
    }
    const cudaStream_t stream = call.stream;
    const DeviceGroups groups = groups_of(plan);
    const DeviceRows<S> in{x.data(), x.stride(), plan.token};
    const DeviceRows<S> out{dy.data(), dy.stride(), plan.token};
    const RowWeight<R> weight{routing.weight, plan.slot};

    grouped_input_gradient<Math, S>(
        stream, groups, out, matrices(own.down),
        Kind::template gradient<S, R>(cache.read(), dbefore.written(), activation.written(), weight,
                                      dots, segments, narrow(hidden)));
    grouped_row_dots<Sum, S>(stream, groups, dots, segments, out, bias(own.down_bias), narrow(dim),
                             dweight, plan.slot);
    grouped_weight_gradient<Math, S>(stream, groups, out, activation.rows(), sums(gradients.down),
                                     accumulate);
    grouped_weight_gradient<Math, S>(stream, groups, dbefore.rows(), in, sums(gradients.up),
                                     accumulate);
    if (own.down_bias.count() > 0) {
      grouped_column_sums<Sum, S>(stream, groups, out, weight, narrow(dim),
                                  gradients.down_bias.data(), accumulate);
      grouped_column_sums<Sum, S>(stream, groups, dbefore.rows(), RowWeight<R>{},
                                  narrow(joint * hidden), gradients.up_bias.data(), accumulate);
    }
    grouped_input_gradient<Math, S>(stream, groups, dbefore.rows(), matrices(own.up),
                                    Store<S>{drows.written()});
    sum_by_token<R, S, S>(stream, routing, plan,
                          DeviceMatrix<const S>(drows.data, plan.most_rows, dim, drows.stride), dx);
  }

 private:
  /// The two-layer kernel pays while it reads the rows once. To be tuned on a device; the numbers
  /// do not depend on it.
  template <class Math, class S>
  static bool takes_fused(index hidden) {
    using Up = typename FfnEngines<Math, S, true, Kind::pair>::up;
    return hidden <= Up::columns && grouped_ffn_fits<Math, S, Kind::pair>(narrow(hidden));
  }
  static int narrow(index n) { return static_cast<int>(n); }
  static DeviceGroups groups_of(const DevicePlan& plan) {
    return {plan.offsets, plan.experts, plan.most_rows};
  }
  template <class S>
  static const S* bias(const DeviceTensor<S>& b) {
    return b.count() > 0 ? b.data() : nullptr;
  }
  template <class S>
  static DeviceMatrices<const S> matrices(const DeviceTensor<S>& t) {
    return {t.data(), narrow(t.count()), narrow(t.rows()), narrow(t.cols()), narrow(t.ld())};
  }
  template <class S>
  static DeviceMatrices<S> sums(DeviceTensor<S>& t) {
    return {t.data(), narrow(t.count()), narrow(t.rows()), narrow(t.cols()), narrow(t.ld())};
  }
};

template <class Act>
struct DeviceCode<expert::Ffn<Act>> : TwoLayers<expert::Ffn<Act>> {};
template <class Act, class Layout>
struct DeviceCode<expert::Glu<Act, Layout>> : TwoLayers<expert::Glu<Act, Layout>> {};

}  // namespace xmoe::inline XMOE_ABI::cuda::detail
