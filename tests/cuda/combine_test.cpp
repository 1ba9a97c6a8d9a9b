// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/combine.cuh>
#include <xmoe/backend/cuda/sort.cuh>

#include "plan_case.hpp"

namespace tests {
namespace {

using xmoe::MatrixView;
using Wishes = std::vector<std::vector<Wish>>;

/// Storage of activations and the type in which they are summed.
template <class S_, class F_>
struct Stored {
  using S = S_;  ///< of y and dy
  using F = F_;  ///< of rows
  using R = xmoe::routing_scalar<S>;
};

/// A routing and its dropless plan on both sides; some rows may then be dropped.
template <class R>
struct Meeting {
  xmoe::Routing<R> routing;
  Work<R> work;
  xmoe::PlanView plan;
  SlotsOnDevice<R> slots;
  PlanOnDevice device;

  Meeting(int experts, int width, const Wishes& wishes)
      : routing(routing_of<R>(experts, wishes)),
        slots(routing, width),
        device(slots.tokens, experts, width, slots.tokens * width) {
    work.keep = xmoe::Workspace(index(1) << 24);
    auto ctx = work.context();
    plan = xmoe::dispatch::Dropless{}.plan(ctx, routing.view(), experts);
    const OnDevice<int> scratch(
        std::vector<int>(xmoe::cuda::sort_scratch_bytes(slots.tokens, experts) / sizeof(int), 0));
    xmoe::cuda::sort_by_expert(nullptr, slots.view(), 0, device.view(), scratch.data());
  }
  int rows() const { return static_cast<int>(plan.kept); }
  R row_weight(index m) const { return routing.view().weight[plan.assignment[m]]; }
  std::size_t slot(index m) const {
    const index t = plan.token[m];
    return static_cast<std::size_t>(t * slots.width + plan.assignment[m] - routing.view().begin(t));
  }
};

template <class T>
auto view_of(const OnDevice<T>& on_device, int rows, const Matrix<T>& m) {
  return MatrixView<T, xmoe::device>(on_device.data(), rows, m.cols, m.stride);
}
template <class T>
MatrixView<const T, xmoe::device> reading(const MatrixView<T, xmoe::device>& m) {
  return m;
}
template <class T, class Sum>
T stored(Sum x) {
  return xmoe::cuda::from_sum<T>(x);
}

/// Numbers of a matrix as they are summed, with any magnitudes and bits.
template <class T>
Matrix<T> any_matrix(int rows, int cols, int stride, std::uint64_t seed) {
  Generator random(seed);
  Matrix<T> m = random_matrix<T>(rows, cols, stride, seed);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < cols; ++j) {
      m.numbers[static_cast<std::size_t>(i * stride + j)] =
          stored<T>(static_cast<xmoe::routing_scalar<T>>(random.normal()));
    }
  }
  return m;
}

/// y by core/row_sum.hpp, in the type of sums.
template <class K>
std::vector<typename K::S> combined_by_cpu(const Meeting<typename K::R>& m,
                                           const Matrix<typename K::F>& f, int stride,
                                           bool weighted) {
  using Sum = typename K::R;
  std::vector<Sum> sums(static_cast<std::size_t>(m.slots.tokens * stride), Sum(-4));
  std::vector<Sum> weight;
  for (index r = 0; r < m.plan.kept; ++r) {
    weight.push_back(m.row_weight(r));
  }
  const xmoe::RowSum<Sum, Sum> sum{m.plan.token, weighted ? nullptr : weight.data(),
                                   MatrixView<Sum>(sums.data(), m.slots.tokens, f.cols, stride)};
  sum.clear();
  for (int r = 0; r < m.rows(); ++r) {
    std::vector<Sum> row;
    for (int d = 0; d < f.cols; ++d) {
      row.push_back(static_cast<Sum>(f(r, d)));
    }
    sum.add(r, 0, f.cols, row.data());
  }
  std::vector<typename K::S> y;
  for (const Sum s : sums) {
    y.push_back(stored<typename K::S>(s));
  }
  return y;
}

