// SPDX-License-Identifier: Apache-2.0
#include "grouped_case.hpp"

namespace {

using namespace tests;
using namespace xmoe::cuda;

const std::vector<std::vector<int>> loads_of_cases = {
    {0, 1, 31, 32, 33, 65}, {0, 0, 70, 0}, {65}, {0, 0}, {5, 0, 0, 3}, {1, 1, 1, 1}};
struct Size {
  int n, k;
};
const std::vector<Size> sizes = {{37, 19}, {136, 40}, {8, 3}};

// What a product leaves in [rows, cols], rows `stride` apart; the rest must stay as it was.
template <class S>
struct Result {
  int rows, cols, stride;
  OnDevice<S> memory;

  Result(int rows_, int cols_, int stride_)
      : rows(rows_),
        cols(cols_),
        stride(stride_),
        memory(std::vector<S>(static_cast<std::size_t>((rows_ + 7) * stride_), S(-77.f))) {}
  EpilogueRows<S> out() const { return epilogue_rows(memory.data(), stride); }
  std::vector<S> numbers() const {
    const std::vector<S> all = memory.numbers();
    std::vector<S> result;
    for (int i = 0; i < rows + 7; ++i) {
      for (int j = 0; j < stride; ++j) {
        const S x = all[static_cast<std::size_t>(i * stride + j)];
        if (i < rows && j < cols) {
          result.push_back(x);
        } else {
          REQUIRE(number(x) == -77.0);
        }
      }
    }
    return result;
  }
};

template <class K>
std::vector<typename K::scalar> forward(const Plan& plan, const Bank<typename K::scalar>& bank,
                                        const Matrix<typename K::scalar>& x, std::size_t skew,
                                        int gap = 3) {
  using S = typename K::scalar;
  const OnDevice<S> rows(x.numbers, skew);
  const Result<S> result(plan.rows, bank.rows, bank.rows + gap);
  grouped_forward<typename K::math>(nullptr, plan.groups(),
                                    DeviceRows<S>{rows.data(), x.stride, plan.device_token.data()},
                                    bank.view(), Store<S>{result.out()});
  return result.numbers();
}

template <class S>
std::vector<double> forward_reference(const Plan& plan, const Bank<S>& bank, const Matrix<S>& x) {
  std::vector<double> want;
  for (int m = 0; m < plan.rows; ++m) {
    for (int n = 0; n < bank.rows; ++n) {
      double sum = 0;
      for (int k = 0; k < bank.cols; ++k) {
        sum += x(plan.token[static_cast<std::size_t>(m)], k) *
               bank(plan.expert[static_cast<std::size_t>(m)], n, k);
      }
      want.push_back(sum);
    }
  }
  return want;
}

}  // namespace

TEMPLATE_TEST_CASE("grouped forward: plain loops agree", "[cuda]", ALL_KINDS) {
  using S = typename TestType::scalar;
  for (const auto& loads : loads_of_cases) {
    for (const auto [n, k] : sizes) {
      CAPTURE(loads, n, k);
      const Plan plan(loads, 70);
      const Bank<S> bank(plan.experts, n, k, 1);
      const auto x = random_matrix<S>(70, k, rounded_up(k, 8), 2);
      require_agreement(forward<TestType>(plan, bank, x, 0), forward_reference(plan, bank, x),
                        allowed<TestType>(k));
    }
  }
}

TEMPLATE_TEST_CASE(
    "grouped forward: alignment, tiles, blocks, thread order and batch change no bit", "[cuda]",
    ALL_KINDS) {
  using S = typename TestType::scalar;
  using math = typename TestType::math;
  const Plan plan({3, 0, 33, 2}, 40);
  const int k = 75;
  const int n = 70;
  const Bank<S> bank(plan.experts, n, k, 3);
  const auto x = random_matrix<S>(40, k, rounded_up(k, 8), 4);
  const auto want = forward<TestType>(plan, bank, x, 0);

  SECTION("x at the alignment of its element, odd stride") {
    auto odd = random_matrix<S>(40, k, rounded_up(k, 8) + 1, 4);
    for (int i = 0; i < 40; ++i) {
      for (int j = 0; j < k; ++j) {
        odd.numbers[static_cast<std::size_t>(i * odd.stride + j)] =
            x.numbers[static_cast<std::size_t>(i * x.stride + j)];
      }
    }
    require_same_bits(want, forward<TestType>(plan, bank, odd, 1));
    require_same_bits(want, forward<TestType>(plan, bank, x, 1));
  }
  SECTION("aligned and unaligned output") {
    require_same_bits(want, forward<TestType>(plan, bank, x, 0, rounded_up(n, 8) - n + 8));
  }
  SECTION("tiles") {
    const OnDevice<S> rows(x.numbers);
    const RowsArguments<S> arguments{plan.device_offsets.data(),
                                     plan.experts,
                                     rows.data(),
                                     x.stride,
                                     plan.device_token.data(),
                                     bank.device.data(),
                                     bank.view().matrix(),
                                     bank.ld,
                                     n,
                                     k};
    const auto with = [&](auto engine) {
      const Result<S> result(plan.rows, n, n);
      xmoe::cuda::detail::launch_rows<typename decltype(engine)::type>(
          nullptr, plan.groups(), arguments, Store<S>{result.out()});
      return result.numbers();
    };
    constexpr Along depth = Along::depth;
    using Large = typename Tiles<math, S>::large;
    using Small = typename Tiles<math, S>::small;
    using Fused = typename Tiles<math, S>::fused;
    require_same_bits(want, with(std::type_identity<Engine<math, S, Large, depth, depth, true>>()));
    require_same_bits(want, with(std::type_identity<Engine<math, S, Small, depth, depth, true>>()));
    require_same_bits(want, with(std::type_identity<Engine<math, S, Fused, depth, depth, true>>()));
  }
  SECTION("number of blocks") {
    for (const int multiprocessors : {1, 132}) {
      const Emulated settings(0, multiprocessors);
      require_same_bits(want, forward<TestType>(plan, bank, x, 0));
    }
  }
  SECTION("thread order") {
    for (const unsigned seed : {1u, 2u}) {
      const Emulated settings(seed);
      require_same_bits(want, forward<TestType>(plan, bank, x, 0));
    }
  }
  SECTION("a row alone") {
    for (const int m : {0, 2, 20, 35, 37}) {
      std::vector<int> loads(static_cast<std::size_t>(plan.experts), 0);
      loads[static_cast<std::size_t>(plan.expert[static_cast<std::size_t>(m)])] = 1;
      const Plan alone(loads, 1);
      Matrix<S> row{1, k, x.stride, {}};
      const auto begin = x.numbers.begin() + plan.token[static_cast<std::size_t>(m)] * x.stride;
      row.numbers.assign(begin, begin + x.stride);
      require_same_bits(std::vector<S>(want.begin() + m * n, want.begin() + (m + 1) * n),
                        forward<TestType>(alone, bank, row, 0));
    }
  }
}

