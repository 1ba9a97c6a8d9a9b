// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/grouped_combine.hpp>
#include <xmoe/backend/cpu/grouped_forward.hpp>
#include <xmoe/backend/cpu/grouped_input_gradient.hpp>
#include <xmoe/backend/cpu/grouped_weight_gradient.hpp>
#include <xmoe/backend/cpu/reduce.hpp>
#include <xmoe/core/traits.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

/// The primitives of a layer on the CPU: threads, grouped products, searches. Copies share threads.
///
/// Every number of a product is one chain of multiply-adds over the contraction index in ascending
/// order, whatever the number of rows, threads and the cut of the work: a row's result never
/// depends on the rows beside it. Functions that take scratch only count it on a measuring
/// workspace.
class Backend : public Workers {
 public:
  /// As many threads as the machine runs at once. Throws value_error if the processor lacks the
  /// instructions that this was compiled for.
  Backend() { check_processor(); }
  /// 1 = everything on the calling thread. Throws value_error if threads < 1.
  explicit Backend(index threads) : Workers(threads) { check_processor(); }
  /// Somebody else's threads, which must outlive every copy of the backend.
  explicit Backend(Executor executor) : Workers(executor) { check_processor(); }

  /// sums[n] = sum_k a(m,k) * w[g](n,k) for every plan row m of every group g.
  ///
  ///   a          rows of w.cols() >= 1 numbers
  ///   epilogue   (g, m, n0, sums): padded rows n0 .. n0+width-1 of w, `sums` [width] aligned; m a
  ///              PlanRow; called once for every row and panel, by any thread
  template <class W, class Epilogue>
  void grouped_forward(Workspace& workspace, Groups groups, Rows<sum_type<W>> a, const Panels<W>& w,
                       const Epilogue& epilogue) const {
    detail::grouped_forward<1>(*this, workspace, groups, a, w, epilogue);
  }
  /// The same for gate and up in one matrix.
  ///
  ///   epilogue   (g, m, n0, gate_sums, up_sums): units n0 .. n0+width-1 of the half
  template <class W, class Epilogue>
  void grouped_forward_pair(Workspace& workspace, Groups groups, Rows<sum_type<W>> a,
                            const Panels<W>& w, const Epilogue& epilogue) const {
    XMOE_ASSERT(w.order() != RowOrder::plain, "a pair product needs gate and up rows");
    detail::grouped_forward<2>(*this, workspace, groups, a, w, epilogue);
  }
  /// Rows as the left side of grouped_combine: what the epilogue of one product stores for the
  /// next.
  template <class W>
  PackedRows<W> packed_rows(Workspace& workspace, index rows, index cols, index origin) const {
    return PackedRows<W>::take(workspace, rows, cols, origin);
  }
  /// result (+)= weight[m] * (sum_k a(m,k) * w[g](n,k) + bias[g](n)), the rows of a token in the
  /// order of the plan. Every number of the output is written.
  ///
  ///   bias   [count,rows,1] or nothing
  ///   add    keep what stands in the output
  template <class W, class R>
  void grouped_combine(Workspace& workspace, Groups groups, const PackedRows<W>& a,
                       const Panels<W>& w, const Panels<sum_type<W>>& bias, bool add,
                       const RowSum<sum_type<W>, R>& result) const {
    detail::grouped_combine(*this, workspace, groups, a, w, bias, add, result);
  }
  /// sums[k] = sum_n g(m,n) * w[group](n,k), n over the padded rows of w in stored order.
  ///
  ///   g          rows of w.padded_rows() numbers, zeros in the padding
  ///   epilogue   (group, m, k0, count, sums): columns k0 .. k0+count-1, count <= width
  template <class W, class Epilogue>
  void grouped_input_gradient(Workspace& workspace, Groups groups, Rows<sum_type<W>> g,
                              const Panels<W>& w, const Epilogue& epilogue) const {
    detail::grouped_input_gradient(*this, workspace, groups, g, w, epilogue);
  }
  /// dw[group](n,k) += sum_m g(m,n) * a(m,k), in plan-row order. Groups without rows stay
  /// untouched.
  ///
  ///   W         how the products are computed: as those with weights of this type
  ///   g         rows of dw.padded_rows() numbers, zeros in the padding
  ///   a         rows of dw.cols() numbers
  ///   touched   [count] or null; 0: the group's gradient is zero and is overwritten unread
  template <class W>
  void grouped_weight_gradient(Workspace& workspace, Groups groups, Rows<sum_type<W>> g,
                               Rows<sum_type<W>> a, Panels<sum_type<W>>& dw,
                               const std::uint8_t* touched = nullptr) const {
    detail::grouped_weight_gradient<detail::gradient_kind<W>>(*this, workspace, groups, g, a, dw,
                                                              touched);
  }
  /// out[t] = sum of rows[row[a]] over a in [offsets[t], offsets[t+1]) with row[a] >= 0, ascending.
  /// Every number is written.
  template <class S>
  void sum_by_token(const index* offsets, const index* row, In<S> rows, Out<S> out) const {
    detail::sum_by_token(*this, offsets, row, rows, out);
  }

  /// Flat index row * cols + col of the first NaN or plus infinity, -1 if there is none.
  template <class R>
  index first_nonfinite(In<R> m) const {
    return detail::first_nonfinite(*this, m);
  }

 private:
  static void check_processor() {
#if (defined(__x86_64__) || defined(__i386__)) && XMOE_VECTOR_BYTES >= 32
#if XMOE_VECTOR_BYTES == 64
    const bool able = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
#if defined(__AVX512BF16__)
                      && __builtin_cpu_supports("avx512bf16");
    const char* const name = "AVX-512 (F, BW, DQ, VL, BF16)";
#else
        ;
    const char* const name = "AVX-512 (F, BW, DQ, VL)";
#endif
#else
    const bool able = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const char* const name = "AVX2 and FMA";
#endif
    if (!able) {
      xmoe::detail::fail<value_error>(
          "xmoe::cpu::Backend: compiled for %s, which this processor does not have; compile with "
          "another -march",
          name);
    }
#endif
  }
};

}  // namespace xmoe::inline XMOE_ABI::cpu
