// SPDX-License-Identifier: Apache-2.0
// expect: MoeLayer::backward: the router has no backward: one of Gate, Score, Weigh
// errors: 2
#include <xmoe/xmoe.hpp>

namespace {

using namespace xmoe;

/// A score that nobody wrote a gradient for: fine for inference.
struct Hard {
  template <class R>
  void row(VectorView<const R> logits, VectorView<R> scores) const {
    for (xmoe::index e = 0; e < scores.size(); ++e) {
      scores[e] = logits[e] > R(0) ? R(1) : R(0);
    }
  }
};

using Layer = MoeLayer<Router<gate::Linear, Hard, select::TopK>, expert::Ffn<activation::Gelu>,
                       dispatch::Dropless>;

}  // namespace

Summary infer(const Layer& layer, In<float> x, Out<float> y) { return layer.forward(x, y); }

#if defined(XMOE_BAD)
void learn(const Layer& layer, const Layer::Tape& tape, In<float> dy, Out<float> dx,
           Layer::Gradients& gradients) {
  layer.backward(tape, dy, dx, gradients);
}
#endif
