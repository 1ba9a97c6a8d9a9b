// SPDX-License-Identifier: Apache-2.0
// What the kernels from the gate to the plan, and the losses, read and write.
#include <xmoe/backend/cuda/capacity.cuh>
#include <xmoe/backend/cuda/gate.cuh>
#include <xmoe/backend/cuda/loss.cuh>
#include <xmoe/backend/cuda/route.cuh>

#include "traffic_case.hpp"

namespace tests {
namespace {

using namespace xmoe::cuda;
using xmoe::bfloat16;
using xmoe::device;
using xmoe::MatrixView;

std::size_t size(int n) { return static_cast<std::size_t>(n); }
template <class T>
OnDevice<T> numbers(int count, std::size_t skew = 0) {
  std::vector<T> v;
  for (int i = 0; i < count; ++i) {
    v.push_back(small_number<T>(1, static_cast<std::uint64_t>(i)));
  }
  return OnDevice<T>(v, skew);
}

/// Token t wants experts t, t + 1, .. modulo E, all alike.
struct Choices {
  int tokens, experts, width;
  OnDevice<float> logits, scores, dscores, dlogits, out, weight, score, dweight;
  OnDevice<int> count, expert, offsets, token, slot, row, wanted;

  Choices(int T, int E, int K, std::size_t skew = 0)
      : tokens(T),
        experts(E),
        width(K),
        logits(wishes(T, E), skew),
        scores(numbers<float>(T * E, skew)),
        dscores(numbers<float>(T * E, skew)),
        dlogits(numbers<float>(T * E, skew)),
        out(numbers<float>(T * E, skew)),
        weight(numbers<float>(T * K)),
        score(numbers<float>(T * K)),
        dweight(numbers<float>(T * K)),
        count(std::vector<int>(size(T), K)),
        expert(chosen(T, E, K)),
        offsets(std::vector<int>(size(E + 1))),
        token(std::vector<int>(size(T * K))),
        slot(std::vector<int>(size(T * K))),
        row(std::vector<int>(size(T * K))),
        wanted(std::vector<int>(1)) {}

  DeviceRouting<float> routing() const {
    return {tokens,        experts,      width,         count.data(),  expert.data(),
            weight.data(), score.data(), logits.data(), scores.data(), nullptr};
  }
  DevicePlan plan() const {
    return {tokens,       experts,     width,      tokens * width, offsets.data(),
            token.data(), slot.data(), row.data(), wanted.data()};
  }

 private:
  static std::vector<float> wishes(int T, int E) {
    std::vector<float> z;
    for (int i = 0; i < T * E; ++i) {
      z.push_back(-0.125f * static_cast<float>((i % E + E - i / E % E) % E));
    }
    return z;
  }
  static std::vector<int> chosen(int T, int E, int K) {
    std::vector<int> e;
    for (int i = 0; i < T * K; ++i) {
      e.push_back((i / K + i % K) % E);
    }
    return e;
  }
};

template <class S>
struct Gates {
  int T, E, D;
  OnDevice<S> x, dx;
  OnDevice<float> weight, bias, logits, dweight, dbias, scratch;

  Gates(int T_, int E_, int D_, std::size_t skew = 0)
      : T(T_),
        E(E_),
        D(D_),
        x(numbers<S>(T * D, skew)),
        dx(numbers<S>(T * D, skew)),
        weight(numbers<float>(E * D)),
        bias(numbers<float>(E)),
        logits(numbers<float>(T * E)),
        dweight(numbers<float>(E * D)),
        dbias(numbers<float>(E)),
        scratch(numbers<float>(
            static_cast<int>(gate_scratch_bytes<float>(T, E, D) / sizeof(float)) + 1)) {}

