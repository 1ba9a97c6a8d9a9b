// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/score/relu_norm.hpp>

#include "router/score/score_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

using xmoe::score::ReluNorm;

reference::Vector formula(const reference::Vector& z, double eps) {
  reference::Vector r;
  double square = 0.0;
  for (const double v : z) {
    r.push_back(std::max(v, 0.0));
    square += r.back() * r.back();
  }
  for (double& v : r) {
    v /= std::sqrt(square / static_cast<double>(z.size()) + eps);
  }
  return r;
}

TEST_CASE("relu norm: published figures", "[router][score]") {
  const reference::Vector want = {0, 2.35845590, 1.22637859, .06155504, 0, 0, .24604614, .93238212};
  const reference::Vector got = tests::scores_of(ReluNorm{}, tests::wave_row(0));
  CHECK(tests::difference(got, want, 1e-8).close);
  // twins: another token, and the mean over the active experts alone
  CHECK_FALSE(
      tests::difference(tests::scores_of(ReluNorm{}, tests::wave_row(1)), want, 1e-8).close);
  reference::Vector active = got;
  for (double& v : active) {
    v *= std::sqrt(5.0 / 8.0);
  }
  CHECK_FALSE(tests::difference(active, want, 1e-8).close);
}

TEMPLATE_TEST_CASE("relu norm: the formula", "[router][score]", float, double) {
  using R = TestType;
  for (const float eps : {1e-6f, 0.25f}) {
    tests::each_random_row<R>(31, [&](const std::vector<R>& z) {
      const reference::Vector want = formula(tests::wide(z), static_cast<double>(eps));
      const reference::Vector got = tests::wide(tests::scores_of(ReluNorm{eps}, z));
      tests::check_close<R>("scores", got, want, static_cast<tests::index>(z.size()));
    });
  }
  const std::vector<R> z = {1, -2, R(0.5)};
  CHECK(tests::scores_of(ReluNorm{}, z) != tests::scores_of(ReluNorm{0.25f}, z));
}

TEMPLATE_TEST_CASE("relu norm: far ends", "[router][score]", float, double) {
  using R = TestType;
  const R max = std::numeric_limits<R>::max();
  const auto close = [](const std::vector<R>& z, const reference::Vector& want) {
    return tests::relative_error(tests::wide(tests::scores_of(ReluNorm{}, z)), want) <
           8 * static_cast<double>(std::numeric_limits<R>::epsilon());
  };
  CHECK(close({max, -max, max}, {1.224744871391589, 0, 1.224744871391589}));  // sqrt(3/2)
  CHECK(close({max, 1}, {1.4142135623730951, 0}));
  CHECK_FALSE(close({max, 1}, {0, 0}));
  CHECK(tests::scores_of<R>(ReluNorm{}, {-1, 0, -max}) == std::vector<R>{0, 0, 0});
  const R tiny = std::numeric_limits<R>::denorm_min();
  for (const R s : tests::scores_of<R>(ReluNorm{}, {tiny, -1, 3 * tiny})) {
    CHECK(xmoe::is_finite(s));
  }
  tests::check_masked<R>(ReluNorm{});
  tests::check_broken<R>(ReluNorm{});
}

TEST_CASE("relu norm: gradients away from 0", "[router][score]") {
  for (const float eps : {1e-6f, 0.25f}) {
    tests::check_score_gradients(
        ReluNorm{eps},
        [](const auto& row) {  // and not a single positive one near 0, where eps makes it steep
          return std::all_of(row.begin(), row.end(), [](double v) { return std::abs(v) > 0.03; });
        },
        [](auto& dz, const auto& s) {
          for (std::size_t e = 0; e < dz.size(); ++e) {
            dz[e] += 0.1 * s[e];
          }
        });
  }
  const std::vector<double> off = {-1.0, -2.0, 0.0};
  CHECK(tests::score_gradient(ReluNorm{}, off, {1.0, 1.0, 1.0}) == std::vector<double>(3, 0.0));
}

TEST_CASE("relu norm: scaling the row changes little, a constant much", "[router][score]") {
  CHECK_FALSE(tests::ignores_shift(ReluNorm{}));
  std::vector<double> z = tests::wave_row(2);
  const std::vector<double> s = tests::scores_of(ReluNorm{}, z);
  for (double& v : z) {
    v *= 3.0;
  }
  CHECK(tests::relative_error(tests::scores_of(ReluNorm{}, z), s) < 1e-6);
}

TEST_CASE("relu norm: impossible hyper-parameters", "[router][score]") {
  for (const float eps : {0.f, -1.f, tests::infinity<float>, std::nanf("")}) {
    CHECK_THAT(tests::message_of<value_error>([&] { ReluNorm{eps}.check({}); }),
               Catch::Contains("xmoe::score::ReluNorm: eps is "));
  }
  CHECK_NOTHROW(ReluNorm{}.check({}));
}

}  // namespace
}  // namespace xmoe
