// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/ptx.cuh>
#include <xmoe/backend/cuda/tiles.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

/// A step's tile of an operand in shared memory: lines of LineChunks chunks of 16 bytes. A line's
/// chunks are permuted by its number, so that eight lines' chunks of one column, which one matrix
/// of ldmatrix reads, lie in eight different groups of banks; so do the 4-byte reads of four lines.
template <class S, Along A, unsigned LineChunks>
struct TileView {
  static constexpr Along along = A;
  static_assert((LineChunks & (LineChunks - 1)) == 0 && LineChunks >= 2);
  static_assert(sizeof(S) == 2 || A == Along::depth || LineChunks >= 8);

  const unsigned char* base;

  /// Bytes from the tile's begin.
  static XMOE_DEVICE unsigned offset(unsigned line, unsigned chunk) {
    if constexpr (sizeof(S) == 4 && A == Along::outer) {
      return (line * LineChunks + (chunk ^ (line % 4 * 2))) * 16;
    } else if constexpr (LineChunks >= 8) {
      return (line * LineChunks + (chunk ^ (line % 8))) * 16;
    } else {
      return (line * LineChunks + (chunk ^ (line / (8 / LineChunks) % LineChunks))) * 16;
    }
  }
  XMOE_DEVICE const unsigned char* at(unsigned line, unsigned chunk) const {
    return base + offset(line, chunk);
  }
};

/// An operand that lies in shared memory as a whole, Along::depth: lines of `pitch` chunks, a
/// multiple of 8, permuted likewise.
template <class S>
struct ResidentView {
  static constexpr Along along = Along::depth;

  unsigned char* base;
  unsigned pitch;

  XMOE_DEVICE unsigned char* at(unsigned line, unsigned chunk) const {
    return base + (line * pitch + (chunk ^ (line % 8))) * 16;
  }
};

/// A lane's registers of operands of mma.sync.
struct Fragment {
  unsigned v[4];
};

namespace detail {

// One number of a 4-byte operand Along::outer, rounded to tf32.
template <class View>
XMOE_DEVICE unsigned tf32_at(const View& view, unsigned line, unsigned outer) {
  return to_tf32(
      load_shared<float>(reinterpret_cast<const float*>(view.at(line, outer / 4)) + outer % 4));
}
template <class S>
XMOE_DEVICE void round_fragment([[maybe_unused]] unsigned (&v)[4]) {
  if constexpr (sizeof(S) == 4) {
    XMOE_UNROLL
    for (int i = 0; i < 4; ++i) {
      v[i] = to_tf32(__uint_as_float(v[i]));
    }
  }
}

}  // namespace detail

/// 16 rows from `row` on and 32 bytes of depth: the left operand of one mma.sync. The depth begins
/// at chunk `first_chunk` of the lines, or at term k * 32 bytes where the lines are terms.
template <class S, class View>
XMOE_DEVICE Fragment row_fragment(const View& view, unsigned row, unsigned first_chunk,
                                  unsigned k) {
  const unsigned lane = threadIdx.x % 32;
  Fragment result;
  if constexpr (View::along == Along::depth) {
    ldmatrix_x4(result.v, view.at(row + lane % 16, first_chunk + lane / 16));
    detail::round_fragment<S>(result.v);
  } else if constexpr (sizeof(S) == 2) {
    ldmatrix_x4_trans(result.v, view.at(k * 16 + lane / 16 * 8 + lane % 8, row / 8 + lane / 8 % 2));
  } else {
    XMOE_UNROLL
    for (unsigned i = 0; i < 4; ++i) {
      result.v[i] = detail::tf32_at(view, k * 8 + i / 2 * 4 + lane % 4, row + i % 2 * 8 + lane / 4);
    }
  }
  return result;
}

/// 16 columns from `column` on and 32 bytes of depth: the right operands of two mma.sync, registers
/// 0 and 1 for the first eight columns, 2 and 3 for the others.
template <class S, class View>
XMOE_DEVICE Fragment column_fragment(const View& view, unsigned column, unsigned first_chunk,
                                     unsigned k) {
  const unsigned lane = threadIdx.x % 32;
  Fragment result;
  if constexpr (View::along == Along::depth) {
    ldmatrix_x4(result.v, view.at(column + lane / 16 * 8 + lane % 8, first_chunk + lane / 8 % 2));
    detail::round_fragment<S>(result.v);
  } else if constexpr (sizeof(S) == 2) {
    ldmatrix_x4_trans(result.v, view.at(k * 16 + lane % 16, column / 8 + lane / 16));
  } else {
    XMOE_UNROLL
    for (unsigned i = 0; i < 4; ++i) {
      result.v[i] =
          detail::tf32_at(view, k * 8 + i % 2 * 4 + lane % 4, column + i / 2 * 8 + lane / 4);
    }
  }
  return result;
}

/// sums += left * right: one mma.sync, m16n8k16 of 2-byte numbers or m16n8k8 of tf32.
template <class S>
XMOE_DEVICE void multiply_add(float (&sums)[4], const Fragment& left, unsigned low, unsigned high) {
  const unsigned right[2] = {low, high};
  if constexpr (sizeof(S) == 4) {
    mma_m16n8k8_tf32(sums, left.v, right);
  } else {
    mma_m16n8k16<S>(sums, left.v, right);
  }
}

}  // namespace xmoe::inline XMOE_ABI::cuda
