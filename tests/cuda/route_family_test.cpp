// SPDX-License-Identifier: Apache-2.0
// Policies beyond the fast paths: the kernel for any policy runs their own row functions.
#include <xmoe/router/select/draw.hpp>
#include <xmoe/router/weigh/sampled.hpp>

#include "route_case.hpp"

namespace tests {
namespace {

using namespace xmoe::cuda;
using xmoe::Mode;
using xmoe::Router;
namespace score = xmoe::score;
namespace sel = xmoe::select;
namespace weigh = xmoe::weigh;
using G = GivenLogits;

const xmoe::Random stream{.seed = 21};

/// Forward on both backends, bit for bit, and backward of the device against the CPU's.
template <class R, class P>
void check(const P& router, const Logits<R>& l, Mode mode = Mode::train) {
  Work<R> work;
  work.mode = mode;
  work.random = stream;
  work.scratch = xmoe::Workspace(index(1) << 23);
  work.keep = xmoe::Workspace(index(1) << 24);
  auto ctx = work.context();
  const auto own = xmoe::detail::make_weights<xmoe::Cpu<R>>(router, {l.experts, l.experts, 1});
  const auto decision = router.forward(ctx, own, l.batch(), l.experts);
  const auto& r = decision.routing;
  Decided<R> want{{},
                  {r.expert, r.expert + r.assignments()},
                  {r.weight, r.weight + r.assignments()},
                  {r.score, r.score + r.assignments()},
                  {decision.scores.data(), decision.scores.data() + l.tokens * l.experts}};
  for (index t = 0; t < l.tokens; ++t) {
    want.count.push_back(static_cast<int>(r.end(t) - r.begin(t)));
  }
  const int width = static_cast<int>(router.max_assignments(1, l.experts));
  Generator random(6);
  std::vector<R> g, slots(at(l.tokens * width), R(0));
  for (index t = 0; t < l.tokens; ++t) {
    for (index a = r.begin(t); a < r.end(t); ++a) {
      g.push_back(static_cast<R>(random.normal()));
      slots[at(t * width + a - r.begin(t))] = g.back();
    }
  }
  std::vector<R> dx(at(l.tokens * l.experts), R(0));
  auto gradients = own;
  router.backward(ctx, own, l.batch(), decision, xmoe::DecisionGradient<R>{in(g), {}, {}},
                  gradients, xmoe::Out<R>(dx.data(), l.tokens, l.experts));
  for (const unsigned seed : {0u, 7u}) {
    const Emulated emulated(seed);
    const RoutingOnDevice<R> device(l, width);
    auto arguments = device.arguments();
    arguments.mode = mode;
    arguments.random = stream;
    xmoe::cuda::route(nullptr, router, NoDeviceWeights{}, arguments);
    require_decision(device.decided(), want);
    const OnDevice<R> dweight(slots), out(std::vector<R>(dx.size(), R(-5)));
    route_backward(nullptr, router.score, router.weigh,
                   RouteGradient<R>{device.view(), device.mask(), dweight.data(), nullptr, nullptr,
                                    out.data(), mode, stream});
    REQUIRE(same_numbers(out.numbers(), dx));
    if (!g.empty() && l.experts > 2 && mode == Mode::train) {
      REQUIRE_FALSE(same_numbers(out.numbers(), std::vector<R>(dx.size(), R(0))));
    }
  }
}

TEMPLATE_TEST_CASE("route: drawn experts and their estimators", "[cuda]", float, double) {
  using R = TestType;
  for (const int experts : {2, 8, 33}) {
    const auto l = with_mask(random_logits<R>(70, experts, 8), 9);
    for (const Mode mode : {Mode::train, Mode::infer}) {
      check<R>(Router<G, score::Identity, sel::Draw, weigh::Midpoint>{}, l, mode);
      check<R>(
          Router<G, score::Identity, sel::Draw, weigh::Heun>{.select = {0.3f, 2}, .weigh = {0.3f}},
          l, mode);
    }
  }
}

TEMPLATE_TEST_CASE("route: masked experts are never chosen", "[cuda]", float, double) {
  using R = TestType;
  for (const int experts : {2, 8, 33, 300}) {
    auto l = random_logits<R>(40, experts, 12);
    Generator random(13);
    for (int i = 0; i < l.tokens * experts; ++i) {
      if (i / experts == 7 || random.below(3) == 0) {  // token 7 loses all
        l.z[at(i)] = -std::numeric_limits<R>::infinity();
      }
    }
    INFO("E " << experts);
    const auto few = static_cast<xmoe::index>(experts < 3 ? experts : 3);
    check<R>(Router<G, score::Softmax, sel::TopK, weigh::Normalized>{.select = {few}}, l);
    check<R>(Router<G, score::Sigmoid, sel::All>{}, l);
    check<R>(Router<G, score::Softmax, sel::Threshold>{.select = {2.f}}, l);
    check<R>(Router<G, score::Identity, sel::TopK, weigh::SoftmaxPicked>{.select = {few}}, l);
    check<R>(Router<G, score::Softmax, sel::TopOne>{}, l);
  }
}

}  // namespace
}  // namespace tests
