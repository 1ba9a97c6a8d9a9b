// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/grouped_mma.cuh>

#include "grouped_case.hpp"

namespace {

using namespace tests;
using namespace xmoe::cuda;

// A product in any tile, either form of the columns' operand.
template <class Math, class S, class Tile, Along B, bool Aligned>
std::vector<S> product(const Plan& plan, const Bank<S>& bank, const Matrix<S>& x) {
  using E = Engine<Math, S, Tile, Along::depth, B, Aligned>;
  const int columns = B == Along::depth ? bank.rows : bank.cols;
  const int depth = B == Along::depth ? bank.cols : bank.rows;
  const OnDevice<S> rows(x.numbers);
  const OnDevice<S> out(std::vector<S>(static_cast<std::size_t>(plan.rows * columns), S(-77.f)));
  const RowsArguments<S> arguments{plan.device_offsets.data(),
                                   plan.experts,
                                   rows.data(),
                                   x.stride,
                                   plan.device_token.data(),
                                   bank.device.data(),
                                   bank.view().matrix(),
                                   bank.ld,
                                   columns,
                                   depth};
  xmoe::cuda::detail::launch_rows<E>(nullptr, plan.groups(), arguments,
                                     Store<S>{epilogue_rows(out.data(), columns)});
  return out.numbers();
}

template <class Math, class S, class Tile>
void check() {
  const Plan plan({0, 1, 33, 20}, 40);
  const Bank<S> bank(4, 70, 37, 1);
  for (const bool transposed : {false, true}) {
    CAPTURE(transposed);
    const int depth = transposed ? 70 : 37;
    const int columns = transposed ? 37 : 70;
    const auto x = random_matrix<S>(40, depth, rounded_up(depth, 8), 2);
    std::vector<double> want;
    for (int m = 0; m < plan.rows; ++m) {
      const int e = plan.expert[static_cast<std::size_t>(m)];
      const int t = plan.token[static_cast<std::size_t>(m)];
      for (int j = 0; j < columns; ++j) {
        double sum = 0;
        for (int k = 0; k < depth; ++k) {
          sum += x(t, k) * (transposed ? bank(e, k, j) : bank(e, j, k));
        }
        want.push_back(sum);
      }
    }
    const double allowed = tests::allowed<Kind<Math, S>>(depth);
    if (transposed) {
      require_agreement(product<Math, S, Tile, Along::outer, true>(plan, bank, x), want, allowed);
      require_agreement(product<Math, S, Tile, Along::outer, false>(plan, bank, x), want, allowed);
    } else {
      require_agreement(product<Math, S, Tile, Along::depth, true>(plan, bank, x), want, allowed);
      require_agreement(product<Math, S, Tile, Along::depth, false>(plan, bank, x), want, allowed);
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("mma engine: other tiles and numbers of stages", "[cuda]", float, xmoe::bfloat16,
                   xmoe::half) {
  check<TensorCore, TestType, MmaTile<32, 64, 64, 1, 1, 2, 2>>();
  check<TensorCore, TestType, MmaTile<64, 64, 32, 2, 1, 5, 2>>();
  check<TensorCore, TestType, MmaTile<32, 128, 64, 1, 2, 3, 1>>();
}

TEST_CASE("mma engine: float operands are rounded to tf32", "[cuda]") {
  const Plan plan({3}, 3);
  Matrix<float> x = random_matrix<float>(3, 8, 8, 1);
  Bank<float> bank(1, 5, 8, 2);
  for (float& v : x.numbers) {
    v = v * 1.0001f + 0.0003f;
  }
  const OnDevice<float> rows(x.numbers);
  const OnDevice<float> out(std::vector<float>(15, 0.f));
  grouped_forward<TensorCore>(nullptr, plan.groups(), DeviceRows<float>{rows.data(), 8, nullptr},
                              bank.view(), Store<float>{epilogue_rows(out.data(), 5)});
  const auto tf32 = [](double v) {
    int exponent = 0;
    const double mantissa = std::frexp(v, &exponent);  // 11 bits, halves away from zero
    return std::ldexp(std::round(mantissa * 2048), exponent - 11);
  };
  std::vector<double> rounded, exact;
  for (int m = 0; m < 3; ++m) {
    for (int n = 0; n < 5; ++n) {
      double a = 0, b = 0;
      for (int k = 0; k < 8; ++k) {
        a += tf32(x(m, k)) * bank(0, n, k);
        b += x(m, k) * bank(0, n, k);
      }
      rounded.push_back(a);
      exact.push_back(b);
    }
  }
  require_agreement(out.numbers(), rounded, 1e-6);
  REQUIRE_FALSE(agree(out.numbers(), exact, 1e-6));
}
