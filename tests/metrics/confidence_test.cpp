// SPDX-License-Identifier: Apache-2.0
#include <xmoe/metrics/confidence.hpp>

#include "random_routing.hpp"

namespace xmoe {
namespace {

using metrics::Confidence;
using tests::within;

Confidence of(const std::vector<double>& p, index experts,
              const std::vector<std::uint8_t>& valid = {}) {
  return metrics::confidence(In<double>(p.data(), static_cast<index>(p.size()) / experts, experts),
                             tests::in(valid));
}

TEST_CASE("confidence: by hand", "[metrics]") {
  // rows .5 .25 .125 .125 and 0 1 0 0: entropies 1.75 ln 2 and 0
  const Confidence c = of({.5, .25, .125, .125, 0, 1, 0, 0}, 4);
  CHECK(c.tokens == 2);
  CHECK(within(c.entropy, 0.875 * std::log(2.0), 1e-15));
  CHECK(c.top == 0.75);
  CHECK(c.margin == 0.625);
  const Confidence scaled = of({1, .5, .25, .25, 0, 2, 0, 0}, 4);  // rows over their sums
  CHECK((scaled.entropy == c.entropy && scaled.top == c.top && scaled.margin == c.margin));
}

TEST_CASE("confidence: uniform, tied, one expert, nothing", "[metrics]") {
  const Confidence even = of(std::vector<double>(16, 0.125), 8);
  CHECK(within(even.entropy, std::log(8.0), 1e-15));
  CHECK((even.top == 0.125 && even.margin == 0.0));
  CHECK(of({.25, .375, .375}, 3).margin == 0.0);
  const Confidence single = of({1, 1, 1}, 1);
  CHECK((single.entropy == 0.0 && single.top == 1.0 && single.margin == 1.0));
  const Confidence none = of({}, 4);
  CHECK((none.tokens == 0 && none.entropy == 0.0 && none.top == 0.0 && none.margin == 0.0));
  const Confidence empty = of({0, 0, 0, 1}, 2);  // a row of nothing counts as a token
  CHECK((empty.tokens == 2 && empty.entropy == 0.0 && empty.top == 0.5 && empty.margin == 0.5));
}

TEST_CASE("confidence: padding and what is no number", "[metrics]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Confidence padded = of({.75, .25, nan, nan, .5, .5}, 2, {1, 0, 1});
  CHECK((padded.tokens == 2 && padded.top == 0.625 && padded.margin == 0.25));
  const Confidence read = of({.75, .25, nan, nan, .5, .5}, 2);  // says nothing, but is a token
  CHECK((read.tokens == 3 && within(read.top, 1.25 / 3.0, 1e-15)));
  CHECK_THROWS_AS(of({.5, .5}, 2, {1, 1}), shape_error);
}

TEST_CASE("confidence: against the formulas, float rows with a stride", "[metrics]") {
  tests::Generator random(11);
  const index tokens = 9, experts = 5, stride = 7;
  std::vector<float> p(static_cast<std::size_t>(tokens * stride), 100.f);
  const MatrixView<float> view(p.data(), tokens, experts, stride);
  double entropy = 0.0, top = 0.0, margin = 0.0;
  for (index t = 0; t < tokens; ++t) {
    double sum = 0.0;
    for (float& v : view.row(t)) {
      v = static_cast<float>(random.uniform());
      sum += static_cast<double>(v);
    }
    std::vector<double> row = tests::wide(view.row(t));
    for (double& v : row) {
      v /= sum;
      entropy -= v * std::log(v) / 9.0;
    }
    std::sort(row.rbegin(), row.rend());
    top += row[0] / 9.0;
    margin += (row[0] - row[1]) / 9.0;
  }
  const Confidence c = metrics::confidence(MatrixView<const float>(view));
  CHECK(within(c.entropy, entropy, 1e-14));
  CHECK(within(c.top, top, 1e-14));
  CHECK(within(c.margin, margin, 1e-14));
}

}  // namespace
}  // namespace xmoe
