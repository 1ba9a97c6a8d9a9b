// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/dispatch.hpp>
#include <xmoe/concepts/expert.hpp>
#include <xmoe/concepts/loss.hpp>
#include <xmoe/concepts/router.hpp>
#include <xmoe/core/checks.hpp>
#include <xmoe/core/layer_weights.hpp>
#include <xmoe/core/run.hpp>
#include <xmoe/metrics/statistics.hpp>
#include <xmoe/training/gradients.hpp>
#include <xmoe/training/tape.hpp>

namespace xmoe::inline XMOE_ABI {

/// A sparse Mixture-of-Experts layer: which experts each token engages (Router), how assignments
/// travel (Dispatch), what the experts compute (Expert), on which numbers and machine (Traits).
///
///     x [T,D] --Router--> Routing --Dispatch--> Plan --Expert--> rows --Dispatch--> y [T,D]
///
///   in      x: anything that MatrixView<scalar> is made from; Batch{x, valid} for padding
///   out     y: the routed part alone, every element written; add the residual yourself
///   grad    record, then backward; losses on the routing by add_loss in between
///   throws  shape_error, value_error at the edge, before y is touched
///
/// Functions that do not change weights are const and may run concurrently on one layer. Results
/// are bitwise the same for any number of threads; with dispatch::Dropless also for any batch
/// mates. Overloads with a Workspace never allocate; the others keep scratch memory inside the
/// layer.
template <class Router, class Expert, class Dispatch, class Traits = Cpu<float>>
class MoeLayer {
  static_assert(RouterPolicy<Router, Traits>,
                "xmoe::MoeLayer: the first argument is not a Router: it needs forward(ctx, own, "
                "batch, experts) const -> Decision and max_assignments(tokens, experts), like "
                "Router<Gate, Score, Select, Weigh>; see <xmoe/concepts/router.hpp>");
  static_assert(xmoe::Expert<Expert, Traits>,
                "xmoe::MoeLayer: the second argument is not an Expert: it needs forward(ctx, own, "
                "plan, x, y, cache) const -> void; see <xmoe/concepts/expert.hpp>");
  static_assert(xmoe::Dispatch<Dispatch, Traits>,
                "xmoe::MoeLayer: the third argument is not a Dispatch: it needs plan(ctx, routing, "
                "experts) and max_rows(...); see <xmoe/concepts/dispatch.hpp>");
  static_assert(supports<Router, Traits> && supports<Expert, Traits> && supports<Dispatch, Traits>,
                "xmoe::MoeLayer: one of the policies does not support these Traits; see "
                "xmoe::supports in <xmoe/core/traits.hpp>");

 public:
  using traits = Traits;
  using scalar = typename Traits::scalar;
  using routing_scalar = typename Traits::routing;
  using backend_type = typename Traits::backend;

  /// The hyper-parameters of all slots. Change them at run time through `config()`.
  struct Config {
    Router router{};
    Expert expert{};
    Dispatch dispatch{};
  };

  /// Named tensors of router and expert; their gradients; what backward needs of one forward.
  using Weights = LayerWeights<Router, Expert, Traits>;
  using GradientWeights = LayerWeights<Router, Expert, typename Traits::gradient>;
  using Gradients = LayerGradients<Router, Expert, Traits>;
  using Tape = LayerTape<Expert, Traits>;

  /// Zeros for weights; see `initialize`. Copies of one backend share its threads.
  explicit MoeLayer(Sizes sizes, Config config = {}, backend_type backend = backend_type())
      : sizes_(sizes), config_(std::move(config)), backend_(std::move(backend)) {
    detail::check_sizes("xmoe::MoeLayer", sizes);
    check_config();
    weights_ = make_weights<Traits>(sizes_);
    numbers_ = count(weights_.parameters());
  }

  const Sizes& sizes() const { return sizes_; }
  Config& config() { return config_; }
  const Config& config() const { return config_; }
  const backend_type& backend() const { return backend_; }
  /// Other threads from now on, e.g. cpu::Backend(8). Results do not change.
  void set_backend(backend_type backend) { backend_ = std::move(backend); }

