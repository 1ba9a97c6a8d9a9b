// SPDX-License-Identifier: Apache-2.0
#include "replay.hpp"
#include "sides.hpp"

#include <xmoe/xmoe.hpp>

namespace xmoe_bench {

namespace {

template <class Expert>
class XmoeSide : public Side {
 public:
  XmoeSide(const Problem& problem, index threads, bool training, GradientMemory& gradients)
      : Side(problem), layer_(sizes(problem.shape), config(problem), xmoe::cpu::Backend(threads)) {
    load(0, problem.up);
    load(1, problem.down);
    tapes_.resize(problem.routings.size());
    if (training) {
      gradients_ = layer_.make_gradients();
      gradients = {gradient(0).values().data(), gradient(1).values().data()};
    }
    const index tokens = problem_.shape.tokens;
    const index infer = layer_.workspace_bytes(tokens);
    const index train = layer_.training_workspace_bytes(tokens);
    workspace_ = xmoe::Workspace(infer > train ? infer : train);
  }
  void forward(index i) override {
    replay(i);
    layer_.forward(workspace_, view(problem_.x), view(y));
  }
  void record(index i) override {
    replay(i);
    layer_.prepare(tape(i), problem_.shape.tokens);
    layer_.record(workspace_, view(problem_.x), view(y), tape(i));
  }
  void backward(index i) override {
    replay(i);
    layer_.backward(workspace_, tape(i), view(problem_.dy), view(dx), gradients_);
  }
  void zero_gradients() override { gradients_.zero(); }
  std::vector<float> project_gradients() const override {
    std::vector<float> result;
    for (std::size_t p : {std::size_t{0}, std::size_t{1}}) {
      const xmoe::Panels<float>& g = gradient(p);
      for (index e = 0; e < g.count(); ++e) {
        for (index row = 0; row < g.rows(); ++row) {
          float sum = 0.f;
          for (index col = 0; col < g.cols(); ++col) {
            sum += g.at(e, row, col) * projector(col);
          }
          result.push_back(sum);
        }
      }
    }
    return result;
  }

 private:
  using Layer = xmoe::MoeLayer<Replay, Expert, xmoe::dispatch::Dropless>;

  static xmoe::Sizes sizes(const Shape& s) { return {s.model_dim, s.experts(), s.expert_dim}; }
  static typename Layer::Config config(const Problem& problem) {
    typename Layer::Config result;
    result.router.routing = &problem.routings[0];
    result.expert.bias = false;
    return result;
  }
  void load(std::size_t parameter, const xmoe::Buffer<float>& numbers) {
    layer_.parameters()[parameter].template as<float>().load(
        {numbers.data(), static_cast<std::size_t>(numbers.size())});
  }
  xmoe::Panels<float>& gradient(std::size_t parameter) const {
    return gradients_.parameters()[parameter].template as<float>();
  }
  void replay(index i) {
    layer_.config().router = {&problem_.routings[static_cast<std::size_t>(i)], dweight.data()};
  }
  typename Layer::Tape& tape(index i) { return tapes_[static_cast<std::size_t>(i)]; }
  template <class B>
  auto view(B& numbers) const {
    return xmoe::MatrixView(numbers.data(), problem_.shape.tokens, problem_.shape.model_dim);
  }

  Layer layer_;
  xmoe::Workspace workspace_;
  std::vector<typename Layer::Tape> tapes_;
  mutable typename Layer::Gradients gradients_;  // its list of tensors is not const
};

}  // namespace

std::unique_ptr<Side> make_xmoe(const Problem& problem, index threads, bool training,
                                GradientMemory& gradients) {
  if (problem.shape.gated) {
    using Expert = xmoe::expert::Glu<xmoe::activation::Silu>;
    return std::make_unique<XmoeSide<Expert>>(problem, threads, training, gradients);
  }
  using Expert = xmoe::expert::Ffn<xmoe::activation::Relu>;
  return std::make_unique<XmoeSide<Expert>>(problem, threads, training, gradients);
}

}  // namespace xmoe_bench
