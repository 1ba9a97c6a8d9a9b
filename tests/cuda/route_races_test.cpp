// SPDX-License-Identifier: Apache-2.0
// The thread sanitizer is silent about the kernels from the gate to the plan, and misses none of
// their barriers.
#include <xmoe/backend/cuda/adjust.cuh>
#include <xmoe/backend/cuda/capacity.cuh>
#include <xmoe/backend/cuda/combine.cuh>
#include <xmoe/backend/cuda/gate.cuh>
#include <xmoe/backend/cuda/loss.cuh>
#include <xmoe/backend/cuda/route.cuh>
#include <xmoe/router/adjust/temper.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/weigh/normalized.hpp>

#include "races_case.hpp"

namespace tests {
namespace {

using namespace xmoe::cuda;
using xmoe::device;
using xmoe::MatrixView;

/// Scores that only their own text knows.
struct Plain {
  template <class R>
  void row(xmoe::VectorView<const R> z, xmoe::VectorView<R> s) const {
    xmoe::score::Softmax{}.row(z, s);
  }
  template <class R>
  void row_backward(xmoe::VectorView<const R> z, xmoe::VectorView<const R> s,
                    xmoe::VectorView<const R> ds, xmoe::VectorView<R> dz) const {
    xmoe::score::Softmax{}.row_backward(z, s, ds, dz);
  }
};

/// Memory for everything.
struct Room {
  static constexpr int tokens = 70, experts = 3, width = 2, dim = 40;
  static std::vector<float> numbers(int count) {
    std::vector<float> v;
    for (int i = 0; i < count; ++i) {
      v.push_back(static_cast<float>(i * 37 % 101) / 50.f - 1.f);
    }
    return v;
  }
  DeviceArray<float> logits{numbers(tokens * experts)}, scores{numbers(tokens * experts)},
      out{numbers(tokens * experts)}, weight{numbers(tokens * width)},
      score{numbers(tokens * width)}, dweight{numbers(tokens * width)}, x{numbers(tokens * dim)},
      y{numbers(tokens * dim)}, gate{numbers(experts * dim)}, dgate{numbers(experts * dim)},
      bias{numbers(experts)}, dbias{numbers(experts)}, rows{numbers(tokens * width * dim)};
  DeviceArray<int> count{std::vector<int>(tokens, width)}, expert{choices()}, offsets{experts + 1},
      token{tokens * width}, slot{tokens * width}, row{tokens * width}, wanted{1}, counts{64},
      many_offsets{301};
  DeviceArray<double> scratch{4096}, value{1};