  /// Starting values, as the policies say. The same seed gives the same weights everywhere.
  void initialize(Random random) {
    detail::initialize<Traits>(config_.router, weights_.router, random.fork(1));
    detail::initialize<Traits>(config_.expert, weights_.expert, random.fork(2));
  }
  /// Every tensor by name, in one order; references into this layer.
  Parameters parameters() { return weights_.parameters(); }
  Gradients make_gradients() const {
    return Gradients(make_weights<typename Traits::gradient>(sizes_), sizes_);
  }

  // --- inference -------------------------------------------------------------------------------

  Summary forward(const Batch<scalar>& batch, Out<scalar> y) const {
    check_io("xmoe::MoeLayer::forward", batch, y);
    const ScratchPool::Lease lease(pool_);
    return infer(detail::Run(*lease, Mode::infer), batch, y);
  }
  /// The same on the caller's memory, at least workspace_bytes(T). Allocates nothing.
  Summary forward(Workspace& workspace, const Batch<scalar>& batch, Out<scalar> y) const {
    check_io("xmoe::MoeLayer::forward", batch, y);
    const Workspace::Scope scope(workspace);
    return infer(detail::Run(workspace), batch, y);
  }
  /// What the worst routing of T tokens takes, to the byte; others may take less.
  index workspace_bytes(index tokens) const {
    Workspace size = Workspace::measure();
    infer(detail::Run(size), nothing(tokens), nothing(tokens));
    return size.peak();
  }

  /// The first half of forward: the decision alone.
  Routing<routing_scalar> route(const Batch<scalar>& batch) const {
    detail::check_batch("xmoe::MoeLayer::route", batch, sizes_.model_dim);
    const ScratchPool::Lease lease(pool_);
    return Routing<routing_scalar>::copy(decide(detail::Run(*lease, Mode::infer), batch).routing);
  }
  /// The second half: experts under a decision made elsewhere (pre-gating, replay, your own
  /// router).
  Summary apply(In<scalar> x, const Routing<routing_scalar>& routing, Out<scalar> y) const {
    check_io("xmoe::MoeLayer::apply", x, y);
    if (routing.tokens() != x.rows() || routing.experts() != outputs()) {
      detail::fail<shape_error>(
          "xmoe::MoeLayer::apply: routing has %td tokens and %td experts, x has %td tokens and the "
          "router %td outputs",
          routing.tokens(), routing.experts(), x.rows(), outputs());
    }
    const ScratchPool::Lease lease(pool_);
    const detail::Run run(*lease, Mode::infer);
    const RoutingView<routing_scalar> view = routing.view();
    const PlanView plan = transport(run, view);
    return compute(run, x, view, plan, y, nullptr);
  }

  // --- training --------------------------------------------------------------------------------

  /// Forward in training mode that remembers what backward needs. `random` is the stream of this
  /// step (jitter, random priorities): give every step its own.
  Summary record(const Batch<scalar>& batch, Out<scalar> y, Tape& tape, Random random = {}) const {
    check_io("xmoe::MoeLayer::record", batch, y);
    const ScratchPool::Lease lease(pool_);
    return record(detail::Run(lease->scratch, tape.memory_, random, /*grow=*/true), batch, y, tape);
  }
  Tape record(const Batch<scalar>& batch, Out<scalar> y) const {
    Tape tape;
    record(batch, y, tape);
    return tape;
  }
  /// The same on the caller's scratch, at least training_workspace_bytes(T), and a tape that was
  /// prepared for T tokens. Allocates nothing.
  Summary record(Workspace& workspace, const Batch<scalar>& batch, Out<scalar> y, Tape& tape,
                 Random random = {}) const {
    check_io("xmoe::MoeLayer::record", batch, y);
    const Workspace::Scope scope(workspace);
    return record(detail::Run(workspace, tape.memory_, random, /*grow=*/false), batch, y, tape);
  }
  /// Makes room in a tape for any routing of T tokens.
  void prepare(Tape& tape, index tokens) const {
    Tape sizes;
    measure_training(sizes, tokens);
    tape.recorded_ = false;
    for (Workspace Memory::*arena : {&Memory::decision, &Memory::plan, &Memory::expert}) {
      (tape.memory_.*arena).clear();
      (tape.memory_.*arena).reserve((sizes.memory_.*arena).peak());
    }
  }
  /// Scratch of record and of backward, whichever is more: worst case over all routings of T
  /// tokens.
  index training_workspace_bytes(index tokens) const {
    Tape sizes;
    return measure_training(sizes, tokens);
  }

