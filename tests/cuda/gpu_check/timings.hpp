// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kinds.hpp"
#include "stopwatch.hpp"

// Layers of the workloads' shapes, timed.
namespace gpu_check {

template <class Kind>
reference::Setup setup_of(const Workload& w) {
  reference::Setup s;
  s.router.threshold = static_cast<double>(w.threshold);
  s.router.k = w.chosen;
  s.capacity.limited = false;
  return s;
}

/// The experts' products alone, as a loop over the experts with counts that the host knows.
template <class S>
class ProductsOnly {
  using Sum = xmoe::sum_type<S>;
  using Math = typename xmoe::cuda::default_math<S>::type;
  using Rows = xmoe::cuda::DeviceRows<S>;

 public:
  ProductsOnly(cudaStream_t stream, std::vector<int> offsets,
               const xmoe::cuda::DeviceParameters& weights,
               const xmoe::cuda::DeviceParameters& gradients)
      : blas_(stream),
        offsets_(std::move(offsets)),
        up_(matrices<const S>(tensor<S>(weights, "up.weight"))),
        down_(matrices<const S>(tensor<S>(weights, "down.weight"))),
        dup_(matrices<Sum>(tensor<Sum>(gradients, "up.weight"))),
        ddown_(matrices<Sum>(tensor<Sum>(gradients, "down.weight"))),
        x_(rows(stream, down_.rows)),
        before_(rows(stream, up_.rows)),
        hidden_(rows(stream, down_.cols)),
        out_(rows(stream, down_.rows)) {}

  void forward() {
    blas_.template forward<Math>(offsets_, view(x_, up_.cols), up_, before_.data(), up_.rows);
    blas_.template forward<Math>(offsets_, view(hidden_, down_.cols), down_, out_.data(),
                                 down_.rows);
  }
  void backward() {
    blas_.template input_gradient<Math>(offsets_, view(out_, down_.rows), down_, hidden_.data(),
                                        down_.cols);
    blas_.template weight_gradient<Math>(offsets_, view(out_, down_.rows),
                                         view(hidden_, down_.cols), ddown_, false);
    blas_.template weight_gradient<Math>(offsets_, view(before_, up_.rows), view(x_, up_.cols),
                                         dup_, false);
    blas_.template input_gradient<Math>(offsets_, view(before_, up_.rows), up_, x_.data(),
                                        up_.cols);
  }

 private:
  using Buffer = xmoe::cuda::DeviceBuffer<S>;

  template <class T>
  static xmoe::cuda::DeviceTensor<T>& tensor(const xmoe::cuda::DeviceParameters& list,
                                             const std::string& end) {
    for (const auto& p : list) {
      if (p.name.size() > end.size() &&
          p.name.compare(p.name.size() - end.size(), end.size(), end) == 0) {
        return *std::get<xmoe::cuda::DeviceTensor<T>*>(p.tensor);
      }
    }
    xmoe::detail::fail<xmoe::value_error>("no tensor that ends in %s", end.c_str());
  }
  template <class T, class D>
  static xmoe::cuda::DeviceMatrices<T> matrices(D& t) {
    return {t.data(), int(t.count()), int(t.rows()), int(t.cols()), int(t.ld())};
  }
  Buffer rows(cudaStream_t stream, int cols) const {
    Buffer buffer(index(offsets_.back()) * cols, xmoe::uninitialized);
    fill(stream, buffer.data(), buffer.size(), 1.0, 9);
    return buffer;
  }
  static Rows view(const Buffer& b, int cols) { return {b.data(), cols, nullptr}; }

