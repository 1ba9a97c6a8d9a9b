// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/loss.cuh>

#include "plan_case.hpp"

namespace tests {
namespace {

namespace counting = xmoe::loss::counting;
namespace over = xmoe::loss::over;
using xmoe::loss::LoadBalance;
using xmoe::loss::ZLoss;

template <class R>
struct Added {
  std::vector<R> dscores, dlogits;
  double value = 0.0;
};

template <class R>
struct LossNumbers {
  xmoe::Routing<R> routing;
  std::vector<R> logits, scores, dscores, dlogits;
  std::vector<std::uint8_t> valid;
  index real = 0;

  LossNumbers(int tokens, int experts, bool masked, std::uint64_t seed) {
    Generator random(seed);
    auto wishes = random_wishes(random, tokens, experts, experts < 4 ? experts : 4, seed % 2 == 1);
    real = tokens;
    for (int t = 0; t < tokens && masked; ++t) {
      valid.push_back(random.below(3) == 0 ? 0 : 1);
      if (valid.back() == 0) {
        wishes[static_cast<std::size_t>(t)].clear();
        --real;
      }
    }
    routing = routing_of<R>(experts, wishes);
    const auto draw = [&] { return narrow<R>(normals(random, index(tokens) * experts)); };
    logits = draw();
    scores = draw();
    for (R& s : scores) {
      s = std::abs(s);
    }
    dscores = draw();
    dlogits = draw();
    for (int i = 0; i < tokens * experts; ++i) {
      if (masked && valid[static_cast<std::size_t>(i / experts)] == 0) {
        logits[static_cast<std::size_t>(i)] = std::numeric_limits<R>::quiet_NaN();
        scores[static_cast<std::size_t>(i)] = std::numeric_limits<R>::quiet_NaN();
      }
    }
  }
  int tokens() const { return static_cast<int>(routing.tokens()); }
  int experts() const { return static_cast<int>(routing.experts()); }

  template <class L>
  Added<R> by_cpu(const L& loss) const {
    Added<R> result{dscores, dlogits, 0.0};
    std::vector<R> scratch(static_cast<std::size_t>(experts()));
    auto view = routing.view();
    view.valid_tokens = real;
    const auto matrix = [&](const std::vector<R>& v) {
      return xmoe::MatrixView<const R>(v.data(), tokens(), experts());
    };
    const auto writable = [&](std::vector<R>& v) {
      return xmoe::MatrixView<R>(v.data(), tokens(), experts());
    };
    result.value = loss.evaluate(
        xmoe::LossView<R>{matrix(logits), matrix(scores), view, in(valid), out(scratch)},
        writable(result.dscores), writable(result.dlogits));
    return result;
  }
  template <class L>
  Added<R> by_device(const L& loss, unsigned seed) const {
    const Emulated emulated(seed);
    const SlotsOnDevice<R> slots(routing, 5);
    OnDevice<R> z(logits), s(scores);
    const OnDevice<R> ds(dscores), dz(dlogits);
    const OnDevice<std::uint8_t> mask(valid);
    const OnDevice<int> valid_tokens(std::vector<int>{static_cast<int>(real)});
    const OnDevice<double> value(std::vector<double>{-9.0}),
        scratch(std::vector<double>(xmoe::cuda::loss_scratch_bytes<R>(experts()) / 8 + 1, -7.0));
    xmoe::cuda::DeviceLoss<R> a{slots.view(), nullptr, ds.data(), dz.data(), value.data()};
    a.routing.logits = z.data();
    a.routing.scores = s.data();
    if (!valid.empty()) {
      a.valid = mask.data();
      a.routing.valid_tokens = valid_tokens.data();
    }
    emulation::reset_counters();
    xmoe::cuda::add_loss(nullptr, loss, a, scratch.data());
    const auto counts = emulation::counters();
    REQUIRE((counts.copies == 0 && counts.allocations == 0 && counts.synchronizations == 0));
    return {ds.numbers(), dz.numbers(), value.numbers()[0]};
  }
};

template <class R>
bool close(const Added<R>& got, const Added<R>& want) {
  const auto wide_numbers = [](const std::vector<R>& v) {
    return std::vector<double>(v.begin(), v.end());
  };
  return agree(got.dscores, wide_numbers(want.dscores), tolerance<R>(64, 1.0)) &&
         agree(got.dlogits, wide_numbers(want.dlogits), tolerance<R>(64, 1.0)) &&
         within(got.value, want.value, tolerance<R>(64, 1.0 + std::abs(want.value)));
}

template <class R, class L>
void check(const L& loss) {
  for (const int experts : emulation::sizes({1, 2, 33, 70}, {2, 33})) {
    for (const int tokens : emulation::sizes({0, 1, 33, 600}, {0, 33})) {
      for (const bool masked : {false, true}) {
        INFO("T " << tokens << ", E " << experts << ", masked " << masked);
        const LossNumbers<R> numbers(tokens, experts, masked,
                                     static_cast<std::uint64_t>(tokens + experts));
        const auto want = numbers.by_cpu(loss);
        const auto got = numbers.by_device(loss, 0);
        const auto again = numbers.by_device(loss, 5);
        REQUIRE(close(got, want));
        require_same_bits(got.dscores, again.dscores);
        require_same_bits(got.dlogits, again.dlogits);
        REQUIRE(got.value == again.value);
        auto off = want;
        off.value += 1e-3 * (1.0 + std::abs(want.value));
        REQUIRE_FALSE(close(got, off));
        if (tokens > 1) {
          L none = loss;
          none.coefficient = 0.f;
          REQUIRE((experts == 1 || !close(numbers.by_device(none, 0), want)));
        }
      }
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("loss: balance as on the CPU", "[cuda]", float, double) {
  using R = TestType;
  check<R>(LoadBalance<>{2.f});
  check<R>(LoadBalance<counting::AllPerToken, over::SoftmaxOfLogits>{3.f});
  check<R>(LoadBalance<counting::AllPerClaim, over::NormalizedScores>{3.f});
}

TEMPLATE_TEST_CASE("loss: z-loss as on the CPU", "[cuda]", float, double) {
  check<TestType>(ZLoss{2.f});
}

}  // namespace tests
