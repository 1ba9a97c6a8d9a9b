// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "backend/cpu/product_case.hpp"

// The product whose rows meet by token.
namespace tests {

/// Rows of a plan in the form that the combining product reads.
template <class W, class S>
void pack_rows(const xmoe::cpu::PackedRows<W>& packed, const xmoe::Groups& groups, xmoe::Rows<S> a,
               index cols) {
  for (index g = 0; g < groups.count; ++g) {
    const index total = groups.offsets[g + 1] - groups.offsets[g];
    const xmoe::cpu::Split blocks{total, xmoe::cpu::ceil_div(total, xmoe::cpu::Tile<W>::max_rows)};
    for (index b = 0; b < blocks.parts; ++b) {
      packed.pack(groups.offsets[g] + blocks.begin(b), blocks.size(b), a, cols);
    }
  }
}

/// Everything about the way into the output: [T, D] behind NaN, D the rows of the weights.
template <class S>
struct Summing {
  index tokens;
  std::vector<std::int32_t> token;  ///< [M]
  std::vector<S> weight;            ///< [M]
  xmoe::Panels<S> bias;
};
template <class W, class S>
std::vector<S> run_combine(index threads, const Loads& loads, xmoe::Rows<S> a,
                           const xmoe::Panels<W>& w, const Summing<S>& s) {
  const xmoe::cpu::Backend backend(threads);
  std::vector<S> out(static_cast<std::size_t>(s.tokens * w.rows()),
                     std::numeric_limits<S>::quiet_NaN());
  const xmoe::RowSum<S> result{s.token.data(), s.weight.data(),
                               xmoe::Out<S>(out.data(), s.tokens, w.rows())};
  on_exact_scratch(
      [&](xmoe::Workspace& scratch, xmoe::Groups groups) {
        const auto packed =
            backend.template packed_rows<W>(scratch, groups.rows, w.cols(), groups.first);
        if (!scratch.measuring()) {
          pack_rows(packed, groups, a, w.cols());
        }
        backend.grouped_combine(scratch, groups, packed, w, s.bias, false, result);
      },
      loads.groups());
  return out;
}

/// Rows of a plan, and where they meet: every fifth token has no row, some have two in one group.
template <class S>
struct CombineCase {
  Loads loads;
  index tokens;
  RowsCase<S> a;
  xmoe::Panels<S> w, bias;
  std::vector<std::int32_t> token;
  std::vector<S> weight;
  bool add;
  std::vector<S> start;  ///< [tokens, dim]

  CombineCase(std::uint64_t seed, const Loads& l, index t, index dim, index cols,
              bool biased = true, bool adds = false)
      : CombineCase(Generator(seed), l, t, dim, cols, biased, adds) {}
  index dim() const { return w.rows(); }

 private:
  CombineCase(Generator random, const Loads& l, index t, index dim, index cols, bool biased,
              bool adds)
      : loads(l),
        tokens(t),
        a(random, l.rows(), cols, true),
        w(random_panels<S>(random, l.count(), dim, cols)),
        bias(biased ? random_panels<S>(random, l.count(), dim, 1) : xmoe::Panels<S>()),
        weight(narrow<S>(normals(random, l.rows()))),
        add(adds),
        start(narrow<S>(normals(random, t * dim))) {
    for (index m = 0; m < l.rows(); ++m) {
      const index any = random.below(t);
      token.push_back(static_cast<std::int32_t>(any % 5 == 3 ? any - 1 : any));
    }
    for (std::size_t g = 0; g + 1 < l.offsets.size(); ++g) {  // ascending inside of a group
      std::sort(token.begin() + l.offsets[g], token.begin() + l.offsets[g + 1]);
    }
  }
};

/// One chain a row, and one over the rows of a token in the order of the plan, or backwards.
template <class S>
std::vector<S> combine_chains(const CombineCase<S>& p, Rounding inner, Rounding outer,
                              bool backwards = false) {
  std::vector<S> out = p.start;
  if (!p.add) {
    std::fill(out.begin(), out.end(), S(0));
  }
  for (index i = 0; i < p.loads.rows(); ++i) {
    const index m = backwards ? p.loads.rows() - 1 - i : i;
    const index g = p.loads.group_of(m);
    const auto row = static_cast<std::size_t>(m);
    for (index n = 0; n < p.dim(); ++n) {
      S sum = S(0);
      for (index k = 0; k < p.w.cols(); ++k) {
        sum = chain_step(inner, p.a.at(m, k), p.w.at(g, n, k), sum);
      }
      if (p.bias.count() > 0) {
        sum += p.bias.at(g, n);
      }
      S& to = out[static_cast<std::size_t>(p.token[row] * p.dim() + n)];
      to = chain_step(outer, p.weight.empty() ? S(1) : p.weight[row], sum, to);
    }
  }
  return out;
}

}  // namespace tests
