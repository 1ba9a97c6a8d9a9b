// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/gate_product.cuh>
#include <xmoe/backend/cuda/routing.cuh>
#include <xmoe/core/random.hpp>

namespace xmoe::inline XMOE_ABI::cuda {

namespace detail {

// --- Edits of an operand whose rows are tokens.

struct TokensOnly {
  const std::uint8_t* valid = nullptr;

  template <class R>
  XMOE_DEVICE R operator()(R value, int t, int) const {
    return valid == nullptr || (value != R(0) && load<std::uint8_t>(valid + t) != 0) ? value : R(0);
  }
};
/// Times the jitter of gate::Linear, drawn for (token, column).
template <class R>
struct Jittered {
  Random noise;
  R spread;
  int dim;
  const std::uint8_t* valid = nullptr;

  XMOE_DEVICE R factor(int t, int d) const {
    const R u = static_cast<R>(
        noise.uniform(static_cast<std::uint64_t>(t) * static_cast<std::uint64_t>(dim) +
                      static_cast<std::uint64_t>(d)));
    return R(1) + spread * (R(2) * u - R(1));
  }
  XMOE_DEVICE R operator()(R value, int t, int d) const {
    const R there = TokensOnly{valid}(value, t, d);
    return there == R(0) ? there : there * factor(t, d);
  }
};

/// Calls f(edit) for tokens with or without jitter, with or without padding.
template <class R, class F>
void with_jitter(Random noise, float spread, int dim, const std::uint8_t* valid, const F& f) {
  if (spread > 0.f) {
    f(Jittered<R>{noise, static_cast<R>(spread), dim, valid});
  } else {
    f(TokensOnly{valid});
  }
}

template <Along A, class S, class Edit>
GateOperand<S, A, Edit> gate_operand(const DeviceMatrix<const S>& m, const Edit& edit) {
  const bool aligned =
      reinterpret_cast<std::uintptr_t>(m.data()) % 16 == 0 && m.stride() % chunk_of<S> == 0;
  return {m.data(), m.stride(), static_cast<int>(m.rows()), static_cast<int>(m.cols()),
          aligned,  edit};
}
template <int N, class S>
bool begins_in_packs(const DeviceMatrix<S>& m) {
  return reinterpret_cast<std::uintptr_t>(m.data()) % (sizeof(S) * unsigned(N)) == 0 &&
         m.stride() % N == 0;
}

// --- What becomes of sums. `part` is the stretch of terms that they are of.

template <class R>
struct StoreLogits {
  R* logits;
  const R* bias;
  int tokens, experts;

  template <class Product, int RM, int RN>
  XMOE_DEVICE void start(int, int, int, Run<Run<R, RN>, RM>&) const {}
  template <class Product, int RM, int RN>
  XMOE_DEVICE void finish(int row, int col, int, const Run<Run<R, RN>, RM>& sums) const {
    XMOE_UNROLL
    for (int i = 0; i < RM; ++i) {
      XMOE_UNROLL
      for (int j = 0; j < RN; ++j) {
        const int t = row + Product::A::at(Product::place_a(), i);
        const int e = col + Product::B::at(Product::place_b(), j);
        if (t < tokens && e < experts) {
          store(logits + static_cast<index>(t) * experts + e,
                bias == nullptr ? sums[i][j] : sums[i][j] + load<R>(bias + e));
        }
      }
    }
  }
};

template <class S, class R, class Edit>
struct AddInput {
  S* dx;
  index stride;
  const std::uint8_t* valid;
  int tokens, dim;
  Edit edit;
  bool aligned;

  XMOE_DEVICE R factor(int t, int d) const {
    if constexpr (std::same_as<Edit, TokensOnly>) {
      return R(1);
    } else {
      return edit.factor(t, d);
    }
  }
  template <class Product, int RM, int RN>
  XMOE_DEVICE void start(int, int, int, Run<Run<R, RN>, RM>&) const {}
  template <class Product, int RM, int RN>
  XMOE_DEVICE void finish(int row, int col, int, const Run<Run<R, RN>, RM>& sums) const {
    const int d = col + Product::B::at(Product::place_b(), 0);
    XMOE_UNROLL
    for (int i = 0; i < RM; ++i) {
      const int t = row + Product::A::at(Product::place_a(), i);
      if (t < tokens && (valid == nullptr || load<std::uint8_t>(valid + t) != 0)) {
        S* const to = dx + t * stride + d;
        if (aligned && d + RN <= dim) {
          auto pack = load<Pack<S, RN>>(to);
          XMOE_UNROLL
          for (int j = 0; j < RN; ++j) {
            pack.v[j] = sum(pack.v[j], sums[i][j], t, d + j);
          }
          store(to, pack);
        } else {
          XMOE_UNROLL
          for (int j = 0; j < RN; ++j) {
            if (d + j < dim) {
              store(to + j, sum(load<S>(to + j), sums[i][j], t, d + j));
            }
          }
        }
      }
    }
  }

 private:
  XMOE_DEVICE S sum(S old, R more, int t, int d) const {
    return from_sum<S>(multiply_add(more, factor(t, d), to_sum<R>(old)));
  }
};

template <class R>
struct StoreGateWeights {
  R* out;
  int ld;
  index part_size;
  int experts, dim;
  bool add;      ///< sums start from what is there
  bool aligned;  ///< rows and parts begin at multiples of 16 bytes

  template <class Product, int RM, int RN>
  XMOE_DEVICE void start(int row, int col, int part, Run<Run<R, RN>, RM>& sums) const {
    if (add) {
      each<Product>(row, col, part, Fetch<RM, RN>{sums});
    }
  }
  template <class Product, int RM, int RN>
  XMOE_DEVICE void finish(int row, int col, int part, const Run<Run<R, RN>, RM>& sums) const {
    each<Product>(row, col, part, Put<RM, RN>{sums});
  }