  /// Adds a term of the objective that depends on the routing. Returns its value, coefficient
  /// included; the next backward of this tape carries its gradient. Terms add up.
  template <class L>
  double add_loss(Tape& tape, const L& loss) const {
    static_assert(Loss<L, routing_scalar>,
                  "xmoe::MoeLayer::add_loss: this is not a Loss: it needs evaluate(view, dscores, "
                  "dlogits) const -> double; see <xmoe/concepts/loss.hpp>");
    tape.check("xmoe::MoeLayer::add_loss", sizes_);
    Buffer<routing_scalar> scratch(outputs());
    const LossView<routing_scalar> view{tape.decision_.logits, tape.decision_.scores,
                                        tape.decision_.routing, tape.batch_.valid, scratch.view()};
    return loss.evaluate(view, tape.dscores_, tape.dlogits_);
  }

  /// Gradients of a recorded call.
  ///
  ///   in      dy [T,D]
  ///   out     dx [T,D], every element written; gradients +=, experts without rows left alone
  void backward(const Tape& tape, In<scalar> dy, Out<scalar> dx, Gradients& gradients) const {
    check_backward(tape, dy, dx, gradients);
    const ScratchPool::Lease lease(pool_);
    stage(detail::Run(*lease, Mode::train, tape.random_), lease->expert, [&](Context<Traits>& ctx) {
      pull_back(ctx, tape, dy, dx, gradients.weights_, gradients.unwritten());
    });
    gradients.settle(tape.plan_);
  }
  /// The same on the caller's scratch, at least training_workspace_bytes(T). Allocates nothing.
  void backward(Workspace& workspace, const Tape& tape, In<scalar> dy, Out<scalar> dx,
                Gradients& gradients) const {
    check_backward(tape, dy, dx, gradients);
    const Workspace::Scope scope(workspace);
    Context<Traits> ctx{backend_, workspace, workspace, Mode::train, tape.random_};
    pull_back(ctx, tape, dy, dx, gradients.weights_, gradients.unwritten());
    gradients.settle(tape.plan_);
  }

  /// What the recorded call did, in full.
  Statistics statistics(const Tape& tape) const {
    tape.check("xmoe::MoeLayer::statistics", sizes_);
    double row = 0.0;
    if constexpr (CountsWork<Expert>) {
      row = 2.0 * static_cast<double>(config_.expert.multiply_adds(sizes_));
    }
    const double router = 2.0 * static_cast<double>(sizes_.model_dim * outputs());
    Statistics result = metrics::statistics(tape.decision_.routing, tape.plan_,
                                            MatrixView<const routing_scalar>(tape.decision_.scores),
                                            tape.batch_.valid, Dispatch::placeholders, row, router);
    if constexpr (requires {
                    config_.expert.active_share(weights_.expert, tape.plan_, tape.cache_);
                  }) {
      result.active_ratio = config_.expert.active_share(weights_.expert, tape.plan_, tape.cache_);
    }
    return result;
  }

 private:
  // --- the pipeline; every step also runs on measuring memory, where it only takes --------------

  template <class F>
  auto stage(const detail::Run& run, Workspace& keep, F&& step) const {
    return detail::stage<Traits>(backend_, run, keep, step);
  }

