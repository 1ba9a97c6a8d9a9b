// SPDX-License-Identifier: Apache-2.0
// The thread sanitizer is silent about the grouped products, and misses none of their barriers.
#include <xmoe/backend/cuda/grouped_ffn.cuh>

#include "grouped_case.hpp"
#include "races_case.hpp"

namespace tests {
namespace {

using namespace xmoe::cuda;

/// One block does everything: several tiles in a row, several steps a tile.
template <class M, class S>
struct Products {
  const Emulated one_multiprocessor{emulation::settings().seed, 1};
  const Plan plan{{3, 40}, 40};
  const Bank<S> up{2, 40, 75, 1}, down{2, 75, 40, 2};
  const Matrix<S> x = random_matrix<S>(40, 75, 80, 3);
  const OnDevice<S> rows{x.numbers}, out{std::vector<S>(43 * 80)}, h{std::vector<S>(43 * 40)},
      dw{std::vector<S>(2 * 40 * 80)};
  const DeviceRows<S> gathered{rows.data(), 80, plan.device_token.data()};

  void fused() const {
    grouped_ffn<M>(nullptr, plan.groups(), gathered, up.view(), down.view(),
                   StoreActivation<xmoe::activation::Gelu, S>{},
                   Store<S>{epilogue_rows(out.data(), 80)});
  }
  void forward() const {
    grouped_forward<M>(nullptr, plan.groups(), gathered, up.view(),
                       Store<S>{epilogue_rows(h.data(), 40)});
  }
  void input_gradient() const {
    grouped_input_gradient<M>(nullptr, plan.groups(), DeviceRows<S>{h.data(), 40, nullptr},
                              up.view(), Store<S>{epilogue_rows(out.data(), 80)});
  }
  void weight_gradient() const {
    grouped_weight_gradient<M>(nullptr, plan.groups(), DeviceRows<S>{h.data(), 40, nullptr},
                               gathered, DeviceMatrices<S>{dw.data(), 2, 40, 75, 80}, false);
  }
};

template <class M, class S, void (Products<M, S>::*step)() const>
void run() {
  const Products<M, S> products;
  (products.*step)();
}

template <class M, class S>
std::vector<RaceStep> steps() {
  using P = Products<M, S>;
  return {{"forward", run<M, S, &P::forward>},
          {"fused", run<M, S, &P::fused>},
          {"input gradient", run<M, S, &P::input_gradient>},
          {"weight gradient", run<M, S, &P::weight_gradient>}};
}

}  // namespace

TEST_CASE("grouped products in plain arithmetic: no races, and no barrier too many", "[threads]") {
  check_barriers(steps<Simt, float>(), {"grouped_simt.cuh"});
}

TEST_CASE("grouped products on tensor cores: no races, and no barrier too many", "[threads]") {
  check_barriers(steps<TensorCore, xmoe::bfloat16>(), {"grouped_mma.cuh"});
}

}  // namespace tests
