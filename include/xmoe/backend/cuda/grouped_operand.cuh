// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/tiles.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

/// One operand of one tile: lines of contiguous numbers. For Along::depth a line is one index of
/// the output and runs over the sum; for Along::outer it is one term of the sum and runs over the
/// output.
///
///   line    line l is data + (gather ? gather[first + l] : first + l) * stride
///   pair    Along::depth only: lines of the tile's second half lie `pair` lines behind the first
///           half's (up projections behind gates); 0: the halves are neighbours
template <class S>
struct Operand {
  const S* data = nullptr;
  index stride = 0;
  const int* gather = nullptr;
  index first = 0;  ///< the first line
  int outer = 0;    ///< indices of the output from the tile's first on; may exceed the tile
  int depth = 0;    ///< terms of the sum
  int column = 0;   ///< Along::outer: where the tile begins in a line
  int pair = 0;
};

/// The part that one thread plays in bringing an operand's tiles into the block, in chunks of 16
/// bytes: chunk i of thread t is number i * Threads + t, chunks of a line side by side. What lies
/// beyond the operand's edges reads as zero and is not touched.
///
///   Outer, Depth   size of a step's tile
///   Aligned        data, stride and column are multiples of 16 bytes
template <class S, int Outer, int Depth, int Threads, Along A, bool Aligned, bool Pair>
class Loader {
 public:
  static constexpr int chunk = chunk_of<S>;
  static constexpr int lines = A == Along::depth ? Outer : Depth;
  static constexpr int line_chunks = (A == Along::depth ? Depth : Outer) / chunk;
  static constexpr int total = lines * line_chunks;
  static constexpr int count = detail::ceil_div(total, Threads);  ///< chunks a thread
  static_assert((A == Along::depth ? Depth : Outer) % chunk == 0, "whole chunks only");
  static_assert(Threads % line_chunks == 0, "a thread stays in its column of chunks");
  static_assert(A == Along::depth || !Pair, "pairs are read along the depth");

  using Chunk = Pack<S, chunk>;
  using Chunks = Run<Chunk, count>;

  XMOE_DEVICE explicit Loader(const Operand<S>& operand) : operand_(operand) {
    if constexpr (A == Along::depth) {
      XMOE_UNROLL
      for (int i = 0; i < count; ++i) {
        const int l = line(i);
        const int within = Pair ? l % (Outer / 2) : l;
        const bool inside = active(i) && within < operand.outer;
        const index shift = Pair && l >= Outer / 2 ? operand.pair : 0;
        start_[i] = inside
                        ? operand.data + number(operand.first + within + shift) * operand.stride +
                              first_in_line()
                        : nullptr;
      }
    }
  }

  /// The thread's i-th chunk in the tile.
  static XMOE_DEVICE int line(int i) {
    return i * (Threads / line_chunks) + static_cast<int>(threadIdx.x / unsigned(line_chunks));
  }
  static XMOE_DEVICE int chunk_in_line() {
    return static_cast<int>(threadIdx.x % unsigned(line_chunks));
  }
  static XMOE_DEVICE bool active(int i) { return total % Threads == 0 || line(i) < lines; }

  /// Where the i-th chunk of a step comes from and how many numbers of it exist, 0 .. chunk. An
  /// address is valid memory also if nothing is to be read.
  XMOE_DEVICE const S* source(int i, int step, int& numbers) const {
    if constexpr (A == Along::depth) {
      const int left = operand_.depth - step * Depth - first_in_line();
      numbers = start_[i] == nullptr ? 0 : clamp(left);
      return numbers == 0 ? operand_.data : start_[i] + step * Depth;
    } else {
      const int term = step * Depth + line(i);
      numbers = term < operand_.depth ? clamp(operand_.outer - first_in_line()) : 0;
      return numbers == 0 ? operand_.data
                          : operand_.data + number(operand_.first + term) * operand_.stride +
                                operand_.column + first_in_line();
    }
  }

  /// The i-th chunk of a step in registers.
  XMOE_DEVICE Chunk fetch(int i, int step) const {
    int numbers = 0;
    const S* const from = source(i, step, numbers);
    Chunk result;
    if (Aligned && numbers == chunk) {
      result = load<Chunk>(from);
    } else {
      XMOE_UNROLL
      for (int j = 0; j < chunk; ++j) {
        result.v[j] = j < numbers ? load<S>(from + j) : S();
      }
    }
    return result;
  }

 private:
  static XMOE_DEVICE int first_in_line() { return chunk_in_line() * chunk; }
  static XMOE_DEVICE int clamp(int n) { return n < 0 ? 0 : (n > chunk ? chunk : n); }
  XMOE_DEVICE index number(index l) const {
    return operand_.gather == nullptr ? l : static_cast<index>(load<int>(operand_.gather + l));
  }

  Operand<S> operand_;
  Run<const S*, A == Along::depth ? count : 1> start_{};
};

}  // namespace xmoe::inline XMOE_ABI::cuda