template <class K>
void check(const Wishes& wishes, int experts, int width, int dim, int stride, std::size_t skew) {
  using S = typename K::S;
  using F = typename K::F;
  using R = typename K::R;
  Meeting<R> m(experts, width, wishes);
  const int tokens = m.slots.tokens;
  const auto f = any_matrix<F>(m.rows() + 2, dim, stride, 3);
  const OnDevice<F> rows(f.numbers, skew);
  const auto f_view = reading(view_of(rows, m.rows() + 2, f));
  const std::size_t y_size = static_cast<std::size_t>(tokens * stride);
  const auto y_shape = Matrix<S>{tokens, dim, stride, {}};

  for (const bool weighted : {false, true}) {
    const auto run = [&](unsigned seed) {
      const Emulated emulated(seed);
      const OnDevice<S> y(std::vector<S>(y_size, stored<S>(R(-4))), skew);
      xmoe::cuda::combine(nullptr, m.slots.view(), m.device.view(), weighted, f_view,
                          view_of(y, tokens, y_shape));
      return y.numbers();
    };
    require_same_bits(run(0), combined_by_cpu<K>(m, f, stride, weighted));
    require_same_bits(run(4), run(0));
  }

  // dx, in the order of the routing
  std::vector<S> dx_want(y_size, stored<S>(R(-4)));
  for (int t = 0; t < tokens; ++t) {
    for (int d = 0; d < dim; ++d) {
      R sum = R(0);
      for (index a = m.routing.view().begin(t); a < m.routing.view().end(t); ++a) {
        sum += static_cast<R>(f(static_cast<int>(m.plan.row[a]), d));
      }
      dx_want[static_cast<std::size_t>(t * stride + d)] = stored<S>(sum);
    }
  }
  const OnDevice<S> dx(std::vector<S>(y_size, stored<S>(R(-4))), skew);
  xmoe::cuda::sum_by_token(nullptr, m.slots.view(), m.device.view(), f_view,
                           view_of(dx, tokens, y_shape));
  require_same_bits(dx.numbers(), dx_want);
  if constexpr (std::is_same_v<S, R> && std::is_same_v<F, R>) {  // and that of the CPU backend
    std::vector<R> dx_cpu(y_size, R(-4));
    const auto routing = m.routing.view();
    m.work.backend.template sum_by_token<R>(
        routing.offsets, m.plan.row, MatrixView<const R>(f.numbers.data(), m.rows(), dim, stride),
        MatrixView<R>(dx_cpu.data(), tokens, dim, stride));
    require_same_bits(dx.numbers(), dx_cpu);
  }

  // drows and dweight
  const auto dy = any_matrix<S>(tokens, dim, stride, 5);
  const OnDevice<S> dy_device(dy.numbers, skew);
  const auto dy_view = reading(view_of(dy_device, tokens, dy));
  std::vector<F> drows_want(static_cast<std::size_t>((m.rows() + 2) * stride), stored<F>(R(-4)));
  std::vector<R> dweight_want(static_cast<std::size_t>(tokens * width), R(0));
  for (int r = 0; r < m.rows(); ++r) {
    const int t = m.plan.token[r];
    std::vector<R> a, b;
    for (int d = 0; d < dim; ++d) {
      a.push_back(static_cast<R>(dy(t, d)));
      b.push_back(static_cast<R>(f(r, d)));
      drows_want[static_cast<std::size_t>(r * stride + d)] =
          stored<F>(m.row_weight(r) * static_cast<R>(dy(t, d)));
    }
    R sums[32] = {};
    for (int d = 0; d < dim; ++d) {
      sums[d % 32] = xmoe::cuda::multiply_add(a[static_cast<std::size_t>(d)],
                                              b[static_cast<std::size_t>(d)], sums[d % 32]);
    }
    for (int n = 16; n > 0; n /= 2) {
      for (int j = 0; j < n; ++j) {
        sums[j] += sums[j + n];
      }
    }
    if constexpr (std::is_same_v<R, float>) {
      REQUIRE(sums[0] == xmoe::math::dot(a.data(), b.data(), dim));
    }
    dweight_want[m.slot(r)] = sums[0];
  }
  const auto drows_shape = Matrix<F>{m.rows() + 2, dim, stride, {}};
  for (const unsigned seed : {0u, 8u}) {
    const Emulated emulated(seed, 1);
    const OnDevice<F> drows(std::vector<F>(drows_want.size(), stored<F>(R(-4))), skew);
    const OnDevice<R> dweight(std::vector<R>(dweight_want.size(), R(-4)));
    xmoe::cuda::spread_rows(nullptr, m.slots.view(), m.device.view(), dy_view,
                            view_of(drows, m.rows() + 2, drows_shape));
    xmoe::cuda::weight_gradient(nullptr, m.device.view(), dy_view, f_view, dweight.data());
    require_same_bits(drows.numbers(), drows_want);
    require_same_bits(dweight.numbers(), dweight_want);
  }
}

