// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/math.hpp>

#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/random_case.hpp"
#include "support/tolerance.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

/// Units in the last place between a number and the truth in a wider type.
template <class S>
double ulps(S got, long double truth) {
  const S rounded = static_cast<S>(truth);
  const S next = std::nextafter(rounded, std::numeric_limits<S>::infinity());
  return static_cast<double>(std::fabs(static_cast<long double>(got) - truth) /
                             (static_cast<long double>(next) - static_cast<long double>(rounded)));
}

template <class S, class Function>
double worst(Function f, double low, double high) {
  double most = 0;
  tests::Generator random(7);
  for (int i = 0; i < 20000; ++i) {
    const S x = static_cast<S>(low + (high - low) * random.uniform());
    most = std::max(most, ulps<S>(f(x), std::exp(static_cast<long double>(x))));
  }
  return most;
}

/// Random numbers, and their dot product in double by the plain loop.
template <class S>
struct Pair {
  explicit Pair(xmoe::index n) {
    tests::Generator random(static_cast<std::uint64_t>(n) + 1);
    for (xmoe::index i = 0; i < n; ++i) {
      a.push_back(static_cast<S>(random.normal()));
      b.push_back(static_cast<S>(random.normal()));
      dot += static_cast<double>(a.back()) * static_cast<double>(b.back());
      sum += static_cast<double>(a.back());
      scale += std::abs(static_cast<double>(a.back()) * static_cast<double>(b.back())) +
               std::abs(static_cast<double>(a.back()));
    }
  }
  std::vector<S> a, b;
  double dot = 0;
  double sum = 0;
  double scale = 0;
};

TEMPLATE_TEST_CASE("exp is right to two units in the last place", "[core][math]", float, double) {
  using S = TestType;
  const bool narrow = sizeof(S) == 4;
  const auto ours = [](S x) { return math::exp(x); };
  CHECK(worst<S>(ours, -1, 1) < 2);
  CHECK(worst<S>(ours, narrow ? -87 : -707, narrow ? 88 : 709) < 2);
  // the measure notices an error of a few units
  const auto off = [](S x) { return math::exp(x) * (1 + 8 * std::numeric_limits<S>::epsilon()); };
  CHECK(worst<S>(off, -1, 1) > 2);
}

TEMPLATE_TEST_CASE("exp at the ends of its range", "[core][math]", float, double) {
  using S = TestType;
  using limits = std::numeric_limits<S>;
  CHECK(math::exp(S(0)) == S(1));
  CHECK(math::exp(S(-0.0)) == S(1));
  CHECK(math::exp(limits::denorm_min()) == S(1));
  CHECK(math::exp(-limits::infinity()) == S(0));
  CHECK(math::exp(S(-1e30)) == S(0));
  CHECK(math::exp(limits::lowest()) == S(0));
  CHECK(math::exp(limits::infinity()) == limits::infinity());
  CHECK(math::exp(limits::max()) == limits::infinity());
  const S nan = math::exp(limits::quiet_NaN());
  CHECK(nan != nan);
}

TEMPLATE_TEST_CASE("sigmoid at the ends and in the middle", "[core][math]", float, double) {
  using S = TestType;
  using limits = std::numeric_limits<S>;
  CHECK(math::sigmoid(S(0)) == S(0.5));
  CHECK(math::sigmoid(limits::infinity()) == S(1));
  CHECK(math::sigmoid(-limits::infinity()) == S(0));
  CHECK(math::sigmoid(limits::lowest()) == S(0));
  for (const double x : {-20., -3., -0.5, 0.1, 1., 4., 15.}) {
    const double truth = 1 / (1 + std::exp(-x));
    CHECK(tests::within(static_cast<double>(math::sigmoid(static_cast<S>(x))), truth,
                        tests::tolerance<S>(4, truth)));
  }
}

TEMPLATE_TEST_CASE("dot and sum of any length", "[core][math]", float, double) {
  using S = TestType;
  for (const xmoe::index n : {0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 1000}) {
    INFO(n);
    const Pair<S> p(n);
    const double allowed = tests::tolerance<S>(n, p.scale + 1e-30);
    const double dot = static_cast<double>(math::dot(p.a.data(), p.b.data(), n));
    const double sum = static_cast<double>(math::sum(p.a.data(), n));
    CHECK(tests::within(dot, p.dot, allowed));
    CHECK(tests::within(sum, p.sum, allowed));
    if (n > 0) {  // the last element counts
      std::vector<S> changed = p.a;
      changed.back() += S(1 + p.scale);
      CHECK_FALSE(tests::within(static_cast<double>(math::sum(changed.data(), n)), p.sum, allowed));
      changed = p.b;
      changed.back() += S(1 + p.scale) / p.a.back();
      CHECK_FALSE(tests::within(static_cast<double>(math::dot(p.a.data(), changed.data(), n)),
                                p.dot, allowed));
    }
  }
}

TEMPLATE_TEST_CASE("logarithm and cosine", "[core][math]", float, double) {
  using S = TestType;
  const double ulp = static_cast<double>(std::numeric_limits<S>::epsilon());
  tests::Generator random(5);
  double log_error = 0.0, cos_error = 0.0, swapped = 0.0;
  for (int i = 0; i < 20000; ++i) {
    const auto x = static_cast<S>(std::exp(20.0 * random.normal()));
    const auto near_one = static_cast<S>(1.0 + 1e-3 * random.normal());
    const auto u = static_cast<S>(static_cast<double>(random.below(1000001)) * 1e-6);
    for (const S v : {x, near_one}) {
      const double want = std::log(static_cast<double>(v));
      const double error = std::abs(static_cast<double>(math::log(v)) - want);
      log_error = std::max(log_error, error / std::max(0.5, std::abs(want)));
    }
    const double want = std::cos(6.283185307179586 * static_cast<double>(u));
    cos_error = std::max(cos_error, std::abs(static_cast<double>(math::cos_turn(u)) - want));
    swapped = std::max(swapped, std::abs(static_cast<double>(math::log(x)) - std::log2(x)));
  }
  CHECK(log_error < 3.0 * ulp);
  CHECK(cos_error < 6.0 * ulp);
  CHECK(swapped > 1.0);  // twin
  CHECK(math::log(S(1)) == S(0));
  CHECK(math::cos_turn(S(0)) == S(1));
  CHECK(math::cos_turn(S(0.5)) == S(-1));
}

TEST_CASE("dot reads nothing behind its end", "[core][math]") {
  std::vector<float> a(100, 1.f);
  for (std::size_t i = 37; i < a.size(); ++i) {
    a[i] = std::numeric_limits<float>::quiet_NaN();
  }
  CHECK(math::dot(a.data(), a.data(), 37) == 37.f);
  CHECK(math::sum(a.data(), 37) == 37.f);
}

}  // namespace
