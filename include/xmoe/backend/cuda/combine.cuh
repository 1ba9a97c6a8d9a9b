// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/combine_kernels.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

namespace detail {

template <class T, int N>
bool in_packs(const DeviceMatrix<T>& rows) {
  return reinterpret_cast<std::uintptr_t>(rows.data()) % (sizeof(T) * unsigned(N)) == 0 &&
         rows.stride() % N == 0;
}

/// Numbers of 16 bytes of the wider type.
template <class A, class B>
inline constexpr int pack_of = 16 / static_cast<int>(sizeof(A) > sizeof(B) ? sizeof(A) : sizeof(B));

/// Calls f.operator()<N>() with packs of N numbers, or one by one if an address is not aligned.
template <class A, class B, class F>
void with_packs(const DeviceMatrix<A>& a, const DeviceMatrix<B>& b, const F& f) {
  constexpr int N = pack_of<A, B>;
  if (in_packs<A, N>(a) && in_packs<B, N>(b)) {
    f.template operator()<N>();
  } else {
    f.template operator()<1>();
  }
}

/// Blocks of a grid in which every warp takes items until none are left.
inline unsigned persistent_blocks(index items) {
  const index most = static_cast<index>(sm_count()) * 16;
  const index needed = (items + combine_warps - 1) / combine_warps;
  return static_cast<unsigned>(needed < most ? needed : most);
}

template <bool by_expert, class R, class F, class S>
void sum_rows(cudaStream_t stream, const int* count, const R* weight, const DevicePlan& plan,
              const DeviceMatrix<const F>& rows, const DeviceMatrix<S>& out) {
  const int dim = static_cast<int>(out.cols());
  with_packs(rows, out, [&]<int N>() {
    const int parts = ceil_div(dim, combine_part<N>);
    const index warps = static_cast<index>(plan.tokens) * parts;
    launch(stream, sum_rows_kernel<by_expert, N, R, F, S>,
           Grid{static_cast<unsigned>((warps + combine_warps - 1) / combine_warps)},
           unsigned(32 * combine_warps), 0,
           SumRows<R, F, S>{count, weight, plan, rows.data(), rows.stride(), out.data(),
                            out.stride(), dim},
           parts);
  });
}

}  // namespace detail

/// Where the rows of a plan meet again: y[t] = sum of weight * row over the token's kept rows,
/// every sum from 0 by multiply-adds in ascending order of experts, as the CPU adds.
///
///   in      routing.count, routing.weight (`weighted`: the rows carry their weights already);
///           rows [most_rows, dim]
///   out     y [T, dim], every element written; a token without rows gets 0
///   cost    one pass: kept rows and y; a warp a token and up to 2 KiB of its row
///   throws  cuda_error
template <class R, class F, class S>
void combine(cudaStream_t stream, const DeviceRouting<R>& routing, const DevicePlan& plan,
             bool weighted, const DeviceMatrix<const F>& rows, const DeviceMatrix<S>& y) {
  detail::sum_rows<true>(stream, routing.count, weighted ? nullptr : routing.weight, plan, rows, y);
}

/// dx[t] = sum of the gradients of the token's rows, best expert first, as the CPU adds.
///
///   in      drows [most_rows, dim]
///   out     dx [T, dim], every element written; a token without rows gets 0
template <class R, class F, class S>
void sum_by_token(cudaStream_t stream, const DeviceRouting<R>& routing, const DevicePlan& plan,
                  const DeviceMatrix<const F>& drows, const DeviceMatrix<S>& dx) {
  detail::sum_rows<false>(stream, routing.count, static_cast<const R*>(nullptr), plan, drows, dx);
}

/// The gradient of a sum's rows: drows[m] = weight * dy[token[m]].
///
///   out     drows [kept, dim]; rows beyond are not touched
///   cost    one pass: dy for every row, drows
template <class R, class S, class F>
void spread_rows(cudaStream_t stream, const DeviceRouting<R>& routing, const DevicePlan& plan,
                 const DeviceMatrix<const S>& dy, const DeviceMatrix<F>& drows) {
  const int dim = static_cast<int>(drows.cols());
  detail::with_packs(dy, drows, [&]<int N>() {
    const int parts = detail::ceil_div(dim, detail::combine_part<N>);
    launch(stream, detail::spread_rows_kernel<N, R, S, F>,
           Grid{detail::persistent_blocks(static_cast<index>(plan.most_rows) * parts)},
           unsigned(32 * detail::combine_warps), 0, static_cast<const R*>(routing.weight), plan,
           dy.data(), dy.stride(), drows.data(), drows.stride(), dim, parts);
  });
}

/// The gradient of a sum's weights: dweight[slot] = <dy[token], row>, 0 where there is no row. Sums
/// in the order of math::dot over 32 running sums.
///
///   in      rows [most_rows, dim] before they were weighted
///   out     dweight [T, width], every element written
template <class R, class S, class F>
void weight_gradient(cudaStream_t stream, const DevicePlan& plan, const DeviceMatrix<const S>& dy,
                     const DeviceMatrix<const F>& rows, R* dweight) {
  const int dim = static_cast<int>(rows.cols());
  launch(stream, detail::weight_gradient_kernel<R, S, F>,
         Grid{detail::persistent_blocks(static_cast<index>(plan.tokens) * plan.width)},
         unsigned(32 * detail::combine_warps), 0, plan, dy.data(), dy.stride(), rows.data(),
         rows.stride(), dim, dweight);
}

}  // namespace xmoe::inline XMOE_ABI::cuda