  Decision<routing_scalar> decide(const detail::Run& run, const Batch<scalar>& batch,
                                  Tape* tape = nullptr) const {
    check_config();
    return stage(run, run.decision, [&](Context<Traits>& ctx) {
      if (tape != nullptr) {
        tape->dscores_ = take_zeros(ctx, batch.x.rows());
        tape->dlogits_ = take_zeros(ctx, batch.x.rows());
      }
      return config_.router.forward(ctx, weights_.router, batch, outputs());
    });
  }
  PlanView transport(const detail::Run& run, const RoutingView<routing_scalar>& routing) const {
    return stage(run, run.plan, [&](Context<Traits>& ctx) {
      return config_.dispatch.plan(ctx, routing, sizes_.experts);
    });
  }
  Summary compute(const detail::Run& run, In<scalar> x, const RoutingView<routing_scalar>& routing,
                  const PlanView& plan, Out<scalar> y, cache_of<Expert, Traits>* cache) const {
    stage(run, run.expert, [&](Context<Traits>& ctx) {
      const auto weight = detail::row_weights(ctx.workspace, routing, plan);
      config_.expert.forward(ctx, weights_.expert, plan, x,
                             RowSum<scalar, routing_scalar>{plan.token, weight.data(), y}, cache);
    });
    return {routing.valid_tokens, plan.wanted, plan.kept, plan.dropped(), plan.capacity};
  }
  Summary infer(const detail::Run& run, const Batch<scalar>& batch, Out<scalar> y) const {
    const Decision<routing_scalar> decision = decide(run, batch);
    const PlanView plan = transport(run, decision.routing);
    return compute(run, batch.x, decision.routing, plan, y, nullptr);
  }
  Summary record(const detail::Run& run, const Batch<scalar>& batch, Out<scalar> y,
                 Tape& tape) const {
    if constexpr (requires { config_.router.check_training(router_sizes()); }) {
      config_.router.check_training(router_sizes());
    }
    tape.recorded_ = false;
    for (Workspace* arena : {&run.decision, &run.plan, &run.expert}) {
      arena->clear();
    }
    tape.batch_ = batch;
    tape.sizes_ = sizes_;
    tape.random_ = run.random;
    tape.decision_ = decide(run, batch, &tape);
    tape.plan_ = transport(run, tape.decision_.routing);
    const Summary summary =
        compute(run, batch.x, tape.decision_.routing, tape.plan_, y, &tape.cache_);
    tape.recorded_ = true;
    return summary;
  }

  void pull_back(Context<Traits>& ctx, const Tape& tape, In<scalar> dy, Out<scalar> dx,
                 GradientWeights& gradients, const std::uint8_t* touched) const {
    static_assert(DifferentiableRouter<Router, Traits>,
                  "xmoe::MoeLayer::backward: the router has no backward: one of Gate, Score, Weigh "
                  "is for inference only; see <xmoe/concepts/router.hpp>");
    static_assert(DifferentiableExpert<Expert, Traits>,
                  "xmoe::MoeLayer::backward: the expert has no backward; see "
                  "<xmoe/concepts/expert.hpp>");
    using R = routing_scalar;
    const RoutingView<R>& routing = tape.decision_.routing;
    const PlanView& plan = tape.plan_;
    const VectorView<const R> row_weight = detail::row_weights(ctx.workspace, routing, plan);
    const VectorView<R> drow = take_vector(ctx, plan.kept);
    const VectorView<R> dweight = take_vector(ctx, routing.assignments());
    const Out<scalar> drows = take_rows(ctx, plan.kept);
    config_.expert.backward(ctx, weights_.expert, plan, tape.batch_.x, tape.cache_,
                            RowGradient<Traits>{dy, row_weight, touched}, gradients.expert, drow,
                            drows);
    if (!ctx.measuring()) {
      ctx.backend.template sum_by_token<scalar>(routing.offsets, plan.row, drows, dx);
      for (index a = 0; a < routing.assignments(); ++a) {  // nothing passes a dropped assignment
        dweight[a] = plan.row[a] < 0 ? R(0) : drow[plan.row[a]];
      }
    }
    config_.router.backward(ctx, weights_.router, tape.batch_, tape.decision_,
                            DecisionGradient<R>{dweight, tape.dscores_, tape.dlogits_},
                            gradients.router, dx);
  }

