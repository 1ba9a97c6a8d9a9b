// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "oracle_checks.hpp"

// What a call does besides its numbers: bits, reports, errors, steps of optimizers, graphs.
namespace gpu_check {

/// Bits from run to run, and for batch mates: large and small tiles, two products and the
/// two-layer kernel.
template <class S>
void check_bits(Findings& findings) {
  const index tokens = emulated ? 70 : 257;
  for (const Shape& s : {Shape{tokens, 4, 16, 40}, Shape{tokens, 4, 16, 264}}) {
    findings.about("H " + std::to_string(s.hidden));
    const HeldLayer<SwiGlu, S> held(case_of<SwiGlu, S>(s, 80));
    const auto all = held.forward(0, s.tokens);
    findings.same_bits("y of a second run", held.forward(0, s.tokens), all);
    for (const index first : {index(0), s.tokens - 3}) {
      const std::vector<S> want(all.begin() + first * s.dim, all.begin() + (first + 3) * s.dim);
      findings.same_bits("y of 3 tokens alone", held.forward(first, 3), want);
    }
    const auto pass = held.pass();
    findings.same_bits("y while training", pass.y, all);
    findings.about("H " + std::to_string(s.hidden) + ", a second training pass");
    same_bits(findings, held.pass(), pass);
  }
}

/// What summary() says, and that a NaN is reported once, by name.
template <class S>
void check_reports(Findings& findings) {
  Case c = case_of<Xmoe, S>({40, 5, 24, 20}, 90);
  c.setup.capacity.factor = 0.6;
  HeldLayer<Xmoe, S> held(c);
  const reference::Forward f = reference::route(c.setup, c.x);
  index claims = 0, kept = 0;
  for (const auto& row : f.chosen) {
    for (const reference::Claim& claim : row) {
      ++claims;
      kept += claim.kept ? 1 : 0;
    }
  }
  const auto clean = held.forward(0, 40);
  const xmoe::Summary summary = held.layer.summary();
  findings.equal("tokens", summary.tokens, 40);
  findings.equal("wanted", summary.wanted, claims);
  findings.equal("kept", summary.kept, kept);
  findings.equal("dropped", summary.dropped, claims - kept);
  findings.equal("capacity", summary.capacity, f.capacity);
  findings.that("something is dropped", claims > kept && kept > 0);

  auto numbers = rounded<S>(c.x.values);
  numbers[5 * 24 + 7] = S(std::numeric_limits<xmoe::sum_type<S>>::quiet_NaN());
  held.x.upload(nullptr, numbers);
  held.forward(0, 40);
  std::string text = "none";
  try {
    held.layer.summary();
  } catch (const xmoe::value_error& e) {
    text = e.what();
  }
  findings.that("the NaN of token 5 is reported: " + text,
                text.find("token 5, expert 0 is NaN or +Inf") != std::string::npos);
  findings.equal("tokens after the report", held.layer.summary().tokens, 40);

  held.x.upload(nullptr, rounded<S>(c.x.values));
  findings.same_bits("y after the report", held.forward(0, 40), clean);
  typename HeldLayer<Xmoe, S>::Buffer none;
  held.layer.forward(held.tokens(0, 0), held.matrix(none, 0, 24));
  findings.equal("kept of an empty batch", held.layer.summary().kept, 0);
}

inline std::string text_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const xmoe::error& e) {
    return e.what();
  }
  return "no error";
}

