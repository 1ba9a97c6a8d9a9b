// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/call.cuh>
#include <xmoe/backend/cuda/capacity.cuh>
#include <xmoe/dispatch/with_placeholder.hpp>

namespace xmoe::inline XMOE_ABI::cuda::detail {

/// Room for a plan of at most `most_rows` rows.
inline DevicePlan take_plan(DeviceWorkspace& memory, index tokens, index experts, index width,
                            index most_rows) {
  DevicePlan plan;
  plan.tokens = static_cast<int>(tokens);
  plan.experts = static_cast<int>(experts);
  plan.width = static_cast<int>(width);
  plan.most_rows = static_cast<int>(most_rows);
  plan.offsets = memory.take<int>(experts + 1);
  plan.token = memory.take<int>(most_rows);
  plan.slot = memory.take<int>(most_rows);
  plan.row = memory.take<int>(tokens * width);
  plan.wanted = memory.take<int>(1);
  return plan;
}

template <>
struct DeviceCode<dispatch::Dropless> {
  static constexpr bool exists = true;

  template <class R>
  static DevicePlan plan(Call& call, const dispatch::Dropless&, const DeviceRouting<R>& routing,
                         index experts, index first = 0) {
    const index rows = static_cast<index>(routing.tokens) * routing.width;
    const DevicePlan plan = take_plan(call.keep, routing.tokens, experts, routing.width, rows);
    const DeviceWorkspace::Scope scope(call.workspace);
    auto* const scratch = call.workspace.take<std::byte>(
        static_cast<index>(sort_scratch_bytes(routing.tokens, plan.experts)));
    if (!call.measuring()) {
      sort_by_expert(call.stream, routing, static_cast<int>(first), plan, scratch);
    }
    return plan;
  }
  static index capacity(const dispatch::Dropless&, Mode, index tokens, index) { return tokens; }
};

template <class Priority>
struct DeviceCode<dispatch::CapacityBy<Priority>> {
  using Policy = dispatch::CapacityBy<Priority>;
  static constexpr bool exists = true;

  template <class R>
  static DevicePlan plan(Call& call, const Policy& policy, const DeviceRouting<R>& routing,
                         index experts, index first = 0) {
    const index wanted = static_cast<index>(routing.tokens) * routing.width;
    const index full = policy.capacity(call.mode, routing.tokens, experts);
    const index rows = experts * full < wanted ? experts * full : wanted;
    const DevicePlan plan = take_plan(call.keep, routing.tokens, experts, routing.width, rows);
    const DeviceWorkspace::Scope scope(call.workspace);
    auto* const scratch = call.workspace.take<std::byte>(
        static_cast<index>(capacity_scratch_bytes(routing.tokens, plan.experts, routing.width)));
    if (!call.measuring()) {
      sort_with_capacity<Priority>(call.stream,
                                   capacity_of(policy, call.mode, static_cast<int>(experts)),
                                   call.random, routing, static_cast<int>(first), plan, scratch);
    }
    return plan;
  }
  static index capacity(const Policy& policy, Mode mode, index tokens, index experts) {
    return policy.capacity(mode, tokens, experts);
  }
};

template <class Inner>
struct DeviceCode<dispatch::WithPlaceholder<Inner>> {
  using Policy = dispatch::WithPlaceholder<Inner>;
  static constexpr bool exists = DeviceCode<Inner>::exists;

  template <class R>
  static DevicePlan plan(Call& call, const Policy& policy, const DeviceRouting<R>& routing,
                         index experts) {
    return DeviceCode<Inner>::plan(call, policy.inner, routing, experts, Policy::placeholders);
  }
  static index capacity(const Policy& policy, Mode mode, index tokens, index experts) {
    return DeviceCode<Inner>::capacity(policy.inner, mode, tokens, experts);
  }
};

}  // namespace xmoe::inline XMOE_ABI::cuda::detail
