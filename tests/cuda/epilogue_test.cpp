// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/epilogue.cuh>

#include "grouped_case.hpp"

namespace {

using namespace tests;
using namespace xmoe::cuda;
using xmoe::activation::Gelu;
using xmoe::activation::Silu;

constexpr int tokens = 40;

template <class S>
std::vector<S> block_of(const std::vector<S>& all, int rows, int cols, int stride) {
  std::vector<S> result;
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < cols; ++j) {
      result.push_back(all[static_cast<std::size_t>(i * stride + j)]);
    }
  }
  return result;
}

// A forward product with everything that its epilogues read and write.
template <class K>
struct Case {
  using S = typename K::scalar;
  int n, k;
  Plan plan{{3, 0, 33, 2}, tokens};
  Bank<S> bank;
  Matrix<S> x, bias;
  OnDevice<S> rows, device_bias;

  Case(int n_, int k_)
      : n(n_),
        k(k_),
        bank(4, n_, k_, 1),
        x(random_matrix<S>(tokens, k_, rounded_up(k_, 8), 2)),
        bias(random_matrix<S>(4, n_, n_, 3)),
        rows(x.numbers),
        device_bias(bias.numbers) {}

  template <class Epilogue>
  void run(const Epilogue& epilogue) const {
    grouped_forward<typename K::math>(
        nullptr, plan.groups(), DeviceRows<S>{rows.data(), x.stride, plan.device_token.data()},
        bank.view(), epilogue);
  }
  OnDevice<S> output(int stride) const {
    return OnDevice<S>(std::vector<S>(static_cast<std::size_t>(plan.rows * stride), S(-77.f)));
  }
  int expert(int m) const { return plan.expert[static_cast<std::size_t>(m)]; }
  double sum(int m, int i) const {
    double result = 0;
    for (int j = 0; j < k; ++j) {
      result += x(plan.token[static_cast<std::size_t>(m)], j) * bank(expert(m), i, j);
    }
    return result;
  }
  template <class F>
  std::vector<double> each(int columns, const F& value) const {
    std::vector<double> result;
    for (int m = 0; m < plan.rows; ++m) {
      for (int i = 0; i < columns; ++i) {
        result.push_back(value(m, i));
      }
    }
    return result;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("epilogue: bias, activation and what backward needs", "[cuda]", ALL_KINDS) {
  using S = typename TestType::scalar;
  for (const int n : {37, 72}) {
    const Case<TestType> c(n, 19);
    for (const bool biased : {false, true}) {
      for (const bool keeps : {false, true}) {
        CAPTURE(n, biased, keeps);
        const OnDevice<S> out = c.output(n + 3);
        const OnDevice<S> before = c.output(n);
        c.run(StoreActivation<Gelu, S>{epilogue_rows(out.data(), n + 3),
                                       keeps ? epilogue_rows(before.data(), n) : EpilogueRows<S>{},
                                       biased ? c.device_bias.data() : nullptr, n});
        const auto pre = [&](int m, int i) {
          return c.sum(m, i) + (biased ? c.bias(c.expert(m), i) : 0.0);
        };
        require_agreement(block_of(out.numbers(), c.plan.rows, n, n + 3),
                          c.each(n, [&](int m, int i) { return Gelu::value(pre(m, i)); }),
                          2 * allowed<TestType>(19));
        require_agreement(before.numbers(),
                          keeps ? c.each(n, pre) : c.each(n, [](int, int) { return -77.0; }),
                          allowed<TestType>(19));
      }
    }
  }
}

TEMPLATE_TEST_CASE("epilogue: gated pairs", "[cuda]", ALL_KINDS) {
  using S = typename TestType::scalar;
  for (const int hidden : {35, 72}) {
    const Case<TestType> c(2 * hidden, 19);
    for (const bool biased : {false, true}) {
      CAPTURE(hidden, biased);
      const OnDevice<S> out = c.output(hidden);
      const OnDevice<S> before = c.output(2 * hidden);
      c.run(StoreGlu<Silu, S>{epilogue_rows(out.data(), hidden),
                              epilogue_rows(before.data(), 2 * hidden),
                              biased ? c.device_bias.data() : nullptr, hidden});
      const auto pre = [&](int m, int i) {
        return c.sum(m, i) + (biased ? c.bias(c.expert(m), i) : 0.0);
      };
      require_agreement(
          out.numbers(),
          c.each(hidden, [&](int m, int i) { return Silu::value(pre(m, i)) * pre(m, hidden + i); }),
          20 * allowed<TestType>(19));
      require_agreement(before.numbers(), c.each(2 * hidden, pre), allowed<TestType>(19));
    }
  }
}

TEMPLATE_TEST_CASE("epilogue: weight of the row, stored by index", "[cuda]", ALL_KINDS) {
  using S = typename TestType::scalar;
  const int n = 40;
  const Case<TestType> c(n, 19);
  std::vector<float> weights;
  std::vector<int> slots;
  for (int m = 0; m < c.plan.rows; ++m) {
    weights.push_back(small_number<float>(5, static_cast<std::uint64_t>(m)));
    slots.push_back((m * 5 + 1) % c.plan.rows);
  }
  const OnDevice<float> weight(weights);
  const OnDevice<int> slot(slots);
  const OnDevice<S> out = c.output(n);
  c.run(StoreWeighted<S, float>{epilogue_rows(out.data(), n, slot.data()), c.device_bias.data(), n,
                                RowWeight<float>{weight.data(), slot.data()}});
  std::vector<double> want(static_cast<std::size_t>(c.plan.rows * n));
  for (int m = 0; m < c.plan.rows; ++m) {
    const auto to = static_cast<std::size_t>(slots[static_cast<std::size_t>(m)]);
    for (int i = 0; i < n; ++i) {
      want[to * static_cast<std::size_t>(n) + static_cast<std::size_t>(i)] =
          number(weights[to]) * (c.sum(m, i) + c.bias(c.expert(m), i));
    }
  }
  require_agreement(out.numbers(), want, 2 * allowed<TestType>(19));
}