using xmoe::bfloat16;
using xmoe::half;

}  // namespace

TEMPLATE_TEST_CASE("combine: the CPU's sums, and their gradients", "[cuda]", (Stored<float, float>),
                   (Stored<double, double>), (Stored<bfloat16, float>),
                   (Stored<bfloat16, bfloat16>), (Stored<half, half>)) {
  for (const int tokens : emulation::sizes({0, 1, 31, 33}, {0, 33})) {
    for (const int dim : emulation::sizes({1, 24, 200, 530}, {1, 200})) {
      INFO("T " << tokens << ", D " << dim);
      Generator random(static_cast<std::uint64_t>(tokens + dim));
      check<TestType>(random_wishes(random, tokens, 8, 3, false), 8, 4, dim, rounded_up(dim, 8), 0);
    }
  }
  Generator random(1);
  check<TestType>(random_wishes(random, 40, 70, 70, false), 70, 70, 24, 24, 0);  // beyond a warp
  check<TestType>(random_wishes(random, 20, 8, 8, true), 8, 8, 33, 35, 1);       // not aligned
  Wishes twice = random_wishes(random, 20, 5, 2, false);
  twice[2] = {{2, 0.5}, {1, 0.4}, {2, 0.3}};
  twice[3] = {};
  check<TestType>(twice, 5, 3, 40, 40, 0);
}

TEST_CASE("combine: dropped rows take no part", "[cuda]") {
  Meeting<float> m(3, 2, {{{0, 0.5}, {1, 0.25}}, {{1, 2.0}, {0, 4.0}}, {{2, 1.0}}});
  // rows by hand: token 0 keeps its second choice, token 1 its first, token 2 nothing
  const OnDevice<int> row(std::vector<int>{-1, 0, 1, -1, -1, 99});
  const OnDevice<int> offsets(std::vector<int>{0, 0, 2, 2}), slot(std::vector<int>{1, 2}),
      token(std::vector<int>{0, 1});
  const xmoe::cuda::DevicePlan plan{3,           3,         2, 2, offsets.data(), token.data(),
                                    slot.data(), row.data()};
  const OnDevice<float> rows(std::vector<float>{8, 16, 32, 64}), y(std::vector<float>(6, -1.f));
  const OnDevice<float> dweight(std::vector<float>(6, -1.f)), dx(std::vector<float>(6, -1.f));
  const MatrixView<const float, xmoe::device> in(rows.data(), 2, 2);
  xmoe::cuda::combine(nullptr, m.slots.view(), plan, false, in,
                      MatrixView<float, xmoe::device>(y.data(), 3, 2));
  xmoe::cuda::sum_by_token(nullptr, m.slots.view(), plan, in,
                           MatrixView<float, xmoe::device>(dx.data(), 3, 2));
  REQUIRE(y.numbers() == std::vector<float>{2, 4, 64, 128, 0, 0});
  REQUIRE(dx.numbers() == std::vector<float>{8, 16, 32, 64, 0, 0});
  xmoe::cuda::weight_gradient(nullptr, plan, MatrixView<const float, xmoe::device>(y.data(), 3, 2),
                              in, dweight.data());
  const auto d = dweight.numbers();
  REQUIRE(std::vector<float>(d.begin(), d.begin() + 5) ==
          std::vector<float>{0, 2 * 8 + 4 * 16, 64 * 32 + 128 * 64, 0, 0});
}

}  // namespace tests
