// SPDX-License-Identifier: Apache-2.0
// What the kernels of a plan's rows and the optimizers read and write.
#include <xmoe/backend/cuda/combine.cuh>
#include <xmoe/backend/cuda/optimizer.cuh>

#include "traffic_case.hpp"

namespace tests {
namespace {

using namespace xmoe::cuda;
using xmoe::bfloat16;
using xmoe::device;
using xmoe::MatrixView;

/// T tokens of two rows each: row t, and row T + t.
template <class S>
struct Rows {
  static constexpr int T = 96, K = 2, M = T * K;
  int D;
  OnDevice<S> rows, y;
  OnDevice<float> weight, dweight;
  OnDevice<int> count, offsets, token, slot, row;

  explicit Rows(int dim, std::size_t skew = 0)
      : D(dim),
        rows(random_matrix<S>(M, dim, dim, 1).numbers, skew),
        y(random_matrix<S>(T, dim, dim, 2).numbers, skew),
        weight(std::vector<float>(M, 0.5f)),
        dweight(std::vector<float>(M)),
        count(std::vector<int>(T, K)),
        offsets(std::vector<int>{0, T, M}),
        token(by_row([](int m) { return m % T; })),
        slot(by_row([](int m) { return m % T * K + m / T; })),
        row(by_row([](int i) { return i % K * T + i / K; })) {}

  DeviceRouting<float> routing() const {
    DeviceRouting<float> r{T, 2, K};
    r.count = count.data();
    r.weight = weight.data();
    return r;
  }
  DevicePlan plan() const {
    return {T, 2, K, M, offsets.data(), token.data(), slot.data(), row.data(), nullptr};
  }
  MatrixView<const S, device> rows_in() const { return {rows.data(), M, D}; }
  MatrixView<S, device> rows_out() const { return {rows.data(), M, D}; }
  MatrixView<const S, device> y_in() const { return {y.data(), T, D}; }
  MatrixView<S, device> y_out() const { return {y.data(), T, D}; }

 private:
  template <class F>
  static std::vector<int> by_row(F f) {
    std::vector<int> v;
    for (int m = 0; m < M; ++m) {
      v.push_back(f(m));
    }
    return v;
  }
};

template <class W>
Measured step(int count, std::size_t skew) {
  using S = xmoe::sum_type<W>;
  const auto size = static_cast<std::size_t>(count);
  const OnDevice<W> w(std::vector<W>(size, W(0.5f)), skew);
  const OnDevice<S> g(std::vector<S>(size, S(0.25)), skew), first(std::vector<S>(size), skew),
      second(std::vector<S>(size), skew), master(std::vector<S>(size, S(0.5)), skew);
  DeviceTrained<W> t{w.data(), g.data(), first.data(), second.data(), nullptr, count};
  if (xmoe::NarrowWeight<W>) {
    t.master = master.data();
  }
  return traced([&] { optimizer_step(nullptr, t, AdamStep<S>::of({}, 1)); });
}

}  // namespace

TEMPLATE_TEST_CASE("traffic: rows of a plan", "[cuda]", float, bfloat16) {
  using S = TestType;
  constexpr double s = sizeof(S), T = Rows<S>::T, M = Rows<S>::M;
  const Rows<S> whole(1024 / sizeof(S)), skewed(1024 / sizeof(S), 1);
  const double D = whole.D;
  const auto combined = [](const Rows<S>& r) {
    return traced([&] { combine(nullptr, r.routing(), r.plan(), false, r.rows_in(), r.y_out()); });
  };
  const auto summed = [](const Rows<S>& r) {
    return traced([&] { sum_by_token(nullptr, r.routing(), r.plan(), r.rows_in(), r.y_out()); });
  };
  const auto spread = [](const Rows<S>& r) {
    return traced([&] { spread_rows(nullptr, r.routing(), r.plan(), r.y_in(), r.rows_out()); });
  };
  const auto weights = [](const Rows<S>& r) {
    return traced(
        [&] { weight_gradient(nullptr, r.plan(), r.y_in(), r.rows_in(), r.dweight.data()); });
  };
  require_traffic(combined(whole), traffic::combine(T, D, 2, s, s, 4));
  require_traffic(summed(whole), traffic::sum_by_token(T, D, 2, s, s));
  require_traffic(spread(whole), traffic::spread_rows(T, M, D, s, s, 4));
  require_traffic(weights(whole), traffic::weight_gradient(T, M, D, s, s, 4));
  // off by one number a request begins between sectors
  CHECK_FALSE(keeps(combined(skewed), traffic::combine(T, D, 2, s, s, 4)));
  CHECK_FALSE(keeps(summed(skewed), traffic::sum_by_token(T, D, 2, s, s)));
  CHECK_FALSE(keeps(spread(skewed), traffic::spread_rows(T, M, D, s, s, 4)));
  CHECK_FALSE(keeps(weights(skewed), traffic::weight_gradient(T, M, D, s, s, 4)));
}

TEST_CASE("traffic: a step of an optimizer", "[cuda]") {
  require_traffic(step<float>(4096, 0), traffic::optimizer(4096, 4, 4, 2, false));
  require_traffic(step<bfloat16>(4096, 0), traffic::optimizer(4096, 2, 4, 2, true));
  CHECK_FALSE(keeps(step<float>(4096, 1), traffic::optimizer(4096, 4, 4, 2, false)));
  CHECK_FALSE(keeps(step<bfloat16>(4096, 1), traffic::optimizer(4096, 2, 4, 2, true)));
}

}  // namespace tests
