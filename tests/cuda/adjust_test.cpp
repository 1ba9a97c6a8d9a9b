// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/adjust.cuh>

#include <xmoe/router/adjust/expert_dropout.hpp>
#include <xmoe/router/adjust/gauss_noise.hpp>
#include <xmoe/router/adjust/gumbel_noise.hpp>
#include <xmoe/router/adjust/mask.hpp>
#include <xmoe/router/adjust/temper.hpp>

#include "route_case.hpp"

namespace tests {
namespace {

using namespace xmoe::cuda;
namespace adjust = xmoe::adjust;
using xmoe::Mode;
using xmoe::RowSite;

const xmoe::Random stream{.seed = 8, .stream = 3};

template <bool backward, class R, class P>
void check(const P& policy, const Logits<R>& l, Mode mode) {
  std::vector<R> want = l.z;
  for (int t = 0; t < l.tokens; ++t) {
    if (l.valid.empty() || l.valid[at(t)] != 0) {
      const RowSite site{t, 0, mode, stream};
      const xmoe::VectorView<R> row{want.data() + t * l.experts, l.experts};
      if constexpr (backward) {
        policy.row_backward(site, row);
      } else {
        policy.row(site, row);
      }
    }
  }
  for (const unsigned seed : {0u, 7u}) {
    const Emulated emulated(seed);
    const OnDevice<R> numbers(l.z);
    const OnDevice<std::uint8_t> valid(l.valid);
    xmoe::cuda::detail::adjust_rows<backward>(
        nullptr, policy,
        xmoe::cuda::detail::AdjustArguments<R>{numbers.data(), numbers.data(), l.tokens, l.experts,
                                               l.valid.empty() ? nullptr : valid.data(), mode,
                                               stream});
    REQUIRE(same_numbers(numbers.numbers(), want));
    if (!want.empty() && !xmoe::is_nan(want[want.size() / 2])) {
      REQUIRE_FALSE(same_numbers(numbers.numbers(), one_bit_off(want)));
    }
  }
}

TEMPLATE_TEST_CASE("adjust: rows have the CPU's bits", "[cuda]", float, double) {
  using R = TestType;
  for (const int experts : {1, 8, 33}) {
    for (const int tokens : {0, 1, 33, 150}) {
      INFO("T " << tokens << ", E " << experts);
      const auto l = with_mask(random_logits<R>(tokens, experts, 3), 4);
      for (const Mode mode : {Mode::train, Mode::infer}) {
        check<false>(adjust::GaussNoise{0.5f}, l, mode);
        check<false>(adjust::GumbelNoise{}, l, mode);
        check<false>(adjust::ExpertDropout{0.3f}, l, mode);
        check<true>(adjust::ExpertDropout{0.3f}, l, mode);
      }
      check<false>(adjust::Temper{0.7f}, l, Mode::train);
      check<true>(adjust::Temper{0.7f}, l, Mode::train);
    }
  }
}

TEST_CASE("adjust: what runs on a device", "[cuda]") {
  using xmoe::Cuda;
  using xmoe::supports;
  namespace gate = xmoe::gate;
  CHECK(supports<gate::Adjusted<gate::Linear, adjust::GaussNoise>, Cuda<float>>);
  CHECK(supports<gate::Adjusted<gate::Adjusted<gate::Linear, adjust::Temper>, adjust::GumbelNoise>,
                 Cuda<float>>);
  CHECK_FALSE(supports<gate::Adjusted<gate::Linear, adjust::Mask>, Cuda<float>>);
}

}  // namespace
}  // namespace tests
