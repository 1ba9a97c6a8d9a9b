// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/grouped_kernels.cuh>

#include "grouped_case.hpp"

namespace {

using namespace tests;
using namespace xmoe::cuda;

}  // namespace

TEMPLATE_TEST_CASE("grouped column sums and row dots: plain loops agree", "[cuda]", float, double,
                   xmoe::bfloat16, xmoe::half) {
  using S = TestType;
  using Sum = xmoe::sum_type<S>;
  using K = Kind<Simt, S>;
  const Plan plan({5, 0, 33, 2}, 40);
  const int n = 130;
  const auto x = random_matrix<S>(40, n, n + 1, 1);
  const OnDevice<S> rows(x.numbers, 1);
  const DeviceRows<S> view{rows.data(), x.stride, plan.device_token.data()};
  std::vector<float> weights;
  std::vector<int> slots;
  for (int m = 0; m < plan.rows; ++m) {
    weights.push_back(small_number<float>(3, static_cast<std::uint64_t>(m)));
    slots.push_back((m + 11) % plan.rows);
  }
  const OnDevice<float> weight(weights);
  const OnDevice<int> slot(slots);

  for (const bool accumulate : {false, true}) {
    const std::vector<S> start(static_cast<std::size_t>(plan.experts * n), S(0.5f));
    const OnDevice<S> sums(start);
    grouped_column_sums<Sum>(nullptr, plan.groups(), view,
                             RowWeight<float>{weight.data(), slot.data()}, n, sums.data(),
                             accumulate);
    std::vector<double> want;
    for (int e = 0; e < plan.experts; ++e) {
      for (int j = 0; j < n; ++j) {
        double sum = accumulate ? 0.5 : 0.0;
        for (int m = plan.offsets[static_cast<std::size_t>(e)];
             m < plan.offsets[static_cast<std::size_t>(e) + 1]; ++m) {
          const auto at = static_cast<std::size_t>(slots[static_cast<std::size_t>(m)]);
          sum += number(weights[at]) * x(plan.token[static_cast<std::size_t>(m)], j);
        }
        want.push_back(sum);
      }
    }
    require_agreement(sums.numbers(), want, allowed<K>(33));
  }

  const int segments = 3;
  const auto parts = random_matrix<Sum>(plan.rows, segments, segments, 9);
  const auto bias = random_matrix<S>(plan.experts, n, n, 10);
  const OnDevice<Sum> device_parts(parts.numbers);
  const OnDevice<S> device_bias(bias.numbers);
  for (const bool biased : {false, true}) {
    const OnDevice<Sum> out(std::vector<Sum>(static_cast<std::size_t>(plan.rows), Sum(0)));
    grouped_row_dots(nullptr, plan.groups(), static_cast<const Sum*>(device_parts.data()), segments,
                     view, biased ? static_cast<const S*>(device_bias.data()) : nullptr, n,
                     out.data(), slot.data());
    std::vector<double> want(static_cast<std::size_t>(plan.rows), 0.0);
    for (int m = 0; m < plan.rows; ++m) {
      const auto row = static_cast<std::size_t>(m);
      double sum = 0;
      for (int s = 0; s < segments; ++s) {
        sum += parts(m, s);
      }
      for (int j = 0; j < n && biased; ++j) {
        sum += x(plan.token[row], j) * bias(plan.expert[row], j);
      }
      want[static_cast<std::size_t>(slots[row])] = sum;
    }
    require_agreement(out.numbers(), want, allowed<K>(n));
  }
}
