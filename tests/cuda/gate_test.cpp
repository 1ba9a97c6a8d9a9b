// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/gate.cuh>

#include "grouped_case.hpp"
#include "support/policy_case.hpp"

namespace tests {
namespace {

using xmoe::MatrixView;
using xmoe::cuda::DeviceGate;
using xmoe::cuda::GateJitter;

std::size_t at(index i) { return static_cast<std::size_t>(i); }

/// x, W, b and what a call is about.
template <class S>
struct Gate {
  using R = xmoe::routing_scalar<S>;
  int tokens, experts, dim, stride, ld;
  float jitter;
  bool biased, masked;
  std::size_t skew;
  xmoe::Random random{3, 9};
  std::vector<S> x;       ///< [T, stride]
  std::vector<R> weight;  ///< [E, ld]
  std::vector<R> bias, dlogits;
  std::vector<std::uint8_t> valid;

  Gate(int t, int e, int d, bool aligned, float jitter_, bool biased_, bool masked_)
      : tokens(t),
        experts(e),
        dim(d),
        stride(aligned ? rounded_up(d, 8) : d + 3),
        ld(rounded_up(d, 4)),
        jitter(jitter_),
        biased(biased_),
        masked(masked_),
        skew(aligned ? 0 : 1) {
    Generator numbers(static_cast<std::uint64_t>(t * 7919 + e * 31 + d));
    const auto fill = [&](auto& to, int rows, int cols, int distance) {
      using T = std::remove_cvref_t<decltype(to[0])>;
      to.assign(at(rows * distance), xmoe::cuda::from_sum<T>(R(0)));
      for (int i = 0; i < rows; ++i) {
        for (int j = 0; j < cols; ++j) {
          to[at(i * distance + j)] = xmoe::cuda::from_sum<T>(static_cast<R>(numbers.normal()));
        }
      }
    };
    fill(x, tokens, dim, stride);
    fill(weight, experts, dim, ld);
    fill(bias, 1, experts, experts);
    fill(dlogits, tokens, experts, experts);
    for (int i = 0; i < tokens && masked; ++i) {
      valid.push_back(numbers.below(4) == 0 ? 0 : 1);
      if (valid.back() == 0) {
        for (int j = 0; j < dim; ++j) {
          x[at(i * stride + j)] = xmoe::cuda::from_sum<S>(std::numeric_limits<R>::quiet_NaN());
        }
        dlogits[at(i * experts)] = std::numeric_limits<R>::quiet_NaN();
      }
    }
  }
  bool real(int t) const { return !masked || valid[at(t)] != 0; }
  GateJitter device_jitter() const { return GateJitter::of(random, jitter); }
};

/// What both sides give.
template <class R>
struct Results {
  std::vector<R> logits, dweight, dbias, dx;
};

constexpr double begun = 0.5;  ///< what gradients start from

/// By gate::Linear on the CPU backend, x widened first.
template <class S>
Results<typename Gate<S>::R> by_cpu(const Gate<S>& g) {
  using R = typename Gate<S>::R;
  Work<R> work;
  work.scratch = xmoe::Workspace(index(1) << 26);
  work.mode = xmoe::Mode::train;
  work.random = g.random;
  const xmoe::gate::Linear linear{g.biased, g.jitter};
  const xmoe::Sizes sizes{g.dim, g.experts, 1};
  auto own = linear.template make_weights<xmoe::Cpu<R>>(sizes);
  auto gradient = linear.template make_weights<xmoe::Cpu<R>>(sizes);
  for (int e = 0; e < g.experts; ++e) {
    for (int d = 0; d < g.dim; ++d) {
      own.weight.at(0, e, d) = g.weight[at(e * g.ld + d)];
      gradient.weight.at(0, e, d) = R(begun);
    }
    if (g.biased) {
      own.bias.at(0, e) = g.bias[at(e)];
      gradient.bias.at(0, e) = R(begun);
    }
  }
  std::vector<R> x;
  for (int i = 0; i < g.tokens * g.dim; ++i) {
    x.push_back(static_cast<R>(number(g.x[at(i / g.dim * g.stride + i % g.dim)])));
  }
  const xmoe::Batch<R> batch(xmoe::In<R>(x.data(), g.tokens, g.dim), in(g.valid));
  Results<R> result;
  result.logits.assign(at(g.tokens * g.experts), R(0));
  auto ctx = work.context();
  linear.forward(ctx, own, batch, MatrixView<R>(result.logits.data(), g.tokens, g.experts));
  // the kernels want rows padded by zeros to whole panels
  const index padded = xmoe::Panels<R>(0, g.experts, 0).padded_rows();
  std::vector<R> dz(at(g.tokens * padded), R(0));
  for (int i = 0; i < g.tokens * g.experts; ++i) {
    dz[at(i / g.experts * padded + i % g.experts)] = g.dlogits[at(i)];
  }
  result.dx.assign(at(g.tokens * g.dim), R(begun));
  linear.backward(ctx, own, batch, MatrixView<const R>(dz.data(), g.tokens, g.experts, padded),
                  gradient, MatrixView<R>(result.dx.data(), g.tokens, g.dim));
  for (int e = 0; e < g.experts; ++e) {
    for (int d = 0; d < g.dim; ++d) {
      result.dweight.push_back(gradient.weight.at(0, e, d));
    }
    if (g.biased) {
      result.dbias.push_back(gradient.bias.at(0, e));
    }
  }
  return result;
}

template <class S>
Results<typename Gate<S>::R> by_device(const Gate<S>& g, unsigned seed, bool accumulate = true) {
  using R = typename Gate<S>::R;
  const Emulated emulated(seed);
  const OnDevice<S> x(g.x, g.skew),
      dx(std::vector<S>(g.x.size(), xmoe::cuda::from_sum<S>(R(begun))), g.skew);
  const OnDevice<R> weight(g.weight), bias(g.bias), dlogits(g.dlogits);
  const OnDevice<std::uint8_t> valid(g.valid);
  const OnDevice<R> logits(std::vector<R>(at(g.tokens * g.experts), R(-3)));
  const OnDevice<R> dweight(std::vector<R>(g.weight.size(), R(begun)));
  const OnDevice<R> dbias(std::vector<R>(at(g.experts), R(begun)));
  const std::size_t bytes = xmoe::cuda::gate_scratch_bytes<R>(g.tokens, g.experts, g.dim);
  const OnDevice<R> scratch(std::vector<R>(bytes / sizeof(R), R(-7)));
  const auto* const mask = g.masked ? valid.data() : nullptr;
  const DeviceGate<const R> gate{weight.data(), g.biased ? bias.data() : nullptr, g.experts, g.ld};
  const MatrixView<const S, xmoe::device> rows(x.data(), g.tokens, g.dim, g.stride);
  emulation::reset_counters();
  gate_forward<S, R>(nullptr, rows, gate, g.device_jitter(), logits.data());
  gate_input_gradient<S, R>(nullptr, dlogits.data(), gate, g.device_jitter(), mask,
                            MatrixView<S, xmoe::device>(dx.data(), g.tokens, g.dim, g.stride));
  gate_weight_gradient<S, R>(
      nullptr, dlogits.data(), rows, g.device_jitter(), mask,
      DeviceGate<R>{dweight.data(), g.biased ? dbias.data() : nullptr, g.experts, g.ld}, accumulate,
      scratch.data());
  const auto counts = emulation::counters();
  REQUIRE((counts.copies == 0 && counts.allocations == 0 && counts.synchronizations == 0));
  Results<R> result;
  result.logits = logits.numbers();
  const auto w = dweight.numbers();
  const auto in_rows = dx.numbers();
  for (int i = 0; i < g.experts * g.ld; ++i) {
    if (i % g.ld < g.dim) {
      result.dweight.push_back(w[at(i)]);
    } else {
      REQUIRE(w[at(i)] == R(begun));  // padding is left alone
    }
  }
  if (g.biased) {
    result.dbias = dbias.numbers();
  }
  for (int i = 0; i < g.tokens * g.dim; ++i) {
    result.dx.push_back(static_cast<R>(number(in_rows[at(i / g.dim * g.stride + i % g.dim)])));
  }
  return result;
}

template <class R>
std::vector<double> wide_numbers(const std::vector<R>& v) {
  return {v.begin(), v.end()};
}

template <class S>
void check(const Gate<S>& g) {
  using R = typename Gate<S>::R;
  const auto want = by_cpu(g);
  const auto got = by_device(g, 0);
  const auto other = by_device(g, 6);
  require_same_bits(got.logits, other.logits);
  require_same_bits(got.dweight, other.dweight);
  require_same_bits(got.dx, other.dx);
  const auto chain = [&](int terms) {
    return tolerance<R>(terms, 1.0) * 4 * std::sqrt(static_cast<double>(terms + 1));
  };
  std::vector<R> mine, theirs;  // logits of padding may be anything
  for (int i = 0; i < g.tokens * g.experts; ++i) {
    if (g.real(i / g.experts)) {
      mine.push_back(got.logits[at(i)]);
      theirs.push_back(want.logits[at(i)]);
    }
  }
#if defined(__FMA__)
  require_same_bits(mine, theirs);
#endif
  require_agreement(mine, wide_numbers(theirs), chain(g.dim));
  require_agreement(got.dweight, wide_numbers(want.dweight), chain(g.tokens));
  require_agreement(got.dbias, wide_numbers(want.dbias), chain(g.tokens));
  double largest = 0.0;
  for (const R n : want.dx) {
    largest = std::max(largest, static_cast<double>(std::abs(n)));
  }
  require_agreement(got.dx, wide_numbers(want.dx), chain(g.experts) + rounding<S>() * largest);
  // overwriting gives the same without what was there
  auto fresh = by_device(g, 0, false);
  for (auto* const part : {&fresh.dweight, &fresh.dbias}) {
    for (R& n : *part) {
      n += R(begun);
    }
  }
  require_agreement(fresh.dweight, wide_numbers(want.dweight), chain(g.tokens));
  require_agreement(fresh.dbias, wide_numbers(want.dbias), chain(g.tokens));
}

}  // namespace

TEMPLATE_TEST_CASE("gate: the CPU's products", "[cuda]", float, double, xmoe::bfloat16,
                   xmoe::half) {
  using S = TestType;
  for (const int experts : emulation::sizes({1, 8, 33, 70}, {1, 33})) {
    for (const int tokens : emulation::sizes({0, 1, 33, 130}, {0, 130})) {
      for (const int dim : {1, 24, 70}) {
        INFO("T " << tokens << ", E " << experts << ", D " << dim);
        check(Gate<S>(tokens, experts, dim, true, 0.f, experts == 8, tokens == 33));
      }
    }
  }
  check(Gate<S>(65, 20, 150, true, 0.f, true, true));
  check(Gate<S>(65, 20, 37, false, 0.f, true, false));  // not aligned
  check(Gate<S>(40, 9, 37, true, 0.25f, false, true));  // with jitter
  check(Gate<S>(520, 3, 20, true, 0.f, true, true));    // several stretches of tokens
}

TEST_CASE("gate: jitter changes the numbers, and depends on the stream", "[cuda]") {
  Gate<float> g(40, 9, 37, true, 0.25f, false, false);
  const auto one = by_device(g, 0);
  g.random.stream += 1;
  const auto two = by_device(g, 0);
  g.jitter = 0.f;
  const auto none = by_device(g, 0);
  REQUIRE((one.logits != two.logits && one.logits != none.logits));
  REQUIRE((one.dx != two.dx && one.dx != none.dx && one.dweight != none.dweight));
}

}  // namespace tests