  static std::vector<int> choices() {
    std::vector<int> v;
    for (int t = 0; t < tokens; ++t) {
      v.push_back(t % 5 == 0 ? 1 : 0);
      v.push_back(2);
    }
    return v;
  }
  DeviceRouting<float> routing() const {
    return {tokens,        experts,      width,         count.data(),  expert.data(),
            weight.data(), score.data(), logits.data(), scores.data(), nullptr};
  }
  DevicePlan plan() const {
    return {tokens,       experts,     width,      tokens * width, offsets.data(),
            token.data(), slot.data(), row.data(), wanted.data()};
  }
};

template <class Score>
void route_all(const Room& m) {
  route(nullptr, Score{}, xmoe::select::TopK{2}, xmoe::weigh::Normalized{}, NoDeviceWeights{},
        RouteArguments<float>{m.routing()});
  RouteGradient<float> g{m.routing()};
  g.dweight = m.dweight.data();
  g.out = m.out.data();
  route_backward(nullptr, Score{}, xmoe::weigh::Normalized{}, g);
}

void adjust_all(const Room& m) {
  namespace d = xmoe::cuda::detail;
  const d::AdjustArguments<float> a{m.logits.data(), m.logits.data(), Room::tokens, Room::experts};
  d::adjust_rows<false>(nullptr, xmoe::adjust::Temper{2.f}, a);
  d::adjust_rows<true>(nullptr, xmoe::adjust::Temper{2.f}, a);
}

void sort_all(const Room& m) {
  sort_by_expert(nullptr, m.routing(), 0, m.plan(), nullptr);
  // the three steps, in one block of two chunks of 64 tokens
  launch(nullptr, xmoe::cuda::detail::sort_count_kernel<float>, Grid{}, 64u, 3 * sizeof(int),
         m.routing(), 0, Room::experts, 2, m.counts.data());
  launch(nullptr, xmoe::cuda::detail::sort_scan_kernel<int>, Grid{},
         unsigned(xmoe::cuda::detail::scan_threads), 32 * sizeof(int), m.counts.data(),
         Room::experts, 1, m.offsets.data(), m.wanted.data());
  launch(nullptr, xmoe::cuda::detail::sort_place_kernel<float>, Grid{}, 64u,
         xmoe::cuda::detail::SortChunk::shared_bytes(Room::experts, 64), m.routing(), 0, m.plan(),
         2, m.counts.data());
}

/// More experts than the block has threads.
void sort_many(const Room& m) {
  DevicePlan plan = m.plan();
  plan.experts = 300;
  plan.offsets = m.many_offsets.data();
  sort_by_expert(nullptr, m.routing(), 0, plan, nullptr);
}

void cut(const Room& m) {
  sort_with_capacity<xmoe::priority::Random>(
      nullptr, DeviceCapacity{xmoe::dispatch::Limit::absolute, 1.0, 3, 9}, {}, m.routing(), 0,
      m.plan(), m.scratch.data());
}

void rows_all(const Room& m) {
  sort_by_expert(nullptr, m.routing(), 0, m.plan(), nullptr);
  const int most = Room::tokens * Room::width;
  const MatrixView<float, device> y(m.y.data(), Room::tokens, Room::dim),
      rows(m.rows.data(), most, Room::dim);
  const MatrixView<const float, device> f = rows, dy = y;
  combine(nullptr, m.routing(), m.plan(), false, f, y);
  sum_by_token(nullptr, m.routing(), m.plan(), f, y);
  weight_gradient(nullptr, m.plan(), dy, f, m.dweight.data());
  spread_rows(nullptr, m.routing(), m.plan(), dy, rows);
}

void gate_all(const Room& m) {
  const MatrixView<const float, device> x(m.x.data(), Room::tokens, Room::dim);
  const DeviceGate<const float> gate{m.gate.data(), m.bias.data(), Room::experts, Room::dim};
  gate_forward<float, float>(nullptr, x, gate, {}, m.logits.data());
  gate_input_gradient<float, float>(nullptr, m.out.data(), gate, {}, nullptr,
                                    MatrixView<float, device>(m.y.data(), Room::tokens, Room::dim));
  gate_weight_gradient<float, float>(
      nullptr, m.out.data(), x, {}, nullptr,
      DeviceGate<float>{m.dgate.data(), m.dbias.data(), Room::experts, Room::dim}, true, nullptr);
}

void losses(const Room& m) {
  const DeviceLoss<float> a{m.routing(), nullptr, m.out.data(), m.out.data(), m.value.data()};
  add_loss(nullptr, xmoe::loss::LoadBalance<>{}, a, m.scratch.data());
  add_loss(nullptr, xmoe::loss::ZLoss{}, a, m.scratch.data());
}

template <void (*step)(const Room&)>
void run() {
  const Room room;
  step(room);
}

const std::vector<RaceStep> steps = {{"route in lanes", run<route_all<xmoe::score::Softmax>>},
                                     {"route by any policy", run<route_all<Plain>>},
                                     {"adjust", run<adjust_all>},
                                     {"sort", run<sort_all>},
                                     {"sort of many experts", run<sort_many>},
                                     {"capacity", run<cut>},
                                     {"rows", run<rows_all>},
                                     {"gate", run<gate_all>},
                                     {"losses", run<losses>}};
const std::vector<std::string> ours = {"adjust.cuh",        "capacity_claims.cuh",
                                       "gate_gradient.cuh", "gate_product.cuh",
                                       "loss_kernels.cuh",  "route_backward.cuh",
                                       "route_forward.cuh", "sort.cuh",
                                       "sort_chunk.cuh",    "warp.cuh"};

}  // namespace

TEST_CASE("route: no races, and no barrier too many", "[threads]") { check_barriers(steps, ours); }

TEST_CASE("no header with barriers is left out of the tests of races", "[threads]") {
  std::vector<std::string> all = ours;
  all.insert(all.end(), {"grouped_mma.cuh", "grouped_simt.cuh"});  // in grouped_races_test.cpp
  std::sort(all.begin(), all.end());
  CHECK(headers_with_barriers() == all);
}

}  // namespace tests
