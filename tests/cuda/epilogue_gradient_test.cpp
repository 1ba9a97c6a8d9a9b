// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/epilogue_gradient.cuh>

#include "grouped_case.hpp"

namespace {

using namespace tests;
using namespace xmoe::cuda;
using xmoe::activation::Gelu;
using xmoe::activation::Silu;

// dy W2 of plan rows whose dy is gathered by token, and its epilogue's operands. H = 70: three
// segments, the last one cut.
template <class K>
struct Case {
  using S = typename K::scalar;
  using Sum = typename K::sum;
  static constexpr int tokens = 40, dim = 19, hidden = 70, segments = 3;
  int width;  // columns of what backward keeps: H, or 2 H
  Plan plan{{3, 0, 33, 2}, tokens};
  Bank<S> bank{4, dim, hidden, 1};
  Matrix<S> dy, pre;
  std::vector<float> weights;
  OnDevice<S> device_dy, device_pre, dbefore, activation;
  OnDevice<Sum> dots;
  OnDevice<float> weight;

  explicit Case(int width_)
      : width(width_),
        dy(random_matrix<S>(tokens, dim, 24, 2)),
        pre(random_matrix<S>(plan.rows, width_, width_, 3)),
        weights(random_matrix<float>(plan.rows, 1, 1, 4).numbers),
        device_dy(dy.numbers),
        device_pre(pre.numbers),
        dbefore(pre.numbers),
        activation(random_matrix<S>(plan.rows, hidden, hidden, 5).numbers),
        dots(random_matrix<Sum>(plan.rows, segments, segments, 6).numbers),
        weight(weights) {}

  template <class Epilogue>
  void run(const Epilogue& epilogue) const {
    grouped_input_gradient<typename K::math>(
        nullptr, plan.groups(),
        DeviceRows<S>{device_dy.data(), dy.stride, plan.device_token.data()}, bank.view(),
        epilogue);
  }
  double sum(int m, int j) const {
    double result = 0;
    for (int i = 0; i < dim; ++i) {
      result += dy(plan.token[static_cast<std::size_t>(m)], i) *
                bank(plan.expert[static_cast<std::size_t>(m)], i, j);
    }
    return result;
  }
  double w(int m) const { return number(weights[static_cast<std::size_t>(m)]); }
  template <class F>
  std::vector<double> each(int columns, const F& value) const {
    std::vector<double> result;
    for (int m = 0; m < plan.rows; ++m) {
      for (int j = 0; j < columns; ++j) {
        result.push_back(value(m, j));
      }
    }
    return result;
  }
  template <class F>
  std::vector<double> dots_of(const F& value) const {
    return each(segments, [&](int m, int s) {
      double result = 0;
      for (int j = s * 32; j < hidden && j < s * 32 + 32; ++j) {
        result += sum(m, j) * value(m, j);
      }
      return result;
    });
  }
};

}  // namespace

TEMPLATE_TEST_CASE("epilogue: backward of an activation", "[cuda]", ALL_KINDS) {
  using S = typename TestType::scalar;
  using Sum = typename TestType::sum;
  using C = Case<TestType>;
  constexpr int h = C::hidden;
  const C c(h);
  c.run(StoreActivationGradient<Gelu, S, float, Sum>{
      epilogue_rows(static_cast<const S*>(c.device_pre.data()), h),
      epilogue_rows(c.dbefore.data(), h), epilogue_rows(c.activation.data(), h),
      RowWeight<float>{c.weight.data()}, c.dots.data(), C::segments});
  const auto value = [&](int m, int j) { return Gelu::value(c.pre(m, j)); };
  const double allowed = 4 * tests::allowed<TestType>(19);
  require_agreement(
      c.dbefore.numbers(),
      c.each(h, [&](int m, int j) { return c.w(m) * c.sum(m, j) * Gelu::slope(c.pre(m, j)); }),
      allowed);
  require_agreement(c.activation.numbers(),
                    c.each(h, [&](int m, int j) { return c.w(m) * value(m, j); }), allowed);
  require_agreement(c.dots.numbers(), c.dots_of(value), 32 * allowed);

  // without what is optional, the same in place: dbefore may be where the sums' operand lay
  const C other(h);
  other.run(StoreActivationGradient<Gelu, S, float, Sum>{
      epilogue_rows(static_cast<const S*>(other.dbefore.data()), h),
      epilogue_rows(other.dbefore.data(), h),
      {},
      RowWeight<float>{other.weight.data()}});
  require_same_bits(c.dbefore.numbers(), other.dbefore.numbers());
}

TEMPLATE_TEST_CASE("epilogue: backward of gated pairs", "[cuda]", ALL_KINDS) {
  using S = typename TestType::scalar;
  using Sum = typename TestType::sum;
  using C = Case<TestType>;
  constexpr int h = C::hidden;
  const C c(2 * h);
  c.run(StoreGluGradient<Silu, S, float, Sum>{
      epilogue_rows(static_cast<const S*>(c.device_pre.data()), 2 * h),
      epilogue_rows(c.dbefore.data(), 2 * h), epilogue_rows(c.activation.data(), h),
      RowWeight<float>{c.weight.data()}, c.dots.data(), C::segments, h});
  const auto value = [&](int m, int j) { return Silu::value(c.pre(m, j)) * c.pre(m, h + j); };
  const double allowed = 4 * tests::allowed<TestType>(19);
  require_agreement(c.dbefore.numbers(),
                    c.each(2 * h,
                           [&](int m, int j) {
                             const double gate = c.pre(m, j % h);
                             const double up = c.pre(m, h + j % h);
                             const double d = c.w(m) * c.sum(m, j % h);
                             return j < h ? d * up * Silu::slope(gate) : d * Silu::value(gate);
                           }),
                    allowed);
  require_agreement(c.activation.numbers(),
                    c.each(h, [&](int m, int j) { return c.w(m) * value(m, j); }), allowed);
  require_agreement(c.dots.numbers(), c.dots_of(value), 32 * allowed);
}

TEMPLATE_TEST_CASE("epilogue: dots of segments do not depend on the tile", "[cuda]", ALL_KINDS) {
  using S = typename TestType::scalar;
  using Sum = typename TestType::sum;
  using math = typename TestType::math;
  using C = Case<TestType>;
  constexpr int h = C::hidden;
  const auto with = [&](auto engine) {
    const C c(h);
    const RowsArguments<S> arguments{c.plan.device_offsets.data(),
                                     4,
                                     c.device_dy.data(),
                                     24,
                                     c.plan.device_token.data(),
                                     c.bank.device.data(),
                                     c.bank.view().matrix(),
                                     c.bank.ld,
                                     h,
                                     C::dim};
    xmoe::cuda::detail::launch_rows<typename decltype(engine)::type>(
        nullptr, c.plan.groups(), arguments,
        StoreActivationGradient<Gelu, S, float, Sum>{
            epilogue_rows(static_cast<const S*>(c.device_pre.data()), h),
            epilogue_rows(c.dbefore.data(), h),
            {},
            RowWeight<float>{c.weight.data()},
            c.dots.data(),
            C::segments});
    return c.dots.numbers();
  };
  constexpr Along depth = Along::depth;
  constexpr Along outer = Along::outer;
  using Large = typename Tiles<math, S>::large;
  using Small = typename Tiles<math, S>::small;
  const auto large = with(std::type_identity<Engine<math, S, Large, depth, outer, true>>());
  require_same_bits(large, with(std::type_identity<Engine<math, S, Small, depth, outer, true>>()));
  require_same_bits(large, with(std::type_identity<Engine<math, S, Small, depth, outer, false>>()));
}
