// SPDX-License-Identifier: Apache-2.0
// An exception inside an expert of one's own reaches the caller, whatever thread it started on, and
// the layer, its backend and its memory work on.
#include <stdexcept>

#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::index;
using tests::Numbers;

/// f_e(x) = (e + 1) x, computed row by row in parallel; throws at tokens whose first number says
/// so.
struct Moody {
  template <class Traits>
  void forward(Context<Traits>& ctx, const NoWeights&, const PlanView& plan,
               MatrixView<const typename Traits::scalar> x,
               const RowSum<typename Traits::scalar>& y, auto*) const {
    using S = typename Traits::scalar;
    const index dim = x.cols();
    const Workspace::Scope scope(ctx.workspace);
    S* const rows = ctx.workspace.template take<S>(plan.kept * dim);
    if (ctx.measuring()) {
      return;
    }
    ctx.backend.parallel(plan.kept, [&](index m, index) {
      index e = 0;
      while (plan.expert_offsets[e + 1] <= m) {
        ++e;
      }
      const auto* from = x.row_data(plan.token[m]);
      if (from[0] > 1000) {
        throw std::runtime_error("expert in a mood");
      }
      for (index d = 0; d < dim; ++d) {
        rows[m * dim + d] = static_cast<S>(e + 1) * from[d];
      }
    });
    y.clear();
    for (index m = 0; m < plan.kept; ++m) {
      y.add(m, 0, dim, rows + m * dim);
    }
  }
};
using Layer =
    MoeLayer<Router<gate::Linear, score::Softmax, select::All>, Moody, dispatch::Dropless>;

TEST_CASE("exceptions of an expert propagate without a deadlock", "[threads]") {
  for (index threads : {1, 2, 3, 8}) {
    INFO(threads << " threads");
    Layer layer(Sizes{.model_dim = 4, .experts = 3, .expert_dim = 1}, {}, cpu::Backend(threads));
    Numbers<float> x(100, 4);
    Numbers<float> y(100, 4);
    x.fill(1.f);
    layer.forward(x.view(), y.view());
    for (int repeat = 0; repeat < 20; ++repeat) {
      x.view()(37 + repeat, 0) = 2000.f;
      std::string text;
      try {
        layer.forward(x.view(), y.view());
      } catch (const std::runtime_error& e) {
        text = e.what();
      }
      CHECK(text == "expert in a mood");
      x.view()(37 + repeat, 0) = 1.f;
      layer.forward(x.view(), y.view());
      // weights 1/3 each: (1 + 2 + 3) / 3 = 2
      CHECK(tests::within(static_cast<double>(y.view()(99, 3)), 2.0,
                          tests::tolerance<float>(3, 2.0)));
    }
  }
}

TEST_CASE("exceptions of a parallel loop: the first one arrives, the rest is abandoned",
          "[threads]") {
  const cpu::Backend backend(4);
  for (int repeat = 0; repeat < 50; ++repeat) {
    int caught = 0;
    try {
      backend.parallel(1000, [](index item, index) {
        if (item % 10 == 3) {
          throw static_cast<int>(item);
        }
      });
    } catch (int) {
      ++caught;
    }
    CHECK(caught == 1);
  }
}

}  // namespace