  /// Runs record and backward on measuring memory; returns the scratch of the larger one.
  index measure_training(Tape& tape, index tokens) const {
    for (Workspace* arena : {&tape.memory_.decision, &tape.memory_.plan, &tape.memory_.expert}) {
      *arena = Workspace::measure();
    }
    Workspace forward_size = Workspace::measure();
    Workspace backward_size = Workspace::measure();
    record(detail::Run(forward_size, tape.memory_, {}, false), nothing(tokens), nothing(tokens),
           tape);
    Context<Traits> ctx{backend_, backward_size, backward_size, Mode::train};
    Sizes no_experts = sizes_;  // shapes without memory: measuring writes nothing
    no_experts.experts = 0;
    GradientWeights shapes = make_weights<typename Traits::gradient>(no_experts);
    pull_back(ctx, tape, nothing(tokens), nothing(tokens), shapes, nullptr);
    return forward_size.peak() > backward_size.peak() ? forward_size.peak() : backward_size.peak();
  }

  Out<scalar> take_rows(Context<Traits>& ctx, index rows) const {
    return {ctx.workspace.template take<scalar>(rows * sizes_.model_dim), rows, sizes_.model_dim};
  }
  static VectorView<routing_scalar> take_vector(Context<Traits>& ctx, index n) {
    return {ctx.workspace.template take<routing_scalar>(n), n};
  }
  MatrixView<routing_scalar> take_zeros(Context<Traits>& ctx, index tokens) const {
    auto* numbers = ctx.keep.template take<routing_scalar>(tokens * outputs());
    for (index i = 0; i < tokens * outputs() && !ctx.measuring(); ++i) {
      numbers[i] = routing_scalar(0);
    }
    return {numbers, tokens, outputs()};
  }
  /// [T,D] without memory, for measuring.
  Out<scalar> nothing(index tokens) const { return {nullptr, tokens, sizes_.model_dim}; }

  /// Columns of the router: experts, and a placeholder if the dispatch has one.
  index outputs() const { return sizes_.experts + Dispatch::placeholders; }
  Sizes router_sizes() const { return {sizes_.model_dim, outputs(), sizes_.expert_dim}; }
  template <class Tr>
  LayerWeights<Router, Expert, Tr> make_weights(Sizes sizes) const {
    return {detail::make_weights<Tr>(config_.router, router_sizes()),
            detail::make_weights<Tr>(config_.expert, sizes)};
  }

  // --- the edge ----------------------------------------------------------------------------------

  void check_config() const {
    detail::check(config_.router, router_sizes());
    detail::check(config_.expert, sizes_);
    detail::check(config_.dispatch, sizes_);
  }
  void check_io(const char* function, const Batch<scalar>& batch, Out<scalar> y) const {
    detail::check_batch(function, batch, sizes_.model_dim);
    detail::check_matrix<scalar>(function, "y", y, batch.x.rows(), sizes_.model_dim);
    detail::check_apart<scalar>(function, "y", y, "x", batch.x);
  }
  void check_backward(const Tape& tape, In<scalar> dy, Out<scalar> dx,
                      const Gradients& gradients) const {
    const char* const function = "xmoe::MoeLayer::backward";
    tape.check(function, sizes_);
    gradients.check(function, sizes_, numbers_);
    const In<scalar> x = tape.batch_.x;
    detail::check_matrix<scalar>(function, "dy", dy, x.rows(), sizes_.model_dim);
    detail::check_matrix<scalar>(function, "dx", dx, x.rows(), sizes_.model_dim);
    detail::check_apart<scalar>(function, "dx", dx, "dy", dy);
    detail::check_apart<scalar>(function, "dx", dx, "x", x);
  }

  Sizes sizes_;
  Config config_;
  mutable backend_type backend_;
  Weights weights_;
  index numbers_ = 0;  ///< in all tensors
  mutable ScratchPool pool_;
};

}  // namespace xmoe::inline XMOE_ABI
