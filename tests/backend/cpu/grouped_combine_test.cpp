// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/grouped_combine.hpp>

#include <algorithm>

#include "backend/cpu/combine_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

using tests::combine_chains;
using tests::CombineCase;
using tests::Loads;
using tests::Rounding;
using tests::same_bits;

/// The output [tokens, dim], in rows `gap` further apart; full of NaN before unless it is added to.
template <class S>
std::vector<S> run(index threads, const CombineCase<S>& p, index gap = 0, index cut = -1) {
  const cpu::Backend backend(threads);
  const index stride = p.dim() + gap;
  const S nan = std::numeric_limits<S>::quiet_NaN();
  std::vector<S> out(static_cast<std::size_t>(p.tokens * stride), nan);
  for (index t = 0; p.add && t < p.tokens; ++t) {
    std::copy_n(p.start.begin() + t * p.dim(), p.dim(), out.begin() + t * stride);
  }
  const RowSum<S> result{p.token.data(), p.weight.empty() ? nullptr : p.weight.data(),
                         Out<S>(out.data(), p.tokens, p.dim(), stride)};
  const auto wave = [&](const Groups& rows, bool add) {
    tests::on_exact_scratch(
        [&](Workspace& scratch, Groups groups) {
          groups.first = rows.first;
          const auto packed =
              backend.template packed_rows<S>(scratch, groups.rows, p.w.cols(), groups.first);
          if (!scratch.measuring()) {
            tests::pack_rows(packed, groups, p.a.rows(), p.w.cols());
          }
          backend.grouped_combine(scratch, groups, packed, p.w, p.bias, add, result);
        },
        rows);
  };
  if (cut < 0) {
    wave(p.loads.groups(), p.add);
  } else {  // the plan in two runs of rows
    std::vector<index> before = p.loads.offsets, after = p.loads.offsets;
    for (std::size_t g = 0; g < before.size(); ++g) {
      before[g] = std::min(before[g], cut);
      after[g] = std::max(after[g], cut);
    }
    wave({p.loads.count(), before.data(), cut, 0}, p.add);
    wave({p.loads.count(), after.data(), p.loads.rows() - cut, cut}, true);
  }
  std::vector<S> dense;
  index touched = 0;
  for (index t = 0; t < p.tokens; ++t) {
    const auto row = out.begin() + t * stride;
    dense.insert(dense.end(), row, row + p.dim());
    touched += gap - std::count_if(row + p.dim(), row + stride, [](S v) { return std::isnan(v); });
  }
  CHECK(touched == 0);  // nothing is written between the rows
  return dense;
}

template <class S>
bool is_chain(const std::vector<S>& got, const CombineCase<S>& p, bool backwards = false) {
  for (const Rounding inner : {Rounding::fused, Rounding::separate}) {
    for (const Rounding outer : {Rounding::fused, Rounding::separate}) {
      if (same_bits(got, combine_chains(p, inner, outer, backwards))) {
        return true;
      }
    }
  }
  return false;
}

template <class S>
bool same_for_threads(const std::vector<S>& one, const CombineCase<S>& p) {
  return same_bits(one, run(2, p)) && same_bits(one, run(3, p)) && same_bits(one, run(8, p));
}

TEMPLATE_TEST_CASE("combine: chains in the order of the plan, whatever the cut",
                   "[backend][threads]", float, double) {
  using S = TestType;
  const Loads loads({3, 0, 1, 14, 0, 90, 12});
  std::uint64_t seed = 0;
  for (const index dim : {1, 15, 16, 31, 32, 33, 70}) {
    for (const index cols : {1, 7, 33, 100}) {
      ++seed;
      const CombineCase<S> p(seed, loads, 40, dim, cols, seed % 2 == 0, seed % 3 == 0);
      INFO(dim << " x " << cols << ", bias " << p.bias.count() << ", add " << p.add);
      const std::vector<S> one = run(1, p);
      CHECK(is_chain(one, p));
      CHECK_FALSE(is_chain(one, p, true));
      tests::check_close<S>("out", tests::wide(one),
                            tests::wide(combine_chains(p, Rounding::separate, Rounding::separate)),
                            cols + 10);
      CHECK(same_for_threads(one, p));
      CHECK(same_bits(one, run(2, p, 5)));
    }
  }
}

TEMPLATE_TEST_CASE("combine: tokens without rows are zero, or left as they are", "[backend]", float,
                   double) {
  using S = TestType;
  for (const bool add : {false, true}) {
    const CombineCase<S> p(1, Loads({20, 30}), 60, 37, 9, true, add);
    const std::vector<S> got = run(2, p, 3);
    index idle = 0, wrong = 0;
    for (index t = 0; t < p.tokens; ++t) {
      if (std::find(p.token.begin(), p.token.end(), t) != p.token.end()) {
        continue;
      }
      ++idle;
      for (index n = 0; n < p.dim(); ++n) {
        const auto i = static_cast<std::size_t>(t * p.dim() + n);
        const S want = add ? p.start[i] : S(0);
        wrong += std::memcmp(&got[i], &want, sizeof(S)) == 0 ? 0 : 1;
      }
    }
    CHECK(idle >= 12);
    CHECK(wrong == 0);
    const CombineCase<S> none(2, Loads({0, 0, 0}), 7, 37, 9, true, add);
    CHECK(same_bits(run(2, none, 1), add ? none.start : std::vector<S>(7 * 37, S(0))));
  }
}