  xmoe::cuda::CublasLoop blas_;
  std::vector<int> offsets_;
  xmoe::cuda::DeviceMatrices<const S> up_, down_;
  xmoe::cuda::DeviceMatrices<Sum> dup_, ddown_;
  Buffer x_, before_, hidden_, out_;
};

/// Forward, then forward and backward.
template <class Kind, class S>
void time_layer(Stopwatch& watch, const Workload& w, Timing& forward, Timing& training) {
  using L = typename Kind::template Layer<S>;
  const cudaStream_t stream = watch.stream();
  auto config = Kind::template config<S>(setup_of<Kind>(w));
  if constexpr (std::is_same_v<Kind, Xmoe>) {
    config.router.select.max_experts = w.most;
  }
  L layer({w.dim, w.experts, w.hidden}, config, xmoe::cuda::Backend(stream));
  unsigned seed = 0;
  for (const auto& p : layer.parameters()) {
    std::visit(
        [&](auto* t) {  // widths are multiples of 8: there is no padding
          const bool bias = t->cols() == 1;
          fill(stream, t->data(), t->stored(), bias ? 0.01 : 1.0 / std::sqrt(double(t->cols())),
               ++seed);
          if (bias && t->rows() == w.experts && w.shared > 0) {
            std::vector<float> draw(static_cast<std::size_t>(w.experts), 0.f);
            std::fill(draw.end() - w.shared, draw.end(), 4.f);
            t->load(stream, std::span<const float>(draw));
          }
        },
        p.tensor);
  }
  xmoe::cuda::DeviceBuffer<S> numbers[4];
  for (auto& b : numbers) {
    b = xmoe::cuda::DeviceBuffer<S>(w.tokens * w.dim, xmoe::uninitialized);
    fill(stream, b.data(), b.size(), 1.0, ++seed);
  }
  const auto view = [&](int i) { return typename L::Matrix(numbers[i].data(), w.tokens, w.dim); };
  const typename L::ConstMatrix x = view(0), dy = view(1);
  xmoe::cuda::DeviceWorkspace workspace(layer.workspace_bytes(w.tokens));
  xmoe::cuda::DeviceWorkspace scratch(layer.training_workspace_bytes(w.tokens));
  typename L::Tape tape;
  layer.prepare(tape, w.tokens);
  auto gradients = layer.make_gradients();
  layer.record(scratch, x, view(2), tape);
  std::vector<int> offsets = {0};
  int active = 0;
  for (const index load : layer.statistics(tape).load) {
    offsets.push_back(offsets.back() + int(load));
    active += load > 0 ? 1 : 0;
  }
  for (Timing* t : {&forward, &training}) {
    t->rows = offsets.back();
    t->active = active;
    t->weight_bytes = int(sizeof(S));
    t->sum_bytes = int(sizeof(xmoe::sum_type<S>));
  }
  forward.layer = watch.measure([&] { layer.forward(workspace, x, view(2)); });
  training.layer = watch.measure([&] {
    layer.record(scratch, x, view(2), tape);
    gradients.restart();
    layer.backward(scratch, tape, dy, view(3), gradients);
  });
  ProductsOnly<S> products(stream, offsets, layer.parameters(), gradients.parameters());
  forward.cublas = watch.measure([&] { products.forward(); });
  training.cublas = watch.measure([&] {
    products.forward();
    products.backward();
  });
}

/// Both timings of a workload. A card with too little memory is no failure.
template <class S>
std::vector<Timing> time_workload(Stopwatch& watch, const Workload& w, const std::string& scalar) {
  std::vector<Timing> both(2);
  for (Timing& t : both) {
    t.workload = &w;
    t.scalar = scalar;
  }
  both[1].training = true;
  try {
    w.gated() ? time_layer<SwiGlu, S>(watch, w, both[0], both[1])
              : time_layer<Xmoe, S>(watch, w, both[0], both[1]);
  } catch (const xmoe::cuda_error& e) {
    if (e.code != static_cast<int>(cudaErrorMemoryAllocation)) {
      throw;
    }
    static_cast<void>(cudaGetLastError());
    both[0].problem = both[1].problem = "the device's memory is too small";
  }
  return both;
}

}  // namespace gpu_check