TEMPLATE_TEST_CASE("grouped input gradient: plain loops agree", "[cuda]", ALL_KINDS) {
  using S = typename TestType::scalar;
  for (const auto& loads : loads_of_cases) {
    for (const auto [n, k] : sizes) {
      CAPTURE(loads, n, k);
      const Plan plan(loads, 70);
      const Bank<S> bank(plan.experts, n, k, 1);
      const auto dy = random_matrix<S>(plan.rows, n, rounded_up(n, 8), 2);
      const auto run = [&](std::size_t skew) {
        const OnDevice<S> rows(dy.numbers, skew);
        const Result<S> result(plan.rows, k, rounded_up(k, 8));
        grouped_input_gradient<typename TestType::math>(
            nullptr, plan.groups(), DeviceRows<S>{rows.data(), dy.stride, nullptr}, bank.view(),
            Store<S>{result.out()});
        return result.numbers();
      };
      std::vector<double> want;
      for (int m = 0; m < plan.rows; ++m) {
        for (int j = 0; j < k; ++j) {
          double sum = 0;
          for (int i = 0; i < n; ++i) {
            sum += dy(m, i) * bank(plan.expert[static_cast<std::size_t>(m)], i, j);
          }
          want.push_back(sum);
        }
      }
      const auto got = run(0);
      require_agreement(got, want, allowed<TestType>(n));
      require_same_bits(got, run(1));
    }
  }
}

TEMPLATE_TEST_CASE("grouped weight gradient: plain loops agree, empty experts as asked", "[cuda]",
                   ALL_KINDS) {
  using S = typename TestType::scalar;
  for (const auto& loads : loads_of_cases) {
    for (const auto [n, k] : sizes) {
      CAPTURE(loads, n, k);
      const Plan plan(loads, 70);
      const auto dy = random_matrix<S>(70, n, rounded_up(n, 8), 1);
      const auto x = random_matrix<S>(plan.rows, k, rounded_up(k, 8), 2);
      const auto run = [&](bool accumulate, std::size_t skew) {
        const Bank<S> dw(plan.experts, n, k, 5);
        const OnDevice<S> outer(dy.numbers, skew);
        const OnDevice<S> inner(x.numbers);
        const DeviceMatrices<S> to{dw.device.data(), plan.experts, n, k, dw.ld};
        grouped_weight_gradient<typename TestType::math>(
            nullptr, plan.groups(),
            DeviceRows<S>{outer.data(), dy.stride, plan.device_token.data()},
            DeviceRows<S>{inner.data(), x.stride, nullptr}, to, accumulate);
        const auto all = dw.device.numbers();
        std::vector<S> result;
        for (int i = 0; i < plan.experts * n; ++i) {
          for (int j = 0; j < dw.ld; ++j) {
            const S number_at = all[static_cast<std::size_t>(i * dw.ld + j)];
            if (j < k) {
              result.push_back(number_at);
            } else {
              REQUIRE(number(number_at) == 0.0);
            }
          }
        }
        return result;
      };
      const Bank<S> before(plan.experts, n, k, 5);
      for (const bool accumulate : {false, true}) {
        std::vector<double> want;
        for (int e = 0; e < plan.experts; ++e) {
          for (int i = 0; i < n; ++i) {
            for (int j = 0; j < k; ++j) {
              double sum = accumulate ? before(e, i, j) : 0.0;
              for (int m = plan.offsets[static_cast<std::size_t>(e)];
                   m < plan.offsets[static_cast<std::size_t>(e) + 1]; ++m) {
                sum += dy(plan.token[static_cast<std::size_t>(m)], i) * x(m, j);
              }
              want.push_back(sum);
            }
          }
        }
        const auto got = run(accumulate, 0);
        require_agreement(got, want, allowed<TestType>(70));
        require_same_bits(got, run(accumulate, 1));
        for (const unsigned seed : {1u, 2u}) {
          const Emulated settings(seed);
          require_same_bits(got, run(accumulate, 0));
        }
      }
    }
  }
}