/// Errors at the edge and from the runtime; the layer is as good as before.
template <class S>
void check_errors(Findings& findings) {
  using Held = HeldLayer<SwiGlu, S>;
  const Held held(case_of<SwiGlu, S>({9, 5, 24, 20}, 100));
  const auto before = held.forward(0, 9);
  typename Held::Buffer y = held.nans(9), dx = held.nans(9);
  findings.equal("wrong rows",
                 text_of([&] { held.layer.forward(held.tokens(), held.matrix(y, 8, 24)); }),
                 "xmoe::MoeLayer::forward: y has 8 rows, must have 9");
  findings.equal("wrong columns", text_of([&] {
                   held.layer.forward(typename Held::ConstMatrix(held.x.data(), 9, 23),
                                      held.matrix(y, 9, 24));
                 }),
                 "xmoe::MoeLayer::forward: x has 23 columns, model_dim is 24");
  typename Held::L::Tape tape;
  auto gradients = held.layer.make_gradients();
  findings.equal("nothing recorded", text_of([&] {
                   held.layer.backward(tape, held.output_gradient(), held.matrix(dx, 9, 24),
                                       gradients);
                 }),
                 "xmoe::MoeLayer::backward: nothing is recorded on this tape");
  xmoe::cuda::DeviceWorkspace small(held.layer.workspace_bytes(9) - 1);
  findings.that("a workspace that is too small is an error",
                text_of([&] {
                  held.layer.forward(small, held.tokens(), held.matrix(y, 9, 24));
                }).find("bytes needed, the workspace has") != std::string::npos);
  int code = 0;
  try {
    const xmoe::cuda::DeviceBuffer<std::byte> huge(index(1) << 50, xmoe::uninitialized);
  } catch (const xmoe::cuda_error& e) {
    code = e.code;
  }
  findings.equal("code of memory that does not exist", code,
                 static_cast<long long>(cudaErrorMemoryAllocation));
  static_cast<void>(cudaGetLastError());  // the runtime still remembers it
  findings.same_bits("y after the errors", held.forward(0, 9), before);
}

/// Two steps of AdamW from the formula, and of Sgd with momentum.
template <class Method, class S, class Step>
void check_method(Findings& findings, typename Method::Options options, const Step& formula) {
  HeldLayer<SwiGlu, S> held(case_of<SwiGlu, S>({33, 5, 24, 20}, 110));
  xmoe::cuda::DeviceOptimizer<Method> optimizer(nullptr, held.layer.parameters(), options);
  std::vector<Named> weights = numbers_of(held.layer.parameters());
  std::vector<Vector> first, second;
  for (const Named& w : weights) {
    first.emplace_back(w.values.size(), 0.0);
    second.emplace_back(w.values.size(), 0.0);
  }
  for (int step = 1; step <= 2; ++step) {
    auto gradients = held.layer.make_gradients();
    typename HeldLayer<SwiGlu, S>::Buffer y = held.nans(33), dx = held.nans(33);
    typename HeldLayer<SwiGlu, S>::L::Tape tape;
    held.layer.record(held.tokens(), held.matrix(y, 33, 24), tape);
    held.layer.backward(tape, held.output_gradient(), held.matrix(dx, 33, 24), gradients);
    const auto g = numbers_of(gradients.parameters());
    optimizer.step(held.layer.parameters(), gradients.parameters());
    const auto got = numbers_of(held.layer.parameters());
    for (std::size_t i = 0; i < weights.size(); ++i) {
      double scale = 0.0;
      for (std::size_t j = 0; j < weights[i].values.size(); ++j) {
        formula(weights[i].values[j], g[i].values[j], first[i][j], second[i][j], step);
        scale = std::fmax(scale, std::abs(weights[i].values[j]));
      }
      const bool narrow = xmoe::NarrowWeight<S> && weights[i].name.find("expert.") == 0;
      const double limit = narrow ? allowed<S>({"", {scale / 4}, 1})
                                  : tests::tolerance<xmoe::sum_type<S>>(16, scale);
      findings.about("step " + std::to_string(step));
      findings.close(weights[i].name, got[i].values, weights[i].values, limit);
    }
  }
  findings.equal("steps taken", optimizer.steps(), 2);
}
template <class S>
void check_optimizers(Findings& findings) {
  using namespace xmoe::optimizer;
  const AdamW::Options a{.learning_rate = 0.25f, .decay = 0.1f};
  check_method<AdamW, S>(findings, a, [&](double& w, double g, double& m, double& v, int n) {
    m = a.beta1 * m + (1.0 - a.beta1) * g;
    v = a.beta2 * v + (1.0 - a.beta2) * g * g;
    const double mean = m / (1.0 - std::pow(a.beta1, n)), square = v / (1.0 - std::pow(a.beta2, n));
    w -= a.learning_rate * (mean / (std::sqrt(square) + a.epsilon) + a.decay * w);
  });
  const Sgd::Options s{.learning_rate = 0.05f, .momentum = 0.9f};
  check_method<Sgd, S>(findings, s, [&](double& w, double g, double& v, double&, int) {
    v = s.momentum * v + g;
    w -= s.learning_rate * v;
  });
}

