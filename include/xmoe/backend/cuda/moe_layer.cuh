// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/gradients.cuh>
#include <xmoe/backend/cuda/loss.cuh>
#include <xmoe/backend/cuda/readback.cuh>

#include <memory>

namespace xmoe::inline XMOE_ABI::cuda::detail {

/// A policy, or, where it has no code and that has been reported, another one that has: so that it
/// stays one error.
template <class Policy, class StandIn>
using Supported = std::conditional_t<DeviceCode<Policy>::exists, Policy, StandIn>;

}  // namespace xmoe::inline XMOE_ABI::cuda::detail

namespace xmoe::inline XMOE_ABI {

/// The same layer on a CUDA device: x, y and all that lies between are in device memory.
///
///     x [T,D] --Router--> DeviceRouting --Dispatch--> DevicePlan --Expert--> rows --combine--> y
///
///   in      x: DeviceMatrix<const scalar>, any stride and alignment; DeviceBatch{x, mask}
///   out     y: the routed part alone, every element written
///   grad    record, then backward; losses on the routing by add_loss in between
///   order   everything goes to the backend's stream and is not waited for. Nothing is read back:
///           what a call did is asked for by summary(), losses() or statistics(), which wait
///   throws  shape_error, value_error at the edge, before anything is launched; cuda_error
///
/// Overloads with a DeviceWorkspace do not allocate, copy to the host or wait, so that a call can
/// be captured in a graph. The others keep scratch memory inside the layer, which grows when it
/// must. Results are the same bits for any number of multiprocessors; with dispatch::Dropless also
/// for any batch mates. Ids, scores and routing weights are those of the CPU where logits are.
///
/// NaN or +Inf among the logits: the call routes on, and the next summary() throws, unless the
/// router propagates. Calls on one layer may come from several threads.
template <class Router, class Expert, class Dispatch, class S, class Math>
class MoeLayer<Router, Expert, Dispatch, Cuda<S, Math>> {
 public:
  using traits = Cuda<S, Math>;

 private:
  static_assert(supports<Router, traits>,
                "xmoe::MoeLayer: this Router does not run on Cuda traits: its Gate has no device "
                "code, or Score, Select or Weigh owns weights that have none; see xmoe::supports");
  static_assert(supports<Expert, traits>,
                "xmoe::MoeLayer: this Expert does not run on Cuda traits; see xmoe::supports");
  static_assert(supports<Dispatch, traits>,
                "xmoe::MoeLayer: this Dispatch does not run on Cuda traits; see xmoe::supports");
  using RouterOnDevice =
      cuda::detail::Supported<Router, xmoe::Router<gate::Linear, score::Softmax, select::TopK>>;
  using ExpertOnDevice = cuda::detail::Supported<Expert, expert::Ffn<>>;
  using DispatchOnDevice = cuda::detail::Supported<Dispatch, dispatch::Dropless>;
  using RouterCode = cuda::detail::DeviceCode<RouterOnDevice>;
  using ExpertCode = cuda::detail::DeviceCode<ExpertOnDevice>;
  using DispatchCode = cuda::detail::DeviceCode<DispatchOnDevice>;
  using Call = cuda::detail::Call;
  using R = typename traits::routing;

 public:
  using scalar = S;
  using routing_scalar = R;
  using backend_type = cuda::Backend;
  using Matrix = cuda::DeviceMatrix<S>;
  using ConstMatrix = cuda::DeviceMatrix<const S>;
  using Batch = cuda::DeviceBatch<S>;

  struct Config {
    Router router{};
    Expert expert{};
    Dispatch dispatch{};
  };
  using Weights = cuda::detail::DeviceWeights<RouterOnDevice, ExpertOnDevice, S, R>;
  using Gradients = cuda::DeviceGradients<RouterOnDevice, ExpertOnDevice, traits>;
  using Tape = cuda::DeviceTape<ExpertOnDevice, traits>;

