// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "support/policy_case.hpp"

// Grouped products: groups of rows of all sizes, gathered or not, and the true sums.
namespace tests {

/// How a product joins a sum: rounded once, or twice. The compiler's choice, but one for all.
enum class Rounding { fused, separate };

template <class S>
S chain_step(Rounding rounding, S a, S b, S sum) {
  if (rounding == Rounding::fused) {
    return std::fma(a, b, sum);
  }
  const volatile S product = a * b;
  return sum + product;
}

/// Groups with given numbers of rows.
struct Loads {
  std::vector<index> offsets = {0};

  explicit Loads(const std::vector<index>& rows) {
    for (const index r : rows) {
      offsets.push_back(offsets.back() + r);
    }
  }
  index rows() const { return offsets.back(); }
  index count() const { return static_cast<index>(offsets.size()) - 1; }
  xmoe::Groups groups() const { return {count(), offsets.data(), rows()}; }
  index group_of(index row) const {
    index g = 0;
    while (offsets[static_cast<std::size_t>(g) + 1] <= row) {
      ++g;
    }
    return g;
  }
};

/// Rows of numbers with a stride, reached through a gather list or directly.
template <class S>
struct RowsCase {
  index cols, stride;
  std::vector<S> numbers;
  std::vector<std::int32_t> gather;

  RowsCase(Generator& random, index rows, index c, bool gathered, index gap = 3)
      : cols(c), stride(c + gap), numbers(narrow<S>(normals(random, (rows + 2) * stride))) {
    for (index m = 0; gathered && m < rows; ++m) {
      gather.push_back(static_cast<std::int32_t>(random.below(rows + 2)));
    }
  }
  /// Zeros behind `real` columns.
  void pad(index real) {
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] = static_cast<index>(i) % stride >= real ? S(0) : numbers[i];
    }
  }
  xmoe::Rows<S> rows() const {
    return {numbers.data(), stride, gather.empty() ? nullptr : gather.data()};
  }
  S at(index m, index k) const { return rows().row(m)[k]; }
};

template <class S>
xmoe::Panels<S> random_panels(Generator& random, index count, index rows, index cols,
                              xmoe::RowOrder order = xmoe::RowOrder::plain) {
  xmoe::Panels<S> panels(count, rows, cols, order);
  panels.load(narrow<S>(normals(random, panels.size())));
  return panels;
}

/// Exactly the scratch that a product asks for.
template <class F>
void on_exact_scratch(F&& product, xmoe::Groups groups) {
  xmoe::Workspace size = xmoe::Workspace::measure();
  product(size, xmoe::Groups{groups.count, nullptr, groups.rows});
  xmoe::Workspace scratch(size.peak());
  std::memset(static_cast<void*>(scratch.take<char>(size.peak())), 0xff,
              static_cast<std::size_t>(size.peak()));
  scratch.clear();
  product(scratch, groups);
}

}  // namespace tests