#if defined(__CUDACC__)

/// A captured call; replays write the bits of the call itself.
class Graph {
 public:
  template <class F>
  Graph(cudaStream_t stream, const F& calls) : stream_(stream) {
    using xmoe::cuda::check;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
    try {
      calls();
    } catch (...) {
      static_cast<void>(cudaStreamEndCapture(stream, &graph_));
      static_cast<void>(cudaGetLastError());
      throw;
    }
    check(cudaStreamEndCapture(stream, &graph_), "cudaStreamEndCapture");
    check(cudaGraphInstantiateWithFlags(&run_, graph_, 0), "cudaGraphInstantiateWithFlags");
  }
  ~Graph() {
    if (run_ != nullptr) {
      cudaGraphExecDestroy(run_);
    }
    cudaGraphDestroy(graph_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void replay() const {
    xmoe::cuda::check(cudaGraphLaunch(run_, stream_), "cudaGraphLaunch");
    xmoe::cuda::check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }

 private:
  cudaStream_t stream_;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t run_ = nullptr;
};

/// Forward, and forward with backward, captured in a graph and replayed twice, the second time on
/// other tokens: what the graph does is decided on the device.
template <class Kind, class S>
void check_graph(Findings& findings) {
  constexpr index rows = 257, cols = 24;
  const Case c = case_of<Kind, S>({rows, 5, cols, 40}, 120);
  const Case other = case_of<Kind, S>({rows, 5, cols, 40}, 121);
  const xmoe::cuda::Stream stream;
  HeldLayer<Kind, S> held(c, xmoe::cuda::Backend(stream));
  stream.synchronize();
  auto& layer = held.layer;
  xmoe::cuda::DeviceWorkspace workspace(layer.workspace_bytes(rows));
  xmoe::cuda::DeviceWorkspace scratch(layer.training_workspace_bytes(rows));
  typename HeldLayer<Kind, S>::L::Tape tape;
  layer.prepare(tape, rows);
  auto gradients = layer.make_gradients();
  auto y = held.nans(rows), inferred = held.nans(rows), dx = held.nans(rows);
  xmoe::cuda::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  const auto calls = [&] {
    layer.forward(workspace, held.tokens(), held.matrix(inferred, rows, cols));
    layer.record(scratch, held.tokens(), held.matrix(y, rows, cols), tape);
    gradients.restart();
    layer.backward(scratch, tape, held.output_gradient(), held.matrix(dx, rows, cols), gradients);
  };
  const auto results = [&] {
    stream.synchronize();
    Pass<S> pass{on_host(y), on_host(dx), numbers_of(gradients.parameters())};
    pass.gradients.push_back({"y without a tape", widened(on_host(inferred))});
    for (auto* buffer : {&y, &dx, &inferred}) {
      buffer->fill(nullptr, 0xff);
    }
    xmoe::cuda::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    return pass;
  };
  calls();
  const Pass<S> want = results();
  held.x.upload(nullptr, rounded<S>(other.x.values));
  calls();
  const Pass<S> want_other = results();
  findings.that("other tokens give other numbers",
                want.gradients[0].values != want_other.gradients[0].values);

  const Graph graph(stream.get(), calls);
  findings.about("replay");
  graph.replay();
  same_bits(findings, results(), want_other);
  held.x.upload(nullptr, rounded<S>(c.x.values));
  findings.about("replay on other tokens");
  graph.replay();
  same_bits(findings, results(), want);
}

#endif

}  // namespace gpu_check