  /// Zeros for weights; see `initialize` and cuda::upload.
  explicit MoeLayer(Sizes sizes, Config config = {}, backend_type backend = backend_type())
      : sizes_(sizes), config_(std::move(config)), backend_(std::move(backend)) {
    xmoe::detail::check_sizes("xmoe::MoeLayer", sizes);
    check_config();
    cuda::detail::check_numbers("xmoe::MoeLayer", sizes);
    weights_ = make_weights<Weights>();
    numbers_ = cuda::count(weights_.parameters());
    shared_ = std::make_unique<cuda::detail::SharedState>();
    shared_->report.fill(stream(), 0xff);
  }

  const Sizes& sizes() const { return sizes_; }
  Config& config() { return config_; }
  const Config& config() const { return config_; }
  const backend_type& backend() const { return backend_; }

  /// Starting values: those of the same layer on the CPU, rounded to the scalar.
  void initialize(Random random) {
    using Host = typename traits::host_traits;
    LayerWeights<Router, Expert, Host> host{
        xmoe::detail::make_weights<Host>(config_.router, router_sizes()),
        xmoe::detail::make_weights<Host>(config_.expert, sizes_)};
    xmoe::detail::initialize<Host>(config_.router, host.router, random.fork(1));
    xmoe::detail::initialize<Host>(config_.expert, host.expert, random.fork(2));
    cuda::upload(stream(), host.parameters(), parameters());
  }
  /// Every tensor by name, in the order of the CPU's list; references into this layer.
  cuda::DeviceParameters parameters() { return weights_.parameters(); }
  Gradients make_gradients() const {
    return Gradients(make_weights<typename Gradients::Weights>(), sizes_, stream());
  }

  // --- inference -------------------------------------------------------------------------------

  void forward(const Batch& batch, Matrix y) const {
    check_io("xmoe::MoeLayer::forward", batch, y);
    const std::scoped_lock lock(shared_->mutex);
    shared_->scratch.reserve(workspace_bytes(batch.x.rows()));
    infer(shared_->scratch, batch, y);
  }
  /// The same on the caller's memory, at least workspace_bytes(T). Only launches.
  void forward(cuda::DeviceWorkspace& workspace, const Batch& batch, Matrix y) const {
    check_io("xmoe::MoeLayer::forward", batch, y);
    infer(workspace, batch, y);
  }
  /// What the worst routing of T tokens takes.
  index workspace_bytes(index tokens) const {
    auto size = cuda::DeviceWorkspace::measure();
    infer(size, nothing(tokens), nothing(tokens));
    return size.peak();
  }

  /// The first half of forward: the decision alone, in host memory. Waits.
  Routing<R> route(const Batch& batch) const {
    cuda::detail::check_batch("xmoe::MoeLayer::route", batch, sizes_.model_dim);
    const std::scoped_lock lock(shared_->mutex);
    shared_->scratch.reserve(workspace_bytes(batch.x.rows()));
    const cuda::DeviceWorkspace::Scope scope(shared_->scratch);
    Call call{stream(), shared_->scratch, shared_->scratch};
    const auto routing = decide(call, batch);
    read_report();
    return cuda::detail::read_routing(stream(), routing);
  }
  /// The second half: experts under a decision made elsewhere (pre-gating, replay, your own
  /// router). Copies the decision to the device and waits for the copy.
  void apply(ConstMatrix x, const Routing<R>& routing, Matrix y) const {
    check_io("xmoe::MoeLayer::apply", Batch(x), y);
    if (routing.tokens() != x.rows() || routing.experts() != outputs()) {
      xmoe::detail::fail<shape_error>(
          "xmoe::MoeLayer::apply: routing has %td tokens and %td experts, x has %td tokens and the "
          "router %td outputs",
          routing.tokens(), routing.experts(), x.rows(), outputs());
    }
    const std::scoped_lock lock(shared_->mutex);
    const cuda::detail::UploadedRouting<R> decision(stream(), routing);
    auto size = cuda::DeviceWorkspace::measure();
    Call measuring{stream(), size, size};
    act(measuring, decision.view(), x, nullptr, y);
    shared_->scratch.reserve(size.peak());
    const cuda::DeviceWorkspace::Scope scope(shared_->scratch);
    Call call{stream(), shared_->scratch, shared_->scratch};
    act(call, decision.view(), x, nullptr, y);
    backend_.synchronize();  // the decision's memory ends here
  }

