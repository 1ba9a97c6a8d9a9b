// SPDX-License-Identifier: Apache-2.0
// Every kernel from the gate to the plan, of combine, losses and optimizers, for every scalar and
// the library's policies: what the gates on registers, local memory and instructions look at.
// Compiled, never run.
//
// Compiled in pieces (check.sh). What reads logits and scores only is the same kernel for float,
// bfloat16 and half, and is made once, with float.
// piece float     SCALAR=float
// piece double    SCALAR=double
// piece bfloat16  SCALAR=xmoe::bfloat16
// piece half      SCALAR=xmoe::half
#include <xmoe/backend/cuda/capacity.cuh>
#include <xmoe/backend/cuda/combine.cuh>
#include <xmoe/backend/cuda/gate.cuh>
#include <xmoe/backend/cuda/loss.cuh>
#include <xmoe/backend/cuda/optimizer.cuh>
#include <xmoe/backend/cuda/route.cuh>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/weigh/normalized.hpp>
#include <xmoe/router/weigh/softmax_picked.hpp>

namespace gates {

using namespace xmoe;
using namespace xmoe::cuda;

/// What a user may write: the kernels for any policy take it, by its own row functions.
template <class Score>
struct Foreign {
  Score score{};
  template <class R>
  XMOE_HD void row(VectorView<const R> logits, VectorView<R> scores) const {
    score.row(logits, scores);
  }
  template <class R>
  XMOE_HD void row_backward(VectorView<const R> logits, VectorView<const R> scores,
                            VectorView<const R> dscores, VectorView<R> dlogits) const {
    score.row_backward(logits, scores, dscores, dlogits);
  }
};

/// Calls everything; each call instantiates the kernels that it would launch.
template <class S>
struct All {
  using R = routing_scalar<S>;
  using Sum = sum_type<S>;

  template <class Score, class Select, class Weigh, class Own = NoDeviceWeights>
  static void router(const RouteArguments<R>& a, const RouteGradient<R>& g, const Own& own = {}) {
    cuda::route(nullptr, Score{}, Select{}, Weigh{}, own, a);
    cuda::route_backward(nullptr, Score{}, Weigh{}, g);
  }
  static void routers(const RouteArguments<R>& a, const RouteGradient<R>& g) {
    router<score::Softmax, select::Threshold, weigh::Raw>(a, g);
    router<score::Softmax, select::TopOne, weigh::Raw>(a, g);
    router<score::Softmax, select::TopK, weigh::Normalized>(a, g);
    router<score::Softmax, select::All, weigh::Unit>(a, g);
    router<score::Identity, select::TopK, weigh::SoftmaxPicked>(a, g);
    router<score::Sigmoid, select::Biased<select::TopK>, weigh::Normalized>(a, g,
                                                                            DeviceSelectBias<R>{});
    router<Foreign<score::Softmax>, select::Threshold, weigh::Raw>(a, g);
    router<Foreign<score::Softmax>, select::TopK, weigh::Normalized>(a, g);
  }
  static void gate(const DeviceMatrix<const S>& x, const DeviceMatrix<S>& dx) {
    gate_forward<S, R>(nullptr, x, {}, {}, nullptr);
    gate_input_gradient<S, R>(nullptr, nullptr, DeviceGate<const R>{}, {}, nullptr, dx);
    gate_weight_gradient<S, R>(nullptr, nullptr, x, {}, nullptr, DeviceGate<R>{}, true, nullptr);
  }
  template <class F>
  static void rows(const DeviceRouting<R>& r, const DevicePlan& p, const DeviceMatrix<const S>& x,
                   const DeviceMatrix<S>& y, const DeviceMatrix<const F>& f,
                   const DeviceMatrix<F>& df) {
    combine<R, F, S>(nullptr, r, p, true, f, y);
    sum_by_token<R, F, S>(nullptr, r, p, f, y);
    spread_rows<R, S, F>(nullptr, r, p, x, df);
    weight_gradient<R, S, F>(nullptr, p, x, f, nullptr);
  }
  template <class P>
  static void capacity(const DeviceRouting<R>& r, const DevicePlan& p) {
    sort_with_capacity<P>(nullptr, {}, {}, r, 0, p, nullptr);
  }
  template <class Over>
  static void balance(const DeviceLoss<R>& a) {
    add_loss(nullptr, loss::LoadBalance<loss::counting::FirstChoice, Over>{}, a, nullptr);
  }
  static void routing(const DeviceRouting<R>& r, const DevicePlan& p) {
    routers({}, {});
    capacity<priority::RankThenProbability>(r, p);
    capacity<priority::RankThenToken>(r, p);
    capacity<priority::Probability>(r, p);
    capacity<priority::Random>(r, p);
    balance<loss::over::Scores>({});
    balance<loss::over::NormalizedScores>({});
    balance<loss::over::SoftmaxOfLogits>({});
    add_loss(nullptr, loss::ZLoss{}, DeviceLoss<R>{}, nullptr);
  }
  static void all() {
    const DeviceRouting<R> r;
    const DevicePlan p;
    if constexpr (std::is_same_v<S, R>) {
      routing(r, p);
    }
    gate({}, {});
    rows<S>(r, p, {}, {}, {}, {});
    if constexpr (!std::is_same_v<S, Sum>) {
      rows<Sum>(r, p, {}, {}, {}, {});
    }
    optimizer_step(nullptr, DeviceTrained<S>{}, SgdStep<Sum>{});
    optimizer_step(nullptr, DeviceTrained<S>{}, AdamStep<Sum>{});
  }
};

void take() { All<XMOE_GATE_SCALAR>::all(); }

}  // namespace gates
