// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/route.cuh>
#include <xmoe/router/select/broadcast.hpp>
#include <xmoe/router/select/grouped.hpp>
#include <xmoe/router/select/grouped_each.hpp>
#include <xmoe/router/select/level.hpp>

#include "route_case.hpp"

namespace tests {
namespace {

using namespace xmoe::cuda;
using xmoe::NonFinite;
using xmoe::Router;
namespace score = xmoe::score;
namespace sel = xmoe::select;
namespace weigh = xmoe::weigh;

/// A score that only its own text knows, so that the kernel for any policy takes it.
struct OwnScore {
  static constexpr bool probabilities = true;
  template <class R>
  void row(xmoe::VectorView<const R> z, xmoe::VectorView<R> s) const {
    score::Softmax{}.row(z, s);
  }
  template <class R>
  void row_backward(xmoe::VectorView<const R> z, xmoe::VectorView<const R> s,
                    xmoe::VectorView<const R> ds, xmoe::VectorView<R> dz) const {
    score::Softmax{}.row_backward(z, s, ds, dz);
  }
};

template <class R, class P>
Decided<R> decided_by_device(const P& router, const Logits<R>& l, unsigned seed, const auto& own) {
  const Emulated emulated(seed);
  const RoutingOnDevice<R> device(l, static_cast<int>(router.max_assignments(1, l.experts)));
  xmoe::cuda::route(nullptr, router, own, device.arguments());
  return device.decided();
}

template <class R, class P>
void check(const P& router, const Logits<R>& l) {
  const auto cpu_own = xmoe::detail::make_weights<xmoe::Cpu<R>>(router, {l.experts, l.experts, 1});
  const auto want = decided_by_cpu(router, l, cpu_own);
  const auto got = decided_by_device(router, l, 0, NoDeviceWeights{});
  require_decision(got, want);
  require_decision(decided_by_device(router, l, 7, NoDeviceWeights{}), got);
}

template <class R, class P>
void check_hard_rows(const P& router, int experts) {
  Logits<R> l{0, experts, {}, {}};
  for (const auto& row : hard_rows<R>(experts)) {
    l.z.insert(l.z.end(), row.values.begin(), row.values.end());
    ++l.tokens;
  }
  check<R>(router, l);
}

using G = GivenLogits;
constexpr auto propagate = NonFinite::propagate;

TEMPLATE_TEST_CASE("route: ids, scores and weights have the CPU's bits", "[cuda]", float, double) {
  using R = TestType;
  for (const int experts : emulation::sizes({1, 2, 8, 33, 128}, {1, 8, 33, 128})) {
    for (const int tokens : emulation::sizes({0, 1, 31, 32, 33, 257}, {0, 33})) {
      if (tokens == 257 && experts > 33) {
        continue;
      }
      INFO("T " << tokens << ", E " << experts);
      const auto l = random_logits<R>(tokens, experts, 3);
      const Router<G, score::Softmax, sel::Threshold> threshold{.select = {0.7f}};
      check<R>(threshold, l);
      check<R>(threshold, with_mask(l, 4));
    }
    const auto l = random_logits<R>(33, experts, 5);
    const auto few = static_cast<xmoe::index>(experts < 2 ? 1 : 2);
    INFO("E " << experts);
    check<R>(Router<G, score::Softmax, sel::TopOne>{}, l);
    check<R>(Router<G, score::Softmax, sel::TopK, weigh::Normalized>{.select = {few}}, l);
    check<R>(Router<G, score::Identity, sel::TopK, weigh::SoftmaxPicked>{.select = {few}}, l);
    check<R>(Router<G, score::Sigmoid, sel::TopK, weigh::Unit>{.select = {experts}}, l);
    check<R>(Router<G, score::Softmax, sel::All>{}, l);
    check<R>(Router<G, score::Softmax, sel::Threshold>{.select = {2.f, 5}}, l);
    check<R>(Router<G, score::Softmax, sel::Threshold>{.select = {-1.f}}, l);
    check<R>(Router<G, score::Softmax, sel::Threshold>{.select = {-1.f, 0, false, few}}, l);
    const Logits<R> flat{4, experts, std::vector<R>(static_cast<std::size_t>(4 * experts)), {}};
    for (const bool inclusive : {false, true}) {  // half of a flat row is hit exactly
      check<R>(Router<G, score::Softmax, sel::Threshold>{.select = {0.5f, 0, inclusive}}, flat);
    }
  }
}

TEMPLATE_TEST_CASE("route: rows of bad and extreme numbers", "[cuda]", float, double) {
  using R = TestType;
  for (const int experts : {1, 2, 8, 11, 33, 128}) {
    INFO("E " << experts);
    const auto few = static_cast<xmoe::index>(experts < 3 ? experts : 3);
    check_hard_rows<R>(Router<G, score::Softmax, sel::Threshold>{.nonfinite = propagate}, experts);
    check_hard_rows<R>(
        Router<G, score::Softmax, sel::TopK>{.select = {few}, .nonfinite = propagate}, experts);
    check_hard_rows<R>(
        Router<G, score::Identity, sel::TopK, weigh::SoftmaxPicked>{.select = {experts},
                                                                    .nonfinite = propagate},
        experts);
    check_hard_rows<R>(Router<G, OwnScore, sel::TopK>{.select = {few}, .nonfinite = propagate},
                       experts);
  }
}

TEMPLATE_TEST_CASE("route: the kernel for any policy", "[cuda]", float, double) {
  using R = TestType;
  for (const int experts : {1, 8, 33, 300}) {
    const auto l = with_mask(random_logits<R>(70, experts, 8), 9);
    INFO("E " << experts);
    check<R>(Router<G, OwnScore, sel::Threshold>{.select = {0.8f}}, l);
    check<R>(Router<G, OwnScore, sel::TopK, weigh::Normalized>{.select = {experts}}, l);
    check<R>(Router<G, score::Softmax, sel::Threshold, weigh::Normalized>{.select = {0.5f}}, l);
    check<R>(Router<G, score::Softmax, sel::Level>{.select = {1.f / static_cast<float>(experts)}},
             l);
    if (experts == 8) {
      check<R>(Router<G, score::Sigmoid, sel::Grouped<>>{.select = {{3}, 4, 2}}, l);
      check<R>(Router<G, score::Softmax, sel::GroupedEach<>>{}, l);
      check<R>(Router<G, score::Softmax, sel::Broadcast<>>{.select = {{}, 1.f, true}}, l);
    }
  }
  RoutingOnDevice<R> device(random_logits<R>(1, 2, 1), 1);
  auto arguments = device.arguments();
  arguments.routing.experts = 20'000;
  REQUIRE_THROWS_AS(xmoe::cuda::route(nullptr, OwnScore{}, sel::TopOne{}, weigh::Raw{},
                                      NoDeviceWeights{}, arguments),
                    xmoe::shape_error);
}

TEST_CASE("route: a selection bias orders, and does nothing else", "[cuda]") {
  for (const int experts : {2, 8, 33, 300}) {
    const auto l = random_logits<float>(33, experts, 6);
    const Router<G, score::Sigmoid, sel::Biased<sel::TopK>, weigh::Normalized> router{
        .select = {{2}}};
    auto own = xmoe::detail::make_weights<xmoe::Cpu<float>>(router, {experts, experts, 1});
    std::vector<float> bias;
    Generator random(11);
    for (int e = 0; e < experts; ++e) {
      bias.push_back(static_cast<float>(random.normal()));
      own.select.bias.at(0, e) = bias.back();
    }
    const OnDevice<float> device_bias(bias);
    const DeviceSelectBias<float> device_own{{device_bias.data()}};
    const auto want = decided_by_cpu(router, l, own);
    require_decision(decided_by_device(router, l, 0, device_own), want);
    const DeviceSelectBias<float> none{{OnDevice<float>(std::vector<float>(bias.size())).data()}};
    own.select.bias.zero();
    REQUIRE_FALSE(same_decision(decided_by_cpu(router, l, own), want));
    static_cast<void>(none);
  }
}

TEST_CASE("route: the first bad logit is noted, and nothing is read by the host", "[cuda]") {
  for (const int experts : {8, 128, 300}) {
    auto l = random_logits<float>(70, experts, 12);
    l.valid.assign(70, 1);
    l.valid[3] = 0;
    const auto bad = [&](int t, int e) -> float& { return l.z[at(t * experts + e)]; };
    const auto first = [&] {
      const RoutingOnDevice<float> device(l, experts);
      emulation::reset_counters();
      xmoe::cuda::route(nullptr, score::Softmax{}, sel::Threshold{}, weigh::Raw{},
                        NoDeviceWeights{}, device.arguments());
      const auto counts = emulation::counters();
      REQUIRE((counts.launches == 1 && counts.copies == 0 && counts.allocations == 0 &&
               counts.synchronizations == 0));
      return device.nonfinite.numbers()[0];
    };
    REQUIRE(first() == no_nonfinite);
    check_nonfinite(first(), experts);
    bad(3, 1) = std::numeric_limits<float>::quiet_NaN();   // padding
    bad(40, 2) = -std::numeric_limits<float>::infinity();  // a mask
    REQUIRE(first() == no_nonfinite);
    bad(60, 7) = std::numeric_limits<float>::quiet_NaN();
    bad(60, 5) = std::numeric_limits<float>::infinity();
    bad(61, 0) = std::numeric_limits<float>::quiet_NaN();
    REQUIRE(first() == static_cast<FirstNonfinite>(60 * experts + 5));
    REQUIRE(message_of<xmoe::value_error>([&] {
              check_nonfinite(first(), experts);
            }).find("token 60, expert 5 is NaN or +Inf") != std::string::npos);
  }
}

template <class R, class S, class W>
void check_backward(const S& score_, const W& weigh_, const Logits<R>& l, int k, bool losses) {
  const Router<G, S, sel::TopK, W> router{.score = score_, .select = {k}, .weigh = weigh_};
  Work<R> work;
  auto ctx = work.context();
  auto own = xmoe::detail::make_weights<xmoe::Cpu<R>>(router, {l.experts, l.experts, 1});
  const auto d = router.forward(ctx, own, l.batch(), l.experts);
  Generator random(77);
  const index n = d.routing.assignments();
  const auto numbers = [&](index count) { return narrow<R>(normals(random, count)); };
  const auto dweight = numbers(n);
  const auto dscores = numbers(losses ? l.tokens * l.experts : 0);
  const auto dlogits = numbers(losses ? l.tokens * l.experts : 0);
  const auto matrix = [&](const std::vector<R>& v) {
    return losses ? xmoe::MatrixView<const R>(v.data(), l.tokens, l.experts)
                  : xmoe::MatrixView<const R>();
  };
  // += into zeros; the gate gives dlogits of padding away, this one does not
  std::vector<R> want(at(l.tokens * l.experts), R(0));
  auto gradients = own;
  router.backward(ctx, own, l.batch(), d,
                  xmoe::DecisionGradient<R>{in(dweight), matrix(dscores), matrix(dlogits)},
                  gradients, xmoe::MatrixView<R>(want.data(), l.tokens, l.experts));
  for (index i = 0; i < l.tokens * l.experts; ++i) {
    want[at(i)] = l.batch().is_valid(i / l.experts) ? want[at(i)] : R(0);
  }

  std::vector<R> by_slot(at(l.tokens * k), std::numeric_limits<R>::quiet_NaN());
  for (index t = 0; t < l.tokens; ++t) {
    for (index a = d.routing.begin(t); a < d.routing.end(t); ++a) {
      by_slot[at(t * k + a - d.routing.begin(t))] = dweight[at(a)];
    }
  }
  const OnDevice<R> device_dweight(by_slot), device_dscores(dscores), device_dlogits(dlogits);
  const auto run = [&](unsigned seed) {
    const Emulated emulated(seed);
    const RoutingOnDevice<R> device(l, k);
    xmoe::cuda::route(nullptr, router, NoDeviceWeights{}, device.arguments());
    const OnDevice<R> out(std::vector<R>(at(l.tokens * l.experts), R(-9)));
    route_backward(nullptr, score_, weigh_,
                   RouteGradient<R>{device.view(), device.mask(), device_dweight.data(),
                                    losses ? device_dscores.data() : nullptr,
                                    losses ? device_dlogits.data() : nullptr, out.data()});
    return out.numbers();
  };
  const auto got = run(0);
  REQUIRE(same_numbers(run(5), got));
  REQUIRE(same_numbers(got, want));
  if (!want.empty() && n > 0) {
    REQUIRE_FALSE(same_numbers(got, one_bit_off(want)));
  }
}

TEMPLATE_TEST_CASE("route: backward has the CPU's bits", "[cuda]", float, double) {
  using R = TestType;
  for (const int experts : emulation::sizes({1, 2, 8, 33, 128, 300}, {2, 33, 300})) {
    for (const int tokens : emulation::sizes({0, 1, 33}, {0, 33})) {
      const auto plain = random_logits<R>(tokens, experts, 21);
      const auto masked = with_mask(plain, 22);
      const int k = experts < 3 ? experts : 3;
      INFO("T " << tokens << ", E " << experts);
      for (const bool losses : {false, true}) {
        check_backward<R>(score::Softmax{}, weigh::Raw{0.5f}, plain, k, losses);
        check_backward<R>(score::Softmax{}, weigh::Raw{}, masked, k, losses);
        check_backward<R>(score::Sigmoid{}, weigh::Normalized{}, masked, k, losses);
        check_backward<R>(score::Identity{}, weigh::SoftmaxPicked{2.f}, masked, k, losses);
        check_backward<R>(OwnScore{}, weigh::Normalized{}, masked, k, losses);
        check_backward<R>(score::Softmax{}, weigh::Unit{}, plain, k, losses);
      }
    }
  }
}

}  // namespace
}  // namespace tests
