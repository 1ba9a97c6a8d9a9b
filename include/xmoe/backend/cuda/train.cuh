// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/optimizer.cuh>
#include <xmoe/backend/cuda/tensor.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

namespace detail {

/// How a step is made from options and the step's number, counted from 1.
template <class Method, class S>
struct StepOf;
template <class S>
struct StepOf<optimizer::Sgd, S> {
  static SgdStep<S> make(const optimizer::Sgd::Options& o, index) { return SgdStep<S>::of(o); }
};
template <class S>
struct StepOf<optimizer::AdamW, S> {
  static AdamStep<S> make(const optimizer::AdamW::Options& o, index n) {
    return AdamStep<S>::of(o, n);
  }
};

}  // namespace detail

/// optimizer::Sgd or optimizer::AdamW for tensors on the device: the same formulas and options.
/// Narrow weights are stepped in float copies and rounded afterwards; a weight that was changed
/// from outside counts.
///
///   throws  shape_error if the lists do not match those it was made for; cuda_error
template <class Method>
class DeviceOptimizer {
 public:
  using Options = typename Method::Options;

  DeviceOptimizer(cudaStream_t stream, const DeviceParameters& parameters, Options options)
      : options_(options), stream_(stream) {
    for (const DeviceParameter& p : parameters) {
      std::visit(
          [&](const auto* t) {
            using W = typename std::remove_cvref_t<decltype(*t)>::scalar;
            using S = sum_type<W>;
            Moments<S> m;
            for (DeviceBuffer<S>* b : {&m.first, two_moments<S> ? &m.second : nullptr,
                                       NarrowWeight<W> ? &m.master : nullptr}) {
              if (b != nullptr) {
                *b = DeviceBuffer<S>(t->stored(), uninitialized);
                b->zero(stream_);
              }
            }
            moments_.push_back(std::move(m));
          },
          p.tensor);
    }
  }

  Options& options() { return options_; }
  /// Steps taken.
  index& steps() { return steps_; }

  /// One step; only launches.
  void step(const DeviceParameters& parameters, const DeviceParameters& gradients) {
    check_lists(parameters, gradients);
    ++steps_;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (parameters[i].role != Role::trained) {
        continue;
      }
      std::visit(
          [&](auto* t) {
            using W = typename std::remove_cvref_t<decltype(*t)>::scalar;
            using S = sum_type<W>;
            auto& m = std::get<Moments<S>>(moments_[i]);
            const auto* g = std::get<DeviceTensor<S>*>(gradients[i].tensor);
            optimizer_step(stream_,
                           DeviceTrained<W>{t->data(), g->data(), m.first.data(), m.second.data(),
                                            m.master.data(), t->stored()},
                           detail::StepOf<Method, S>::make(options_, steps_));
          },
          parameters[i].tensor);
    }
  }

 private:
  template <class S>
  struct Moments {
    DeviceBuffer<S> first, second, master;
  };
  template <class S>
  static constexpr bool two_moments =
      decltype(detail::StepOf<Method, S>::make(Options{}, 1))::two_moments;

  void check_lists(const DeviceParameters& parameters, const DeviceParameters& gradients) const {
    bool fits = parameters.size() == moments_.size() && gradients.size() == moments_.size();
    for (std::size_t i = 0; fits && i < moments_.size(); ++i) {
      fits = std::visit(
          [&](const auto* t) {
            using S = sum_type<typename std::remove_cvref_t<decltype(*t)>::scalar>;
            const auto* const* g = std::get_if<DeviceTensor<S>*>(&gradients[i].tensor);
            const auto* m = std::get_if<Moments<S>>(&moments_[i]);
            return g != nullptr && m != nullptr && (*g)->stored() == t->stored() &&
                   m->first.size() == t->stored();
          },
          parameters[i].tensor);
    }
    if (!fits) {
      xmoe::detail::fail<shape_error>(
          "xmoe::cuda::DeviceOptimizer::step: %zu parameters of %td numbers, %zu gradients of %td, "
          "made for %zu tensors; shape, order or scalar differ",
          parameters.size(), count(parameters), gradients.size(), count(gradients),
          moments_.size());
    }
  }

  Options options_;
  cudaStream_t stream_;
  std::vector<std::variant<Moments<float>, Moments<double>>> moments_;
  index steps_ = 0;
};

}  // namespace xmoe::inline XMOE_ABI::cuda
