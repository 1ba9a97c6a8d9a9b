// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/call.cuh>
#include <xmoe/backend/cuda/route.cuh>
#include <xmoe/core/routing.hpp>
#include <xmoe/metrics/statistics.hpp>

#include <mutex>

/// What crosses between device and host because somebody asked for it. Each waits for the stream.
namespace xmoe::inline XMOE_ABI::cuda::detail {

/// `count` numbers of device memory.
template <class T>
std::vector<T> read(cudaStream_t stream, const T* from, index count) {
  std::vector<T> numbers(static_cast<std::size_t>(count));
  if (count > 0) {
    check(cudaMemcpyAsync(numbers.data(), from, numbers.size() * sizeof(T), cudaMemcpyDeviceToHost,
                          stream),
          "xmoe::cuda: cudaMemcpyAsync to the host");
    check(cudaStreamSynchronize(stream), "xmoe::cuda: cudaStreamSynchronize");
  }
  return numbers;
}

/// What every call leaves behind: all ones while there was none.
struct Report {
  FirstNonfinite nonfinite = no_nonfinite;
  int tokens = -1;  ///< without padding
  int wanted = -1;
  int kept = -1;
  int unused = -1;
};

template <class R>
XMOE_KERNEL void report_kernel(DeviceRouting<R> routing, DevicePlan plan, Report* report) {
  store(&report->tokens,
        routing.valid_tokens == nullptr ? routing.tokens : load<int>(routing.valid_tokens));
  store(&report->wanted, load<int>(plan.wanted));
  store(&report->kept, load<int>(plan.offsets + plan.experts));
}

template <class R>
void write_report(cudaStream_t stream, const DeviceRouting<R>& routing, const DevicePlan& plan,
                  Report* report) {
  launch(stream, report_kernel<R>, Grid{}, 1u, 0, routing, plan, report);
}

/// What calls of several threads on one layer share.
struct SharedState {
  std::mutex mutex;
  DeviceWorkspace scratch;
  DeviceBuffer<Report> report{1, uninitialized};
};

/// Throws value_error, and forgets it, if a bad logit was noted.
inline Report read_report(cudaStream_t stream, DeviceBuffer<Report>& memory, index outputs) {
  const Report r = read(stream, memory.data(), 1)[0];
  if (r.nonfinite != no_nonfinite) {
    check(cudaMemsetAsync(&memory.data()->nonfinite, 0xff, sizeof(r.nonfinite), stream),
          "xmoe::cuda: cudaMemsetAsync of the report");
    check_nonfinite(r.nonfinite, static_cast<int>(outputs));
  }
  return r;
}

/// The sum of `count` numbers, in order.
inline double read_sum(cudaStream_t stream, const double* values, int count) {
  double sum = 0.0;
  for (const double v : read(stream, values, count)) {
    sum += v;
  }
  return sum;
}

/// A decision in host memory.
template <class R>
Routing<R> read_routing(cudaStream_t stream, const DeviceRouting<R>& from) {
  const index slots = static_cast<index>(from.tokens) * from.width;
  const auto count = read(stream, from.count, from.tokens);
  const auto all_expert = read(stream, from.expert, slots);
  const auto all_weight = read(stream, from.weight, slots);
  const auto all_score = read(stream, from.score, slots);
  std::vector<index> offsets = {0};
  std::vector<std::int32_t> expert;
  std::vector<R> weight, score;
  for (index t = 0; t < from.tokens; ++t) {
    for (index a = t * from.width; a < t * from.width + count[static_cast<std::size_t>(t)]; ++a) {
      const auto i = static_cast<std::size_t>(a);
      expert.push_back(all_expert[i]);
      weight.push_back(all_weight[i]);
      score.push_back(all_score[i]);
    }
    offsets.push_back(static_cast<index>(expert.size()));
  }
  RoutingView<R> view;
  view.tokens = from.tokens;
  view.experts = from.experts;
  view.valid_tokens =
      from.valid_tokens == nullptr ? from.tokens : read(stream, from.valid_tokens, 1)[0];
  view.capacity = offsets.back();
  view.offsets = offsets.data();
  view.expert = expert.data();
  view.weight = weight.data();
  view.score = score.data();
  return Routing<R>::copy(view);
}

/// The way back: a decision from host memory, with as many slots a token as its longest row has.
template <class R>
class UploadedRouting {
 public:
  UploadedRouting(cudaStream_t stream, const Routing<R>& routing)
      : tokens_(routing.tokens()), experts_(routing.experts()), width_(longest(routing)) {
    check_slots("xmoe::MoeLayer::apply", tokens_, width_);
    const auto slots = static_cast<std::size_t>(tokens_ * width_);
    std::vector<int> count;
    std::vector<int> expert(slots);
    std::vector<R> weight(slots), score(slots);
    for (index t = 0; t < tokens_; ++t) {
      const auto begin = static_cast<std::size_t>(routing.offsets()[static_cast<std::size_t>(t)]);
      const auto end = static_cast<std::size_t>(routing.offsets()[static_cast<std::size_t>(t) + 1]);
      for (std::size_t a = begin; a < end; ++a) {
        const std::size_t slot = static_cast<std::size_t>(t * width_) + a - begin;
        expert[slot] = routing.expert()[a];
        weight[slot] = routing.weight()[a];
        score[slot] = routing.score()[a];
      }
      count.push_back(static_cast<int>(end - begin));
    }
    put(stream, count_, count);
    put(stream, expert_, expert);
    put(stream, weight_, weight);
    put(stream, score_, score);
    put(stream, valid_, std::vector<int>{static_cast<int>(routing.view().valid_tokens)});
  }