  /// What the last call did. Waits; throws value_error if a call since the last summary met a logit
  /// that is NaN or +Inf. `mode`: as the call was, for the capacity.
  Summary summary(Mode mode = Mode::infer) const {
    const std::scoped_lock lock(shared_->mutex);
    const cuda::detail::Report r = read_report();
    if (r.tokens < 0) {
      return {};
    }
    return {r.tokens, r.wanted, r.kept, r.wanted - r.kept,
            DispatchCode::capacity(config_.dispatch, mode, r.tokens, sizes_.experts)};
  }

  // --- training --------------------------------------------------------------------------------

  /// Forward in training mode that remembers what backward needs. `random` is the stream of this
  /// step (jitter, random priorities): give every step its own.
  void record(const Batch& batch, Matrix y, Tape& tape, Random random = {}) const {
    check_io("xmoe::MoeLayer::record", batch, y);
    const std::scoped_lock lock(shared_->mutex);
    auto scratch = cuda::DeviceWorkspace::measure();
    prepare(tape, batch.x.rows(), scratch);
    shared_->scratch.reserve(scratch.peak());
    remember(shared_->scratch, batch, y, tape, random);
  }
  /// The same on the caller's scratch, at least training_workspace_bytes(T), and a tape that was
  /// prepared for T tokens. Only launches.
  void record(cuda::DeviceWorkspace& workspace, const Batch& batch, Matrix y, Tape& tape,
              Random random = {}) const {
    check_io("xmoe::MoeLayer::record", batch, y);
    remember(workspace, batch, y, tape, random);
  }
  /// Makes room in a tape for any routing of T tokens.
  void prepare(Tape& tape, index tokens) const {
    auto scratch = cuda::DeviceWorkspace::measure();
    prepare(tape, tokens, scratch);
  }
  /// Scratch of record and of backward, whichever is more.
  index training_workspace_bytes(index tokens) const {
    auto scratch = cuda::DeviceWorkspace::measure();
    Tape sizes;
    sizes.memory_ = cuda::DeviceWorkspace::measure();
    remember(scratch, nothing(tokens), nothing(tokens), sizes, {});
    pull_back(scratch, sizes, nothing(tokens), nothing(tokens), nullptr);
    return scratch.peak();
  }

  /// Adds a term of the objective that depends on the routing: the next backward of this tape
  /// carries its gradient, losses() its value. Terms add up, 16 at most.
  template <class L>
  void add_loss(Tape& tape, const L& loss) const {
    static_assert(supports<L, traits>,
                  "xmoe::MoeLayer::add_loss: this loss does not run on Cuda traits; see "
                  "xmoe::supports");
    tape.check("xmoe::MoeLayer::add_loss", sizes_);
    if (tape.loss_count_ == Tape::most_losses) {
      xmoe::detail::fail<value_error>("xmoe::MoeLayer::add_loss: more than %d losses on a tape",
                                      Tape::most_losses);
    }
    cuda::add_loss(stream(), loss,
                   cuda::DeviceLoss<R>{tape.routing_, tape.batch_.mask(), tape.dscores_,
                                       tape.dlogits_, tape.losses_ + tape.loss_count_++},
                   tape.loss_scratch_);
  }
  /// The sum of the losses added to the recorded call, coefficients included. Waits.
  double losses(const Tape& tape) const {
    tape.check("xmoe::MoeLayer::losses", sizes_);
    return cuda::detail::read_sum(stream(), tape.losses_, tape.loss_count_);
  }

