// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/grouped_ffn.cuh>

#include "grouped_case.hpp"

namespace {

using namespace tests;
using namespace xmoe::cuda;
using xmoe::activation::Gelu;
using xmoe::activation::Silu;

// Small experts: rows gathered from x, both layers with biases, outputs by plan row.
template <class K, bool Pair>
struct Case {
  using S = typename K::scalar;
  int dim, hidden;
  Plan plan;
  Bank<S> up, down;
  Matrix<S> x, up_bias, down_bias;
  OnDevice<S> device_up_bias, device_down_bias;

  Case(const std::vector<int>& loads, int dim_, int hidden_)
      : dim(dim_),
        hidden(hidden_),
        plan(loads, 70),
        up(plan.experts, (Pair ? 2 : 1) * hidden_, dim_, 1),
        down(plan.experts, dim_, hidden_, 2),
        x(random_matrix<S>(70, dim_, rounded_up(dim_, 8), 3)),
        up_bias(random_matrix<S>(plan.experts, up.rows, up.rows, 4)),
        down_bias(random_matrix<S>(plan.experts, dim_, dim_, 5)),
        device_up_bias(up_bias.numbers),
        device_down_bias(down_bias.numbers) {}

  auto activation(S* out, S* before) const {
    const auto keep = before == nullptr ? EpilogueRows<S>{} : epilogue_rows(before, up.rows);
    if constexpr (Pair) {
      return StoreGlu<Silu, S>{epilogue_rows(out, hidden), keep, device_up_bias.data(), hidden};
    } else {
      return StoreActivation<Gelu, S>{epilogue_rows(out, hidden), keep, device_up_bias.data(),
                                      up.rows};
    }
  }
  auto output(S* out) const {
    return StoreWeighted<S, float>{epilogue_rows(out, dim), device_down_bias.data(), dim, {}};
  }
  std::vector<S> blank(int columns) const {
    return std::vector<S>(static_cast<std::size_t>((plan.rows + 1) * columns), S(-77.f));
  }
  std::vector<S> fused(std::size_t skew, std::vector<S>* before = nullptr) const {
    const OnDevice<S> rows(x.numbers, skew);
    const OnDevice<S> out(blank(dim));
    const OnDevice<S> kept(blank(up.rows));
    grouped_ffn<typename K::math>(
        nullptr, plan.groups(), DeviceRows<S>{rows.data(), x.stride, plan.device_token.data()},
        up.view(), down.view(), activation(nullptr, before == nullptr ? nullptr : kept.data()),
        output(out.data()));
    if (before != nullptr) {
      *before = kept.numbers();
    }
    return out.numbers();
  }
  std::vector<S> two_products(std::vector<S>& before) const {
    const OnDevice<S> rows(x.numbers);
    const OnDevice<S> out(blank(dim));
    const OnDevice<S> kept(blank(up.rows));
    const OnDevice<S> middle(blank(hidden));
    grouped_forward<typename K::math>(
        nullptr, plan.groups(), DeviceRows<S>{rows.data(), x.stride, plan.device_token.data()},
        up.view(), activation(middle.data(), kept.data()));
    grouped_forward<typename K::math>(nullptr, plan.groups(),
                                      DeviceRows<S>{middle.data(), hidden, nullptr}, down.view(),
                                      output(out.data()));
    before = kept.numbers();
    return out.numbers();
  }
  std::vector<double> reference() const {
    std::vector<double> want;
    for (int m = 0; m < plan.rows; ++m) {
      const int e = plan.expert[static_cast<std::size_t>(m)];
      std::vector<double> h;
      const auto pre = [&](int i) {
        double sum = up_bias(e, i);
        for (int k = 0; k < dim; ++k) {
          sum += x(plan.token[static_cast<std::size_t>(m)], k) * up(e, i, k);
        }
        return sum;
      };
      for (int i = 0; i < hidden; ++i) {
        const double value = Pair ? Silu::value(pre(i)) * pre(hidden + i) : Gelu::value(pre(i));
        h.push_back(number(
            S(static_cast<std::conditional_t<std::is_same_v<S, double>, double, float>>(value))));
      }
      for (int n = 0; n < dim; ++n) {
        double sum = down_bias(e, n);
        for (int i = 0; i < hidden; ++i) {
          sum += h[static_cast<std::size_t>(i)] * down(e, n, i);
        }
        want.push_back(sum);
      }
    }
    for (int n = 0; n < dim; ++n) {
      want.push_back(-77.0);  // the row behind the last one
    }
    return want;
  }
};

template <class K, bool Pair>
void check(const std::vector<int>& loads, int dim, int hidden) {
  CAPTURE(loads, dim, hidden, Pair);
  using S = typename K::scalar;
  const Case<K, Pair> c(loads, dim, hidden);
  std::vector<S> before, fused_before;
  const auto fused = c.fused(0, &fused_before);
  // hidden activations lie on the edge between two stored numbers now and then: half a step each;
  // tf32 rounds them as bfloat16 does not
  const double step =
      std::is_same_v<typename K::math, TensorCore> && sizeof(S) == 4 ? 0x1p-11 : rounding<S>();
  require_agreement(fused, c.reference(), step * hidden * 8 + 8 * allowed<K>(dim + hidden));
  require_same_bits(c.two_products(before), fused);
  require_same_bits(before, fused_before);
  require_same_bits(fused, c.fused(1));
  for (const unsigned seed : {1u, 2u}) {
    const Emulated settings(seed);
    require_same_bits(fused, c.fused(0));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("grouped ffn: one launch gives the bits of two products", "[cuda]", ALL_KINDS) {
  check<TestType, false>({0, 1, 31, 32, 33, 65}, 19, 24);
  check<TestType, false>({3, 0, 2}, 40, 37);
  check<TestType, true>({65, 0}, 19, 24);
  check<TestType, true>({3, 0, 2}, 40, 37);
  check<TestType, false>({0, 0}, 8, 8);
}

TEMPLATE_TEST_CASE("grouped ffn: more hidden activations than a tile has columns", "[cuda]",
                   ALL_KINDS) {
  check<TestType, false>({2, 3}, 8, 270);
  check<TestType, true>({2, 3}, 8, 130);
}

TEMPLATE_TEST_CASE("grouped ffn: too many hidden activations are refused", "[cuda]", ALL_KINDS) {
  using S = typename TestType::scalar;
  using math = typename TestType::math;
  STATIC_REQUIRE(grouped_ffn_fits<math, S, false>(256));
  STATIC_REQUIRE(grouped_ffn_fits<math, S, true>(256));
  STATIC_REQUIRE_FALSE(grouped_ffn_fits<math, S, false>(1000));
  const Case<TestType, false> c({1}, 8, 1000);
  REQUIRE_THROWS_AS(c.fused(0), xmoe::shape_error);
}