  /// Without logits and scores of experts that were not chosen.
  DeviceRouting<R> view() const {
    DeviceRouting<R> v{static_cast<int>(tokens_), static_cast<int>(experts_),
                       static_cast<int>(width_)};
    v.count = const_cast<int*>(count_.data());
    v.expert = const_cast<int*>(expert_.data());
    v.weight = const_cast<R*>(weight_.data());
    v.score = const_cast<R*>(score_.data());
    v.valid_tokens = valid_.data();
    return v;
  }

 private:
  static index longest(const Routing<R>& routing) {
    index most = 1;
    for (std::size_t t = 1; t < routing.offsets().size(); ++t) {
      const index count = routing.offsets()[t] - routing.offsets()[t - 1];
      most = count > most ? count : most;
    }
    return most;
  }
  template <class T>
  static void put(cudaStream_t stream, DeviceBuffer<T>& to, const std::vector<T>& from) {
    to = DeviceBuffer<T>(static_cast<index>(from.size()), uninitialized);
    to.upload(stream, from);
  }

  index tokens_, experts_, width_;
  DeviceBuffer<int> count_, expert_, valid_;
  DeviceBuffer<R> weight_, score_;
};

/// Everything that can be said about a recorded call; `capacity_of(tokens)` as the dispatch says.
template <class R, class Capacity>
Statistics read_statistics(cudaStream_t stream, const DeviceRouting<R>& from,
                           const DevicePlan& device, const std::uint8_t* valid,
                           const Capacity& capacity_of, index placeholders, double row_flops,
                           double router_flops) {
  const Routing<R> owner = read_routing(stream, from);
  const RoutingView<R> routing = owner.view();
  const auto scores = read(stream, from.scores, static_cast<index>(from.tokens) * from.experts);
  const auto mask = read(stream, valid, valid == nullptr ? 0 : from.tokens);

  const auto offsets = read(stream, device.offsets, device.experts + 1);
  std::vector<index> expert_offsets(offsets.begin(), offsets.end());
  const index kept = expert_offsets.back();
  auto token = read(stream, device.token, kept);
  const auto slot = read(stream, device.slot, kept);
  std::vector<index> assignment, row(static_cast<std::size_t>(routing.assignments()), -1);
  for (index m = 0; m < kept; ++m) {
    const auto i = static_cast<std::size_t>(m);
    const index a = routing.begin(token[i]) + slot[i] - static_cast<index>(token[i]) * from.width;
    assignment.push_back(a);
    row[static_cast<std::size_t>(a)] = m;
  }
  PlanView plan;
  plan.tokens = from.tokens;
  plan.experts = device.experts;
  plan.wanted = read(stream, device.wanted, 1)[0];
  plan.kept = kept;
  plan.capacity = capacity_of(routing.valid_tokens);
  plan.expert_offsets = expert_offsets.data();
  plan.token = token.data();
  plan.assignment = assignment.data();
  plan.row = row.data();
  return metrics::statistics(
      routing, plan, MatrixView<const R>(scores.data(), from.tokens, from.experts),
      VectorView<const std::uint8_t>{mask.data(), static_cast<index>(mask.size())}, placeholders,
      row_flops, router_flops);
}

}  // namespace xmoe::inline XMOE_ABI::cuda::detail