 private:
  template <class Product, class F>
  XMOE_DEVICE void each(int row, int col, int part, const F& f) const {
    constexpr int N = Product::tile::RN < chunk_of<R> ? Product::tile::RN : chunk_of<R>;
    XMOE_UNROLL
    for (int i = 0; i < Product::tile::RM; ++i) {
      XMOE_UNROLL
      for (int j = 0; j < Product::tile::RN; j += N) {
        const int e = row + Product::A::at(Product::place_a(), i);
        const int d = col + Product::B::at(Product::place_b(), j);
        R* const at = out + part * part_size + static_cast<index>(e) * ld + d;
        if (e < experts && aligned && d + N <= dim) {
          f.template operator()<N>(at, i, j);
        } else {
          XMOE_UNROLL
          for (int n = 0; n < N; ++n) {
            if (e < experts && d + n < dim) {
              f.template operator()<1>(at + n, i, j + n);
            }
          }
        }
      }
    }
  }
  template <int RM, int RN>
  struct Fetch {
    Run<Run<R, RN>, RM>& sums;
    template <int N>
    XMOE_DEVICE void operator()(const R* from, int i, int j) const {
      const auto pack = load<Pack<R, N>>(from);
      XMOE_UNROLL
      for (int n = 0; n < N; ++n) {
        sums[i][j + n] = pack.v[n];
      }
    }
  };
  template <int RM, int RN>
  struct Put {
    const Run<Run<R, RN>, RM>& sums;
    template <int N>
    XMOE_DEVICE void operator()(R* to, int i, int j) const {
      Pack<R, N> pack;
      XMOE_UNROLL
      for (int n = 0; n < N; ++n) {
        pack.v[n] = sums[i][j + n];
      }
      store(to, pack);
    }
  };
};

/// A block a tile and a stretch of terms; blockIdx.y: rows, blockIdx.x: columns, blockIdx.z: part.
template <class Product, class OperandA, class OperandB, class Out>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(Product::tile::threads, 2)
    gate_kernel(OperandA a, OperandB b, int depth, int part_depth, Out out) {
  using R = typename Product::R;
  XMOE_SHARED(R, memory);
  constexpr int RM = Product::tile::RM, RN = Product::tile::RN;
  const int row = static_cast<int>(blockIdx.y) * Product::tile::M;
  const int col = static_cast<int>(blockIdx.x) * Product::tile::N;
  const int part = static_cast<int>(blockIdx.z);
  const int begin = part * part_depth;
  const int end = begin + part_depth < depth ? begin + part_depth : depth;
  Run<Run<R, RN>, RM> sums;
  XMOE_UNROLL
  for (int i = 0; i < RM; ++i) {
    XMOE_UNROLL
    for (int j = 0; j < RN; ++j) {
      sums[i][j] = R(0);
    }
  }
  out.template start<Product>(row, col, part, sums);
  Product::run(a, b, row, col, begin, end, memory, sums);
  out.template finish<Product>(row, col, part, sums);
}

template <class Tile, class OperandA, class OperandB, class Out>
void launch_gate(cudaStream_t stream, const OperandA& a, const OperandB& b, int m, int n, int depth,
                 const Out& out, int parts = 1) {
  using Product = GateProduct<Tile, OperandA, OperandB>;
  const Grid grid{static_cast<unsigned>(ceil_div(n, Tile::N)),
                  static_cast<unsigned>(ceil_div(m, Tile::M)), static_cast<unsigned>(parts)};
  launch(stream, gate_kernel<Product, OperandA, OperandB, Out>, grid, unsigned(Tile::threads),
         Product::shared_bytes, a, b, depth, ceil_div(ceil_div(depth, parts), Tile::K) * Tile::K,
         out);
}

/// weight[e,d] (+)= sums of the parts in order.
template <class R>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(256)
    gate_sum_kernel(const R* sums, int parts, int experts, int dim, R* weight, int ld,
                    bool accumulate) {
  const index count = static_cast<index>(experts) * dim;
  const index i = static_cast<index>(block_index()) * 256 + thread_index();
  if (i < count) {
    R* const to = weight + i / dim * ld + i % dim;
    R sum = accumulate ? load<R>(to) : R(0);
    for (int p = 0; p < parts; ++p) {
      sum += load<R>(sums + p * count + i);
    }
    store(to, sum);
  }
}

/// bias[e] (+)= sum of dlogits[t,e]: a lane an expert, eight warps that share the tokens.
template <class R>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(256)
    gate_bias_kernel(const R* dlogits, const std::uint8_t* valid, int tokens, int experts, R* bias,
                     bool accumulate) {
  XMOE_SHARED(R, memory);
  const int e = block_index() * 32 + static_cast<int>(lane_id());
  const int warp = thread_index() / 32;
  R sum = R(0);
  for (int t = warp; t < tokens; t += 8) {
    if (e < experts && (valid == nullptr || load<std::uint8_t>(valid + t) != 0)) {
      sum += load<R>(dlogits + static_cast<index>(t) * experts + e);
    }
  }
  store_shared(memory + thread_index(), sum);
  XMOE_BARRIER();
  if (warp == 0 && e < experts) {
    R total = accumulate ? load<R>(bias + e) : R(0);
    for (int w = 0; w < 8; ++w) {
      total += load_shared<R>(memory + w * 32 + thread_index());
    }
    store(bias + e, total);
  }
}

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cuda
