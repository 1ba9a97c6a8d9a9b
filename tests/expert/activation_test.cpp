// SPDX-License-Identifier: Apache-2.0
#include <xmoe/expert/activation.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using namespace activation;

/// An activation, its oracle, and values from tables: at -3, -1, -0.5, 0, 0.5, 1, 3.
struct Entry {
  const char* name;
  float (*value)(float);
  float (*slope)(float);
  double (*value_double)(double);
  double (*slope_double)(double);
  reference::Activation oracle;
  double table[7];
};
template <class A>
constexpr Entry entry(const char* name, reference::Activation oracle, const double (&t)[7]) {
  return {name,
          &A::template value<float>,
          &A::template slope<float>,
          &A::template value<double>,
          &A::template slope<double>,
          oracle,
          {t[0], t[1], t[2], t[3], t[4], t[5], t[6]}};
}
const std::vector<Entry>& entries() {
  using K = reference::Activation;
  static const std::vector<Entry> all = {
      entry<Identity>("identity", K::identity, {-3, -1, -0.5, 0, 0.5, 1, 3}),
      entry<Relu>("relu", K::relu, {0, 0, 0, 0, 0.5, 1, 3}),
      entry<SquaredRelu>("squared relu", K::squared_relu, {0, 0, 0, 0, 0.25, 1, 9}),
      entry<Silu>("silu", K::silu,
                  {-0.14227761953270035, -0.2689414213699951, -0.1887703343990727, 0,
                   0.3112296656009273, 0.7310585786300049, 2.8577223804673}),
      entry<Gelu>("gelu", K::gelu_tanh,
                  {-0.00363739208, -0.15880800939, -0.15428599018, 0, 0.34571400982, 0.84119199061,
                   2.99636260792}),
      entry<GeluErf>("gelu erf", K::gelu_erf,
                     {-0.00404969409, -0.15865525393, -0.15426876936, 0, 0.34573123064,
                      0.84134474607, 2.99595030591})};
  return all;
}

TEST_CASE("activation: tabulated", "[expert]") {
  const double points[7] = {-3, -1, -0.5, 0, 0.5, 1, 3};
  for (const Entry& a : entries()) {
    for (int i = 0; i < 7; ++i) {
      INFO(a.name << " at " << points[i]);
      CHECK(tests::within(a.value_double(points[i]), a.table[i], 1e-10));
      CHECK(tests::within(static_cast<double>(a.value(static_cast<float>(points[i]))), a.table[i],
                          8e-7 * (1.0 + std::abs(a.table[i]))));
    }
  }
  CHECK_FALSE(tests::within(entries()[4].value_double(1.0), entries()[5].table[5], 1e-10));
}

TEST_CASE("activation: a fine grid against the oracle", "[expert]") {
  const double eps = 2.3e-16, float_eps = 1.2e-7;
  for (const Entry& a : entries()) {
    for (int i = -480; i <= 480; ++i) {
      const double u = static_cast<double>(i) / 32.0;
      const double scale = 1.0 + std::abs(u);
      INFO(a.name << " at " << u);
      const double v = reference::activate(a.oracle, u);
      const double s = reference::slope(a.oracle, u);
      CHECK(tests::within(a.value_double(u), v, 16 * eps * scale * scale));
      CHECK(tests::within(a.slope_double(u), s, 32 * eps * scale * scale));
      CHECK(tests::within(static_cast<double>(a.value(static_cast<float>(u))), v,
                          16 * float_eps * scale * scale));
      CHECK(tests::within(static_cast<double>(a.slope(static_cast<float>(u))), s,
                          32 * float_eps * scale * scale));
    }
  }
}

TEST_CASE("activation: slopes are the differences of the values", "[expert]") {
  for (const Entry& a : entries()) {
    for (int i = -200; i <= 200; ++i) {
      const double u = static_cast<double>(i) / 20.0 + 0.013;  // away from the kink at 0
      const double h = 1e-5;
      const double numeric = (a.value_double(u + h) - a.value_double(u - h)) / (2.0 * h);
      INFO(a.name << " at " << u);
      CHECK(tests::within(a.slope_double(u), numeric, 1e-8 * (1.0 + std::abs(u))));
    }
  }
  CHECK(Relu::slope(0.0) == 0.0);
  CHECK(SquaredRelu::slope(0.0) == 0.0);
  CHECK(Silu::slope(0.0) == 0.5);
  CHECK(Gelu::slope(0.0) == 0.5);
  CHECK(GeluErf::slope(0.0) == 0.5);
  // twin: the slope of another activation
  CHECK_FALSE(tests::within(Gelu::slope(1.0), GeluErf::slope(1.0), 1e-5));
}

TEMPLATE_TEST_CASE("activation: far out", "[expert]", Identity, Relu, SquaredRelu, Silu, Gelu,
                   GeluErf) {
  using A = TestType;
  const bool straight = std::is_same_v<A, Identity>;
  const bool squared = std::is_same_v<A, SquaredRelu>;
  const auto check = [&](auto zero) {
    using S = decltype(zero);
    for (const S u : {S(100), S(1000), S(1e4)}) {
      CAPTURE(u);
      CHECK(A::value(u) == (squared ? u * u : u));
      CHECK(A::slope(u) == (squared ? S(2) * u : S(1)));
      CHECK(tests::within(double(A::value(-u)), straight ? -double(u) : 0.0, 1e-40));
      CHECK(tests::within(double(A::slope(-u)), straight ? 1.0 : 0.0, 1e-40));
    }
    const S nan = std::numeric_limits<S>::quiet_NaN();
    CHECK(is_nan(A::value(nan)));
    CHECK(A::value(zero) == S(0));
  };
  check(0.f);
  check(0.0);
}

}  // namespace
}  // namespace xmoe
