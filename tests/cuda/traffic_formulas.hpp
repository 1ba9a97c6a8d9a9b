// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>

// What the kernels move between the multiprocessors and memory, and compute, by formula; T tokens,
// E experts, D model width, H hidden width, K experts a token, M plan rows; sizes of scalars in
// bytes. Tests hold the kernels to these numbers.
namespace tests::traffic {

/// Of one call.
struct Cost {
  double moved = 0;  ///< bytes, in sectors of 32: what the tiling reads again counts again
  double once = 0;   ///< bytes that have to come from and go to memory even with perfect caches
  double flops = 0;

  constexpr Cost& operator+=(const Cost& other) {
    moved += other.moved;
    once += other.once;
    flops += other.flops;
    return *this;
  }
  friend constexpr Cost operator+(Cost a, const Cost& b) { return a += b; }
};

constexpr double ceil_div(double a, double b) {
  const double q = static_cast<double>(static_cast<long long>(a / b));
  return q * b < a ? q + 1 : q;
}
/// Bytes of the sectors that `bytes` side by side take.
constexpr double in_sectors(double bytes) { return 32 * ceil_div(bytes, 32); }

// --- The router.

/// logits [T,E] in; scores [T,E] out; count, ids, weights, scores of the chosen. `group` tokens
/// share a request for what is small, hence its sectors; their chosen lie side by side.
constexpr Cost route(double T, double E, double K, double R, double group) {
  const double dense = 2 * T * E * R;
  const double slots = T * K * (4 + 2 * R);
  const double requests = T / group;
  return {dense + requests * (in_sectors(group * 4) + in_sectors(group * K * 4) +
                              2 * in_sectors(group * K * R)),
          dense + T * 4 + slots, T * (4 * E + 2 * K * E)};
}

/// scores, logits, dscores and dlogits of losses (`given` of the two) in, dlogits out, [T,E]; count
/// and ids, weights and their gradients of the chosen in.
constexpr Cost route_backward(double T, double E, double K, double R, double given, double group) {
  const double dense = (3 + given) * T * E * R;
  const double requests = T / group;
  return {dense + requests * (in_sectors(group * 4) + in_sectors(group * K * 4) +
                              2 * in_sectors(group * K * R)),
          dense + T * 4 + T * K * (4 + 2 * R), T * 6 * E};
}

// --- The gate's products; a tile has `rows` x `columns` of the output.

/// A product [m,n] over k terms: the left operand is read once a tile of columns, the right one
/// once a tile of rows.
constexpr Cost product(double m, double n, double k, double rows, double columns, double left,
                       double right, double out) {
  return {m * k * left * ceil_div(n, columns) + n * k * right * ceil_div(m, rows) + m * n * out,
          m * k * left + n * k * right + m * n * out, 2 * m * n * k};
}
constexpr Cost gate_forward(double T, double D, double E, double S, double R, double rows,
                            double columns) {
  return product(T, E, D, rows, columns, S, R, R);
}
/// dx is read and written.
constexpr Cost gate_input_gradient(double T, double D, double E, double S, double R, double rows,
                                   double columns) {
  return product(T, D, E, rows, columns, R, R, 2 * S);
}
/// The same from dlogits [T,E] and x; `parts` > 1 stretches of tokens write sums of their own,
/// which are read again. dlogits once more for the bias.
constexpr Cost gate_weight_gradient(double T, double D, double E, double S, double R, double rows,
                                    double columns, double parts, bool accumulate) {
  const double weights = E * D * R;
  const double sums = parts > 1 ? 2 * parts * weights : 0;
  const double result = (accumulate ? 2 : 1) * (weights + E * R);
  return {
      T * E * R * ceil_div(D, columns) + T * D * S * ceil_div(E, rows) + sums + result + T * E * R,
      2 * T * E * R + T * D * S + sums + result, 2 * T * D * E + T * E};
}

// --- The plan. The choices of 32 tokens in [T,K] are `row` bytes; a thread a token reads them rank
// after rank, and each time touches the sectors of all ranks.

/// One block. Counts and ids twice; rows written twice, first -1; tokens and slots of 32 tokens go
/// to as many places as they have experts.
constexpr Cost sort(double T, double E, double K) {
  const double row = in_sectors(32 * K * 4);
  const double runs = E < 32 ? E : 32;
  const double scattered = runs * in_sectors(32 / runs * 4);
  const double warp = 2 * 128 + 2 * K * row + row + K * row + 2 * K * scattered;
  return {T / 32 * warp + in_sectors(E * 4) + 64, T * (4 + 16 * K) + E * 4 + 8, 0};
}
/// Three launches over `blocks` stretches of tokens. On top: counts and ids once more, and a number
/// for every expert and block, which is written and read by columns and scanned by rows.
constexpr Cost sort_in_steps(double T, double E, double K, double blocks) {
  const Cost one = sort(T, E, K);
  const double row = in_sectors(32 * K * 4);
  return {one.moved + T / 32 * (128 + K * row) + E * blocks * (2 * 32 + 2 * 4) + E * 32,
          one.once + T * (4 + 4 * K) + 4 * E * blocks * 4, 0};
}
/// Behind the sort of all wishes `rounds` of two passes over the claims of every expert to find the
/// last one that is kept, and one to write what is: slots side by side, scores and rows wherever
/// they stand, `apart` bytes of sectors a claim. The eight warps of an expert's block look up five
/// numbers, and three claims a round, each for itself.
constexpr Cost capacity(double T, double E, double K, double R, double rounds, double apart) {
  const double claims = T * K;
  const Cost all = sort(T, E, K);
  return {all.moved + 2 * rounds * claims * (4 + apart) + claims * (4 + 2 * apart + 8) +
              E * 8 * (5 + 6 * rounds) * 32,
          all.once + claims * (4 + R + 4 + 8) + E * 16, 0};
}

// --- Rows of a plan. A warp takes a row, or a part of 512 numbers of float, and looks up where it
// stands and what it weighs: a sector each.

/// Of every token the rows of its K choices in, one row out. `look_ups` of a row's K choices.
constexpr Cost sum_rows(double T, double D, double K, double F, double S, double look_ups,
                        double small) {
  return {T * (K * D * F + D * S + 32 * look_ups), T * (K * D * F + D * S + small), 2 * T * K * D};
}
/// In the order of experts the next row is looked for once more than there are rows.
constexpr Cost combine(double T, double D, double K, double F, double S, double R) {
  return sum_rows(T, D, K, F, S, 1 + K + 1 + K, 4 + 4 * K + R * K);
}
constexpr Cost sum_by_token(double T, double D, double K, double F, double S) {
  return sum_rows(T, D, K, F, S, 1 + K, 4 + 4 * K);
}
/// dy of every row's token in, rows out.
constexpr Cost spread_rows(double T, double M, double D, double S, double F, double R) {
  return {M * (D * (S + F) + 3 * 32), T * D * S + M * (D * F + 8 + R), M * D};
}
/// dy of every row's token and the row in; slots without a row are looked for at the end.
constexpr Cost weight_gradient(double T, double M, double D, double S, double F, double R) {
  return {M * (D * (S + F) + 3 * 32 + 4), T * D * S + M * (D * F + 12 + R), 2 * M * D};
}

// --- Grouped products: tiles of `rows` x `columns`, every expert has tiles of its own.

/// One expert's part: its rows are read once a tile of columns, its weights once a tile of rows.
/// `n` columns of the output; `weights` rows of weights behind them (2 n for a pair); `gathered`:
/// an index a row and tile; `kept`: further rows [n] that the epilogue reads or writes.
constexpr Cost grouped(double m, double n, double k, double weights, double S, double rows,
                       double columns, bool gathered = false, double kept = 0) {
  const double index = gathered ? 4 : 0;
  return {m * (k * S + index) * ceil_div(n, columns) + weights * k * S * ceil_div(m, rows) +
              m * n * S * (1 + kept),
          m == 0 ? 0 : m * (k * S + index) + weights * k * S + m * n * S * (1 + kept),
          2 * m * weights * k};
}
/// dw [n,k] of one expert with m rows: both operands are read once a tile of the other's.
constexpr Cost grouped_weight_gradient(double m, double n, double k, double S, double T,
                                       double rows, double columns, bool accumulate) {
  const double out = n * k * T * (accumulate ? (m == 0 ? 0 : 2) : 1);
  return {m * n * S * ceil_div(k, columns) + m * k * S * ceil_div(n, rows) + out,
          m * (n + k) * S + out, 2 * m * n * k};
}
/// Both layers of one expert, [h,d] (2 h for a pair) and [d,h]: rows are read once a tile of hidden
/// columns, which is once for small experts; weights once a tile of rows; the output is written
/// once; the hidden activations stay where they are.
constexpr Cost grouped_ffn(double m, double d, double h, double up, double S, double rows,
                           double columns, bool gathered = false) {
  const double index = gathered ? 4 : 0;
  const double weights = (up + h) * d * S;
  return {m * (d * S + index) * ceil_div(h, columns) + weights * ceil_div(m, rows) + m * d * S,
          m == 0 ? 0 : m * (2 * d * S + index) + weights, 2 * m * (up + h) * d};
}

// --- Losses, optimizers.

/// Scores [T,E] in, their gradients read and written; the first choices; what every expert's share
/// and slope are, a double and two R, again for every token, out of the cache.
constexpr Cost load_balance(double T, double E, double R) {
  const double counted = T / 32 * (128 + 32 * 8);
  return {T * E * (R * 3 + 8 + 2 * R) + counted, T * E * R * 3 + T * 8 + E * (24 + 3 * R),
          5 * T * E};
}
/// Logits three times: the largest, the sum, the gradient. That one read and written.
constexpr Cost z_loss(double T, double E, double R) {
  return {T * (E * R * 5 + 32), T * E * R * 3, 6 * T * E};
}
/// Every number of weight and `moments`, float copies of narrow ones, read and written, gradients
/// read.
constexpr Cost optimizer(double count, double W, double S, double moments, bool copies) {
  const double bytes = count * (2 * W + S + 2 * moments * S + (copies ? 2 * S : 0));
  return {bytes, bytes, 12 * count};
}

}  // namespace tests::traffic