TEMPLATE_TEST_CASE("combine: more threads than columns", "[backend][threads]", float, double) {
  using S = TestType;
  std::uint64_t seed = 100;
  const Loads loads({300, 0, 80, 1, 500, 7});
  for (const index tokens : {1, 63, 64, 65, 128, 129, 500, 1300}) {
    for (const index dim : {1, 20, 40}) {
      ++seed;
      const CombineCase<S> p(seed, loads, tokens, dim, dim == 1 ? 501 : 40, seed % 2 == 0,
                             seed % 3 == 0);
      INFO(tokens << " tokens, " << dim << " columns");
      const std::vector<S> one = run(1, p);
      CHECK(same_for_threads(one, p));
      CHECK(same_bits(one, run(8, p, 2)));
      if (tokens == 129) {
        CHECK(is_chain(one, p));
      }
    }
  }
}

TEMPLATE_TEST_CASE("combine: a long contraction", "[backend][threads]", float, double) {
  const CombineCase<TestType> p(200, Loads({30, 1}), 30, 290, 1701);
  const std::vector<TestType> one = run(1, p);
  CHECK(is_chain(one, p));
  CHECK(same_for_threads(one, p));
}

TEMPLATE_TEST_CASE("combine: runs of rows one after the other", "[backend][threads]", float,
                   double) {
  using S = TestType;
  const Loads loads({3, 0, 17, 100, 0, 9});
  for (const bool add : {false, true}) {
    const CombineCase<S> p(300, loads, 25, 50, 66, true, add);
    const std::vector<S> whole = run(1, p);
    for (const index cut : {1, 3, 4, 20, 21, 77, 119, 120, 128}) {
      INFO("cut at " << cut);
      CHECK(same_bits(whole, run(1, p, 0, cut)));
      CHECK(same_bits(whole, run(3, p, 0, cut)));
    }
  }
}

TEMPLATE_TEST_CASE("combine: scratch for many rows is enough for few", "[backend][threads]", float,
                   double) {
  using S = TestType;
  const CombineCase<S> p(350, Loads({3, 0, 5}), 1000, 512, 16);
  const std::vector<S> want = run(1, p);
  for (const index threads : {1, 2, 8}) {
    const cpu::Backend backend(threads);
    std::vector<S> out(want.size());
    const RowSum<S> result{p.token.data(), p.weight.data(), Out<S>(out.data(), 1000, 512)};
    const auto product = [&](Workspace& scratch, const Groups& groups) {
      const auto packed = backend.template packed_rows<S>(scratch, groups.rows, 16, 0);
      if (!scratch.measuring()) {
        tests::pack_rows(packed, groups, p.a.rows(), 16);
      }
      backend.grouped_combine(scratch, groups, packed, p.w, p.bias, false, result);
    };
    Workspace size = Workspace::measure();
    product(size, {3, nullptr, 3000});
    Workspace scratch(size.peak());
    INFO(threads << " threads, " << size.peak() << " bytes");
    CHECK_NOTHROW(product(scratch, p.loads.groups()));
    CHECK(same_bits(out, want));
  }
}

TEMPLATE_TEST_CASE("combine: no weights count as ones", "[backend]", float, double) {
  using S = TestType;
  CombineCase<S> p(400, Loads({5, 6}), 8, 33, 12);
  std::fill(p.weight.begin(), p.weight.end(), S(1));
  const std::vector<S> ones = run(1, p);
  p.weight.clear();
  CHECK(same_bits(ones, run(2, p)));
  CHECK(is_chain(ones, p));
}

TEMPLATE_TEST_CASE("combine: a wrong weight or bias is noticed", "[backend]", float, double) {
  using S = TestType;
  const CombineCase<S> right(500, Loads({5, 6}), 8, 33, 12);
  const std::vector<S> got = run(1, right);
  CombineCase<S> wrong = right;
  wrong.weight[3] *= S(1.001);
  CHECK_FALSE(is_chain(got, wrong));
  wrong = right;
  wrong.bias.at(1, 32) += S(0.001);
  CHECK_FALSE(is_chain(got, wrong));
  wrong = right;
  std::swap(wrong.token[4], wrong.token[5]);
  CHECK(is_chain(got, wrong) == (right.token[4] == right.token[5]));
}

}  // namespace
}  // namespace xmoe