  /// Gradients of a recorded call.
  ///
  ///   in      dy [T,D]
  ///   out     dx [T,D], every element written; gradients +=, experts without rows left alone
  void backward(const Tape& tape, ConstMatrix dy, Matrix dx, Gradients& gradients) const {
    check_backward(tape, dy, dx, gradients);
    const std::scoped_lock lock(shared_->mutex);
    auto size = cuda::DeviceWorkspace::measure();
    pull_back(size, tape, dy, dx, nullptr);
    shared_->scratch.reserve(size.peak());
    pull_back(shared_->scratch, tape, dy, dx, &gradients);
  }
  /// The same on the caller's scratch, at least training_workspace_bytes(T). Only launches.
  void backward(cuda::DeviceWorkspace& workspace, const Tape& tape, ConstMatrix dy, Matrix dx,
                Gradients& gradients) const {
    check_backward(tape, dy, dx, gradients);
    pull_back(workspace, tape, dy, dx, &gradients);
  }

  /// What the recorded call did, in full. Reads routing and plan back, waits. `active_ratio` stays
  /// 0.
  Statistics statistics(const Tape& tape) const {
    tape.check("xmoe::MoeLayer::statistics", sizes_);
    const double row = 2.0 * static_cast<double>(config_.expert.multiply_adds(sizes_));
    const double router = 2.0 * static_cast<double>(sizes_.model_dim * outputs());
    return cuda::detail::read_statistics(
        stream(), tape.routing_, tape.plan_, tape.batch_.mask(),
        [&](index tokens) {
          return DispatchCode::capacity(config_.dispatch, Mode::train, tokens, sizes_.experts);
        },
        Dispatch::placeholders, row, router);
  }

 private:
  // --- the pipeline; every step also runs on measuring memory, where it only takes --------------

  cuda::DeviceRouting<R> decide(Call& call, const Batch& batch) const {
    check_config();
    cuda::detail::check_slots("xmoe::MoeLayer", batch.x.rows(),
                              config_.router.max_assignments(1, outputs()));
    return RouterCode::forward(call, config_.router, weights_.router, batch, outputs(),
                               &shared_->report.data()->nonfinite);
  }
  cuda::DevicePlan act(Call& call, const cuda::DeviceRouting<R>& routing, ConstMatrix x,
                       typename ExpertCode::template Cache<S>* cache, Matrix y) const {
    const cuda::DevicePlan plan =
        DispatchCode::plan(call, config_.dispatch, routing, sizes_.experts);
    ExpertCode::template forward<Math>(call, weights_.expert, plan, x, routing, cache, y);
    if (!call.measuring()) {
      cuda::detail::write_report(call.stream, routing, plan, shared_->report.data());
    }
    return plan;
  }
  void infer(cuda::DeviceWorkspace& workspace, const Batch& batch, Matrix y) const {
    const cuda::DeviceWorkspace::Scope scope(workspace);
    Call call{stream(), workspace, workspace};
    act(call, decide(call, batch), batch.x, nullptr, y);
  }
  void remember(cuda::DeviceWorkspace& workspace, const Batch& batch, Matrix y, Tape& tape,
                Random random) const {
    if constexpr (requires { config_.router.check_training(router_sizes()); }) {
      config_.router.check_training(router_sizes());
    }
    tape.recorded_.value = false;
    tape.memory_.clear();
    const cuda::DeviceWorkspace::Scope scope(workspace);
    Call call{stream(), workspace, tape.memory_, Mode::train, random};
    const index rows = batch.x.rows();
    tape.dscores_ = cuda::detail::take_zeros<R>(call, tape.memory_, rows * outputs());
    tape.dlogits_ = cuda::detail::take_zeros<R>(call, tape.memory_, rows * outputs());
    tape.losses_ = cuda::detail::take_zeros<double>(call, tape.memory_, Tape::most_losses);
    tape.loss_scratch_ = tape.memory_.template take<std::byte>(
        static_cast<index>(cuda::loss_scratch_bytes<R>(static_cast<int>(outputs()))));
    tape.loss_count_ = 0;
    tape.batch_ = batch;
    tape.sizes_ = sizes_;
    tape.random_ = random;
    tape.routing_ = decide(call, batch);
    tape.plan_ = act(call, tape.routing_, batch.x, &tape.cache_, y);
    tape.recorded_.value = !call.measuring();
  }
  /// Takes the tape's memory for any routing of T tokens; `scratch` measures what else is taken.
  void prepare(Tape& tape, index tokens, cuda::DeviceWorkspace& scratch) const {
    Tape sizes;
    sizes.memory_ = cuda::DeviceWorkspace::measure();
    remember(scratch, nothing(tokens), nothing(tokens), sizes, {});
    tape.recorded_.value = false;
    tape.memory_.clear();
    tape.memory_.reserve(sizes.memory_.peak());
  }

