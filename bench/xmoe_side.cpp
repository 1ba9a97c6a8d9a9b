// SPDX-License-Identifier: Apache-2.0
#include "replay.hpp"
#include "sides.hpp"

#include <xmoe/xmoe.hpp>

namespace xmoe_bench {

namespace {

template <class Expert, class Traits>
class XmoeSide : public OurSide {
 public:
  XmoeSide(const Bank& bank, index threads)
      : layer_({bank.shape.model_dim, bank.shape.experts(), bank.shape.expert_dim}, config(),
               xmoe::cpu::Backend(threads)),
        threads_(threads) {
    load(0, bank.up);
    load(1, bank.down);
  }

  GradientMemory train() override {
    if (gradients_.parameters().empty()) {
      gradients_ = layer_.make_gradients();
    }
    return {gradient(0).values().data(), gradient(1).values().data()};
  }
  void set_threads(index threads) override {
    if (std::exchange(threads_, threads) != threads) {
      layer_.set_backend(xmoe::cpu::Backend(threads));
    }
  }
  void take(const Problem& problem) override {
    Side::take(problem);
    const auto most = std::max_element(
        problem.routings.begin(), problem.routings.end(),
        [](const auto& a, const auto& b) { return a.assignments() < b.assignments(); });
    layer_.config().router = {&*most, dweight.data()};  // memory for the largest
    const index tokens = problem.shape.tokens;
    workspace_ = xmoe::Workspace(
        std::max(layer_.workspace_bytes(tokens), layer_.training_workspace_bytes(tokens)));
    tapes_ = std::vector<typename Layer::Tape>(problem.routings.size());
  }

  void forward(index i) override {
    replay(i);
    layer_.forward(workspace_, view(problem().x), view(y));
  }
  void record(index i) override {
    replay(i);
    layer_.prepare(tape(i), problem().shape.tokens);
    layer_.record(workspace_, view(problem().x), view(y), tape(i));
  }
  void backward(index i) override {
    replay(i);
    if (writes_gradients(problem().shape)) {
      gradients_.restart();
    }
    layer_.backward(workspace_, tape(i), view(problem().dy), view(dx), gradients_);
  }
  void zero_gradients() override { gradients_.restart(); }
  std::vector<float> project_gradients() override {
    std::vector<float> result;
    for (std::size_t p : {std::size_t{0}, std::size_t{1}}) {
      const xmoe::Panels<float>& g = gradient(p);
      for (index e = 0; e < g.count(); ++e) {
        for (index row = 0; row < g.rows(); row += gradient_stride(g.rows())) {
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
  using Layer = xmoe::MoeLayer<Replay, Expert, xmoe::dispatch::Dropless, Traits>;

  static typename Layer::Config config() {
    typename Layer::Config result;
    result.expert.bias = false;
    return result;
  }
  void load(std::size_t parameter, const xmoe::Buffer<float>& numbers) {
    layer_.parameters()[parameter].template as<typename Traits::weight>().load(
        std::span<const float>(numbers.data(), static_cast<std::size_t>(numbers.size())));
  }
  xmoe::Panels<float>& gradient(std::size_t parameter) {
    return gradients_.parameters()[parameter].template as<float>();
  }
  void replay(index i) { layer_.config().router = {&routing(i), dweight.data()}; }
  typename Layer::Tape& tape(index i) { return tapes_[static_cast<std::size_t>(i)]; }
  template <class B>
  auto view(B& numbers) const {
    return xmoe::MatrixView(numbers.data(), problem().shape.tokens, problem().shape.model_dim);
  }

  Layer layer_;
  index threads_;
  xmoe::Workspace workspace_;
  std::vector<typename Layer::Tape> tapes_;
  typename Layer::Gradients gradients_;
};

template <class Traits>
std::unique_ptr<OurSide> make(const Bank& bank, index threads) {
  if (bank.shape.gated) {
    return std::make_unique<XmoeSide<xmoe::expert::Glu<xmoe::activation::Silu>, Traits>>(bank,
                                                                                         threads);
  }
  return std::make_unique<XmoeSide<xmoe::expert::Ffn<xmoe::activation::Relu>, Traits>>(bank,
                                                                                       threads);
}

}  // namespace

std::unique_ptr<OurSide> make_xmoe(const Bank& bank, Scalar scalar, index threads) {
  return scalar == Scalar::bf16 ? make<xmoe::Cpu<float, xmoe::bfloat16>>(bank, threads)
                                : make<xmoe::Cpu<float>>(bank, threads);
}

}  // namespace xmoe_bench
