// SPDX-License-Identifier: Apache-2.0
// Every kernel of the grouped products, for every scalar, arithmetic, tile and epilogue that the
// library launches: what the gates on registers, local memory and instructions look at. Compiled,
// never run.
//
// Compiled in pieces (check.sh). The kernels for operands that are not aligned differ from the
// others in how they load, neither in their sums nor in their epilogues: bfloat16's are made for
// every target, those of the other kinds for sm_80 only. The longest pieces first.
// piece half          MATH=TensorCore SCALAR=xmoe::half ALIGNED=true
// piece bfloat16      MATH=TensorCore SCALAR=xmoe::bfloat16
// piece tf32          MATH=TensorCore SCALAR=float ALIGNED=true
// piece float         MATH=Simt SCALAR=float ALIGNED=true
// piece double        MATH=Simt SCALAR=double ALIGNED=true
// piece half_odd      MATH=TensorCore SCALAR=xmoe::half ALIGNED=false sm_80
// piece tf32_odd      MATH=TensorCore SCALAR=float ALIGNED=false sm_80
// piece float_odd     MATH=Simt SCALAR=float ALIGNED=false sm_80
// piece double_odd    MATH=Simt SCALAR=double ALIGNED=false sm_80
#include <xmoe/backend/cuda/grouped_ffn.cuh>
#include <xmoe/expert/activation.hpp>

namespace gates {

using namespace xmoe::cuda;
using xmoe::activation::Gelu;
using xmoe::activation::Silu;
constexpr Along depth = Along::depth;
constexpr Along outer = Along::outer;

/// Takes the addresses of all kernels of one kind, which instantiates them.
template <class Math, class S>
struct All {
  using Sum = xmoe::sum_type<S>;
  using Large = typename Tiles<Math, S>::large;
  using Small = typename Tiles<Math, S>::small;

  template <class Tile, bool Aligned>
  static void rows(void (**to)()) {
    using Forward = Engine<Math, S, Tile, depth, depth, Aligned>;
    using Paired = Engine<Math, S, Tile, depth, depth, Aligned, true>;
    using Backward = Engine<Math, S, Tile, depth, outer, Aligned>;
    put(to, grouped_rows_kernel<Forward, Store<S>>);
    put(to, grouped_rows_kernel<Forward, StoreActivation<Gelu, S>>);
    put(to, grouped_rows_kernel<Forward, StoreWeighted<S, float>>);
    put(to, grouped_rows_kernel<Paired, StoreGlu<Silu, S>>);
    put(to, grouped_rows_kernel<Backward, Store<S>>);
    put(to, grouped_rows_kernel<Backward, StoreActivationGradient<Gelu, S, float, Sum>>);
    put(to, grouped_rows_kernel<Backward, StoreGluGradient<Silu, S, float, Sum>>);
  }
  template <class Tile, bool Aligned>
  static void weights(void (**to)()) {
    using E = Engine<Math, S, Tile, outer, outer, Aligned>;
    put(to, grouped_weight_gradient_kernel<E, StoreWeightGradient<S>>);
    if constexpr (!std::is_same_v<S, Sum>) {
      put(to, grouped_weight_gradient_kernel<E, StoreWeightGradient<Sum>>);
    }
  }
  template <bool Aligned>
  static void ffn(void (**to)()) {
    using Plain = xmoe::cuda::detail::FfnEngines<Math, S, Aligned, false>;
    using Paired = xmoe::cuda::detail::FfnEngines<Math, S, Aligned, true>;
    using Output = StoreWeighted<S, float>;
    put(to, grouped_ffn_kernel<typename Plain::up, typename Plain::down, StoreActivation<Gelu, S>,
                               Output>);
    put(to,
        grouped_ffn_kernel<typename Paired::up, typename Paired::down, StoreGlu<Silu, S>, Output>);
  }
  template <bool Aligned>
  static void part(void (**to)()) {
    rows<Small, Aligned>(to);
    ffn<Aligned>(to);
    if constexpr (Aligned) {
      rows<Large, true>(to);
      weights<Large, true>(to);
      put(to, grouped_column_sums_kernel<S, S, float, Sum>);
      put(to, grouped_row_dots_kernel<S, Sum>);
    } else {
      weights<Small, false>(to);
    }
  }

 private:
  template <class... P>
  static void put(void (**to)(), void (*kernel)(P...)) {
    *to = reinterpret_cast<void (*)()>(kernel);
  }
};

#if defined(XMOE_GATE_ALIGNED)
void take(void (**to)()) {
  All<XMOE_GATE_MATH, XMOE_GATE_SCALAR>::template part<XMOE_GATE_ALIGNED>(to);
}
#else
void take(void (**to)()) {
  All<XMOE_GATE_MATH, XMOE_GATE_SCALAR>::template part<true>(to);
  All<XMOE_GATE_MATH, XMOE_GATE_SCALAR>::template part<false>(to);
}
#endif

}  // namespace gates