  /// `gradients` may be null while sizes are measured.
  void pull_back(cuda::DeviceWorkspace& workspace, const Tape& tape, ConstMatrix dy, Matrix dx,
                 Gradients* gradients) const {
    const cuda::DeviceWorkspace::Scope scope(workspace);
    Call call{stream(), workspace, workspace, Mode::train, tape.random_};
    const auto& routing = tape.routing_;
    R* const dweight = cuda::detail::take_zeros<R>(
        call, workspace, static_cast<index>(routing.tokens) * routing.width);
    typename Gradients::Weights none;
    typename Gradients::Weights& sums = gradients == nullptr ? none : gradients->weights_;
    const bool accumulate = gradients != nullptr && !gradients->stale_;
    ExpertCode::template backward<Math>(call, weights_.expert, tape.plan_, tape.batch_.x, routing,
                                        tape.cache_, dy, sums.expert, accumulate, dweight, dx);
    RouterCode::backward(call, config_.router, weights_.router, tape.batch_, routing,
                         static_cast<const R*>(dweight), static_cast<const R*>(tape.dscores_),
                         static_cast<const R*>(tape.dlogits_), sums.router, accumulate, dx);
    if (gradients != nullptr) {
      gradients->settle(tape.plan_);
    }
  }

  cuda::detail::Report read_report() const {
    return cuda::detail::read_report(stream(), shared_->report, outputs());
  }

  cudaStream_t stream() const { return backend_.stream(); }
  /// [T,D] without memory, for measuring.
  Matrix nothing(index tokens) const { return {nullptr, tokens, sizes_.model_dim}; }
  /// Columns of the router: experts, and a placeholder if the dispatch has one.
  index outputs() const { return sizes_.experts + Dispatch::placeholders; }
  Sizes router_sizes() const { return {sizes_.model_dim, outputs(), sizes_.expert_dim}; }
  template <class W>
  W make_weights() const {
    return W::make(config_.router, config_.expert, stream(), router_sizes(), sizes_);
  }

  // --- the edge ----------------------------------------------------------------------------------

  void check_config() const {
    xmoe::detail::check(config_.router, router_sizes());
    xmoe::detail::check(config_.expert, sizes_);
    xmoe::detail::check(config_.dispatch, sizes_);
  }
  void check_io(const char* function, const Batch& batch, Matrix y) const {
    cuda::detail::check_batch(function, batch, sizes_.model_dim);
    cuda::detail::check_matrix<S>(function, "y", y, batch.x.rows(), sizes_.model_dim);
    cuda::detail::check_apart<S>(function, "y", y, "x", batch.x);
  }
  void check_backward(const Tape& tape, ConstMatrix dy, Matrix dx,
                      const Gradients& gradients) const {
    const char* const function = "xmoe::MoeLayer::backward";
    tape.check(function, sizes_);
    gradients.check(function, sizes_, numbers_);
    const ConstMatrix x = tape.batch_.x;
    cuda::detail::check_matrix<S>(function, "dy", dy, x.rows(), sizes_.model_dim);
    cuda::detail::check_matrix<S>(function, "dx", dx, x.rows(), sizes_.model_dim);
    cuda::detail::check_apart<S>(function, "dx", dx, "dy", dy);
    cuda::detail::check_apart<S>(function, "dx", dx, "x", x);
  }

  Sizes sizes_;
  Config config_;
  backend_type backend_;
  Weights weights_;
  index numbers_ = 0;  ///< in all tensors
  std::unique_ptr<cuda::detail::SharedState> shared_;
};

}  // namespace xmoe::inline XMOE_ABI