  Measured forward() const {
    return traced([&] {
      gate_forward<S, float>(nullptr, MatrixView<const S, device>(x.data(), T, D),
                             DeviceGate<const float>{weight.data(), bias.data(), E, D}, {},
                             logits.data());
    });
  }
  Measured input_gradient() const {
    return traced([&] {
      gate_input_gradient<S, float>(nullptr, logits.data(),
                                    DeviceGate<const float>{weight.data(), bias.data(), E, D}, {},
                                    nullptr, MatrixView<S, device>(dx.data(), T, D));
    });
  }
  Measured weight_gradient(bool accumulate) const {
    return traced([&] {
      gate_weight_gradient<S, float>(
          nullptr, logits.data(), MatrixView<const S, device>(x.data(), T, D), {}, nullptr,
          DeviceGate<float>{dweight.data(), dbias.data(), E, D}, accumulate, scratch.data());
    });
  }
};

}  // namespace

TEST_CASE("traffic: route", "[cuda]") {
  for (const int experts : {8, 64}) {
    INFO("E " << experts);
    const auto run = [&](const Choices& c) {
      return traced([&] {
        route(nullptr, xmoe::score::Softmax{}, xmoe::select::TopK{2}, xmoe::weigh::Raw{},
              NoDeviceWeights{}, RouteArguments<float>{c.routing()});
      });
    };
    const double group = experts <= 8 ? 4 : 1;  // tokens of a warp
    const auto cost = traffic::route(128, experts, 2, 4, group);
    require_traffic(run(Choices(128, experts, 2)), cost);
    CHECK_FALSE(keeps(run(Choices(128, experts, 2, 3)), cost));  // logits between sectors
    const auto back = [&](const Choices& c, bool losses) {
      RouteGradient<float> g{c.routing()};
      g.dweight = c.dweight.data();
      g.dscores = losses ? c.dscores.data() : nullptr;
      g.dlogits = losses ? c.dlogits.data() : nullptr;
      g.out = c.out.data();
      return traced(
          [&] { route_backward(nullptr, xmoe::score::Softmax{}, xmoe::weigh::Raw{}, g); });
    };
    const auto without = traffic::route_backward(128, experts, 2, 4, 0, group);
    require_traffic(back(Choices(128, experts, 2), true),
                    traffic::route_backward(128, experts, 2, 4, 2, group));
    require_traffic(back(Choices(128, experts, 2), false), without);
    CHECK_FALSE(keeps(back(Choices(128, experts, 2, 3), false), without));
  }
}

TEMPLATE_TEST_CASE("traffic: the gate's products", "[cuda]", float, bfloat16) {
  using S = TestType;
  constexpr double s = sizeof(S);
  const Gates<S> few(256, 8, 256), many(128, 64, 256), parts(600, 8, 256), skewed(256, 8, 256, 1);
  require_traffic(few.forward(), traffic::gate_forward(256, 256, 8, s, 4, 128, 8));
  require_traffic(many.forward(), traffic::gate_forward(128, 256, 64, s, 4, 64, 64));
  CHECK_FALSE(keeps(skewed.forward(), traffic::gate_forward(256, 256, 8, s, 4, 128, 8)));
  require_traffic(few.input_gradient(), traffic::gate_input_gradient(256, 256, 8, s, 4, 64, 64));
  require_traffic(many.input_gradient(), traffic::gate_input_gradient(128, 256, 64, s, 4, 64, 64));
  CHECK_FALSE(
      keeps(skewed.input_gradient(), traffic::gate_input_gradient(256, 256, 8, s, 4, 64, 64)));
  for (const bool accumulate : {false, true}) {
    require_traffic(few.weight_gradient(accumulate),
                    traffic::gate_weight_gradient(256, 256, 8, s, 4, 8, 128, 1, accumulate));
    require_traffic(many.weight_gradient(accumulate),
                    traffic::gate_weight_gradient(128, 256, 64, s, 4, 64, 64, 1, accumulate));
    require_traffic(parts.weight_gradient(accumulate),
                    traffic::gate_weight_gradient(600, 256, 8, s, 4, 8, 128, 3, accumulate));
  }
  CHECK_FALSE(keeps(skewed.weight_gradient(false),
                    traffic::gate_weight_gradient(256, 256, 8, s, 4, 8, 128, 1, false)));
}

TEST_CASE("traffic: sort and capacity", "[cuda]") {
  for (const int experts : {8, 64}) {
    INFO("E " << experts);
    const Choices c(512, experts, 2);
    const auto one = traced([&] { sort_by_expert(nullptr, c.routing(), 0, c.plan(), nullptr); });
    require_traffic(one, traffic::sort(512, experts, 2));
    CHECK_FALSE(keeps(one, traffic::sort(512, experts, 1)));
    const Choices more(2048, experts, 2);
    const OnDevice<int> scratch(
        std::vector<int>(capacity_scratch_bytes(2048, experts, 2) / sizeof(int)));
    require_traffic(
        traced([&] { sort_by_expert(nullptr, more.routing(), 0, more.plan(), scratch.data()); }),
        traffic::sort_in_steps(2048, experts, 2, 16));
    const auto cut = [&](const DeviceCapacity& capacity) {
      return traced([&] {
        sort_with_capacity<xmoe::priority::Probability>(nullptr, capacity, {}, c.routing(), 0,
                                                        c.plan(), scratch.data());
      });
    };
    // neighbouring tokens' slots lie side by side, every fourth pair on two sectors
    const double apart = 32 * 1.25 / 2;
    DeviceCapacity capacity;
    capacity.limit = xmoe::dispatch::Limit::none;
    require_traffic(cut(capacity), traffic::capacity(512, experts, 2, 4, 0, apart));
    // half of the claims, found in some 2 ln n rounds
    capacity.limit = xmoe::dispatch::Limit::absolute;
    capacity.absolute = 512 / experts;
    const double rounds = 2 * std::log(1024.0 / experts);
    CHECK(cut(capacity).moved <= 1.1 * traffic::capacity(512, experts, 2, 4, rounds, apart).moved);
    CHECK_FALSE(cut(capacity).moved <= 1.1 * traffic::capacity(512, experts, 2, 4, 1, apart).moved);
  }
}

TEST_CASE("traffic: losses", "[cuda]") {
  const auto balance = [](const Choices& c) {
    const OnDevice<double> scratch(
        std::vector<double>(loss_scratch_bytes<float>(c.experts) / 8 + 1)),
        value(std::vector<double>(1));
    return traced([&] {
      add_loss(
          nullptr, xmoe::loss::LoadBalance<>{},
          DeviceLoss<float>{c.routing(), nullptr, c.dscores.data(), c.dlogits.data(), value.data()},
          scratch.data());
    });
  };
  const auto z = [](const Choices& c) {
    const OnDevice<double> scratch(
        std::vector<double>(loss_scratch_bytes<float>(c.experts) / 8 + 1)),
        value(std::vector<double>(1));
    return traced([&] {
      add_loss(
          nullptr, xmoe::loss::ZLoss{},
          DeviceLoss<float>{c.routing(), nullptr, c.dscores.data(), c.dlogits.data(), value.data()},
          scratch.data());
    });
  };
  require_traffic(balance(Choices(256, 64, 2)), traffic::load_balance(256, 64, 4));
  require_traffic(z(Choices(256, 64, 2)), traffic::z_loss(256, 64, 4));
  CHECK_FALSE(keeps(balance(Choices(256, 64, 2, 3)), traffic::load_balance(256, 64, 4)));
  CHECK_FALSE(keeps(z(Choices(256, 64, 2, 3)), traffic::z_loss(256, 64, 4)));
}

}  // namespace tests
