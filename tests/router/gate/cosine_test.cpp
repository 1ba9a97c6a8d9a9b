// SPDX-License-Identifier: Apache-2.0
// Gates beyond gate::Linear: cosine, projected, noisy.
#include <xmoe/router/gate/cosine.hpp>

#include <cmath>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using Row = std::vector<double>;
using Traits = Cpu<double>;

template <class P>
struct Case {
  P policy;
  index dim, experts;
  weights_of<P, Traits> own, gradients;
  tests::Work<double> work;

  Case(const P& p, index d, index e)
      : policy(p),
        dim(d),
        experts(e),
        own(detail::make_weights<Traits>(p, {d, e, 1})),
        gradients(detail::make_weights<Traits>(p, {d, e, 1})) {}
  Row logits(const Row& x) {
    const index tokens = static_cast<index>(x.size()) / dim;
    Row z(static_cast<std::size_t>(tokens * experts));
    auto ctx = work.context();
    policy.forward(ctx, own, Batch<double>(MatrixView<const double>(x.data(), tokens, dim)),
                   MatrixView<double>(z.data(), tokens, experts));
    return z;
  }
  Row pull(const Row& x, Row dz) {  // one token
    const index stride = Panels<double>(0, experts, 0).padded_rows();
    dz.resize(static_cast<std::size_t>(stride), 0.0);
    Row dx(x.size(), 0.0);
    auto ctx = work.context();
    policy.backward(ctx, own, Batch<double>(MatrixView<const double>(x.data(), 1, dim)),
                    MatrixView<const double>(dz.data(), 1, experts, stride), gradients,
                    MatrixView<double>(dx.data(), 1, dim));
    return dx;
  }
};
void check_figures(const Row& got, const Row& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i] == Approx(want[i]).margin(1e-8).epsilon(0));
  }
}
Row stored(const Panels<double>& tensor) {
  Row v(static_cast<std::size_t>(tensor.size()));
  tensor.store(v);
  return v;
}

TEST_CASE("cosine: figures", "[router][gate]") {
  Case c(gate::Cosine{.learn_scale = true, .scale = 2.f}, 2, 3);
  detail::initialize<Traits>(c.policy, c.own, {.seed = 1});
  c.own.keys.weight.load(Row{2, 1, -1, .5, .5, -3});
  check_figures(c.logits({1, 2}), {1.6, 0, -1.61747217});
  check_figures(c.pull({1, 2}, {1, -1, .5}), {1.51526868, -.75763434});
  check_figures(stored(c.gradients.keys.weight), {-.24, .48, -.8, -1.6, .19075839, .03179306});
  // dL/da = .39563196, and a = e^theta
  check_figures(stored(c.gradients.theta), {2.0 * .39563196});
  c.policy.normalize_query = false;  // twin: another gate
  CHECK(c.logits({1, 2})[0] == Approx(1.6 * std::sqrt(5.0)));
}

TEST_CASE("cosine: the scale stops at 100, zero vectors have no direction", "[router][gate]") {
  Case c(gate::Cosine{.learn_scale = true}, 2, 2);
  c.own.keys.weight.load(Row{1, 0, 0, 0});
  c.own.theta.load(Row{7});
  CHECK(c.logits({3, 0})[0] == Approx(100.0));
  c.pull({3, 4}, {1, 1});
  CHECK(stored(c.gradients.theta) == Row{0});
  CHECK(stored(c.gradients.keys.weight)[2] == 0.0);  // the zero key
  CHECK(c.logits({0, 0}) == Row{0, 0});
  CHECK(c.pull({0, 0}, {1, 1}) == Row{0, 0});
  CHECK(tests::message_of<value_error>([] {
          gate::Cosine{.scale = 0.f}.check({1, 1, 1});
        }) == "xmoe::gate::Cosine: scale is 0, must be positive");
}

TEST_CASE("projected: a network by hand", "[router][gate]") {
  Case c(gate::Projected<gate::Linear, activation::Relu>{{.bias = true}, 2, true}, 2, 2);
  c.own.projection.weight.load(Row{1, 1, 1, -1});
  c.own.projection.bias.load(Row{0.5, 0});
  c.own.inner.weight.load(Row{1, 2, 0, 1});
  c.own.inner.bias.load(Row{0, 10});
  // u = (3.5, -1), q = (3.5, 0)
  CHECK(c.logits({1, 2}) == Row{3.5, 10});
  CHECK(c.pull({1, 2}, {1, 1}) == Row{1, 1});  // through the first unit alone
  CHECK(c.logits({2, 1}) == Row{5.5, 11});
  CHECK_THROWS_AS((gate::Projected<gate::Linear>{{}, 0}.check({1, 1, 1})), value_error);
}

TEST_CASE("noisy: the deviation is softplus plus the floor", "[router][gate]") {
  Case c(gate::Noisy<gate::Linear>{}, 1, 2);
  c.own.inner.weight.load(Row{1, 2});
  c.own.noise.weight.load(Row{0, 3});
  const Row still = c.logits({1});
  CHECK(still == Row{1, 2});  // inference
  c.work.mode = Mode::train;
  const index tokens = 20000;
  const Row z = c.logits(Row(static_cast<std::size_t>(tokens), 1.0));
  for (const std::size_t e : {std::size_t(0), std::size_t(1)}) {
    double mean = 0.0, square = 0.0;
    for (std::size_t t = 0; t < static_cast<std::size_t>(tokens); ++t) {
      mean += (z[2 * t + e] - still[e]) / static_cast<double>(tokens);
      square += std::pow(z[2 * t + e] - still[e], 2) / static_cast<double>(tokens);
    }
    const double deviation = (e == 0 ? std::log(2.0) : std::log1p(std::exp(3.0))) + 0.01;
    CHECK(std::abs(mean) < 4.0 * deviation / std::sqrt(static_cast<double>(tokens)));
    CHECK(std::sqrt(square) == Approx(deviation).epsilon(0.02));
    CHECK(std::sqrt(square) != Approx(deviation - 0.1).epsilon(0.02));  // twin
  }
}

}  // namespace
}  // namespace xmoe
