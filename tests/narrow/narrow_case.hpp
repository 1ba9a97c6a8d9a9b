// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "backend/cpu/combine_case.hpp"
#include "narrow/narrow_truth.hpp"

// Grouped products with weights of 16 bits: the kernels' results, and the true sums over the
// numbers that they see.
namespace tests {

/// Some rows of a case as a case of their own: rows of the plan, ascending.
struct Subset {
  Loads loads{std::vector<index>{}};
  std::vector<std::int32_t> gather;

  Subset(const Loads& all, xmoe::Rows<float> rows, const std::vector<index>& picked) {
    for (index g = 0; g < all.count(); ++g) {
      for (const index m : picked) {
        if (all.group_of(m) == g) {
          gather.push_back(rows.gather == nullptr ? static_cast<std::int32_t>(m) : rows.gather[m]);
        }
      }
      loads.offsets.push_back(static_cast<index>(gather.size()));
    }
  }
  xmoe::Rows<float> of(xmoe::Rows<float> rows) const {
    return {rows.data, rows.stride, &gather[0]};
  }
};

/// Some rows of a result.
inline std::vector<float> rows_of(const std::vector<float>& all, const std::vector<index>& picked,
                                  index length) {
  std::vector<float> some;
  for (const index m : picked) {
    some.insert(some.end(), all.begin() + m * length, all.begin() + (m + 1) * length);
  }
  return some;
}

/// Counts that a kernel hands out every number once.
struct Calls {
  std::vector<float> values;
  std::vector<int> times;
  explicit Calls(index count)
      : values(static_cast<std::size_t>(count), -77.f), times(static_cast<std::size_t>(count), 0) {}
  void put(index at, index count, const float* sums) {
    for (index j = 0; j < count; ++j) {
      values[static_cast<std::size_t>(at + j)] = sums[j];
      ++times[static_cast<std::size_t>(at + j)];
    }
  }
  std::vector<float> once() const {
    CHECK(times == std::vector<int>(times.size(), 1));
    return values;
  }
};

// --- the kernels
// ----------------------------------------------------------------------------------

/// All sums [M, rows].
template <class W>
std::vector<float> run_forward(index threads, const Loads& loads, xmoe::Rows<float> a,
                               const xmoe::Panels<W>& w) {
  using xmoe::index;
  const xmoe::cpu::Backend backend(threads);
  constexpr index width = xmoe::Panels<W>::width;
  const index padded = w.padded_rows();
  Calls calls(loads.rows() * padded);
  on_exact_scratch(
      [&](xmoe::Workspace& scratch, xmoe::Groups groups) {
        if (w.order() == xmoe::RowOrder::plain) {
          backend.grouped_forward(scratch, groups, a, w,
                                  [&](index, index m, index first, const float* sums) {
                                    calls.put(m * padded + first, width, sums);
                                  });
        } else {
          backend.grouped_forward_pair(
              scratch, groups, a, w,
              [&](index, index m, index first, const float* gate, const float* up) {
                calls.put(m * padded + 2 * first, width, gate);
                calls.put(m * padded + 2 * first + width, width, up);
              });
        }
      },
      loads.groups());
  const std::vector<float> stored = calls.once();
  std::vector<float> result;
  for (index m = 0; m < loads.rows(); ++m) {
    for (index n = 0; n < w.rows(); ++n) {
      result.push_back(stored[static_cast<std::size_t>(m * padded + w.padded_row(n))]);
    }
  }
  return result;
}

/// All sums [M, cols].
template <class W>
std::vector<float> run_input_gradient(index threads, const Loads& loads, xmoe::Rows<float> g,
                                      const xmoe::Panels<W>& w) {
  const xmoe::cpu::Backend backend(threads);
  Calls calls(loads.rows() * w.cols());
  on_exact_scratch(
      [&](xmoe::Workspace& scratch, xmoe::Groups groups) {
        backend.grouped_input_gradient(
            scratch, groups, g, w,
            [&](index, index m, index first, index count, const float* sums) {
              calls.put(m * w.cols() + first, count, sums);
            });
      },
      loads.groups());
  return calls.once();
}

template <class W>
xmoe::Panels<float> run_weight_gradient(index threads, const Loads& loads, xmoe::Rows<float> g,
                                        xmoe::Rows<float> a, xmoe::Panels<float> dw,
                                        const std::uint8_t* touched = nullptr) {
  const xmoe::cpu::Backend backend(threads);
  on_exact_scratch(
      [&](xmoe::Workspace& scratch, xmoe::Groups groups) {
        backend.template grouped_weight_gradient<W>(scratch, groups, g, a, dw, touched);
      },
      loads.groups());
  return dw;
}

/// Weights [rows, cols], rows for the way forward and, padded, for the way back.
template <class W>
struct Problem {
  Loads loads;
  xmoe::Panels<W> w;
  RowsCase<float> a, g;

  Problem(std::uint64_t seed, const Loads& l, index rows, index cols, bool gathered,
          xmoe::RowOrder order = xmoe::RowOrder::plain)
      : Problem(Generator(seed), l, rows, cols, gathered, order) {}
  xmoe::Panels<float> zero() const { return {w.count(), w.rows(), w.cols(), w.order()}; }
  /// A row alone in its group's place: row i of every group for token i.
  Summing<float> by_place(Generator random) const {
    index tokens = 0;
    std::vector<std::int32_t> token;
    for (index m = 0; m < loads.rows(); ++m) {
      const index place = m - loads.offsets[static_cast<std::size_t>(loads.group_of(m))];
      token.push_back(static_cast<std::int32_t>(place));
      tokens = place >= tokens ? place + 1 : tokens;
    }
    return {tokens, token, narrow<float>(normals(random, loads.rows())),
            random_panels<float>(random, w.count(), w.rows(), 1)};
  }

 private:
  Problem(Generator random, const Loads& l, index rows, index cols, bool gathered,
          xmoe::RowOrder order)
      : loads(l),
        w(random_panels<W>(random, l.count(), rows, cols, order)),
        a(random, l.rows(), cols, gathered),
        g(random, l.rows(), w.padded_rows(), gathered) {
    std::vector<bool> real(static_cast<std::size_t>(w.padded_rows()), false);
    for (index n = 0; n < rows; ++n) {
      real[static_cast<std::size_t>(w.padded_row(n))] = true;
    }
    for (std::size_t i = 0; i < g.numbers.size(); ++i) {  // zeros where w has padding
      const std::size_t n = i % static_cast<std::size_t>(g.stride);
      g.numbers[i] = n < real.size() && real[n] ? g.numbers[i] : 0.f;
    }
  }
};

/// The tolerance of a float sum over `chain` numbers, and that a wrong weight exceeds it.
inline void check_sums(const std::vector<float>& got, const reference::Vector& want,
                       const reference::Vector& twin, index chain) {
  check_close<float>("sums", wide(got), want, chain);
  const double allowed = tolerance<float>(chain, magnitude(want));
  CHECK_FALSE(difference(wide(got), twin, allowed).close);
}
/// One weight changed, or two neighbours in a row of a group with rows swapped.
template <class W>
xmoe::Panels<W> mistaken(xmoe::Panels<W> w, bool swapped) {
  const index n = w.rows() - 1, k = w.cols() - 1;
  if (swapped && k > 0) {
    std::swap(w.at(5, n, k), w.at(5, n, k - 1));
  } else {
    w.at(5, n, k) = W(static_cast<float>(w.at(5, n, k)) + 1.f);
  }
  return w;
}

}  // namespace tests
