// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "grouped_case.hpp"
#include "support/routing_case.hpp"

#include <xmoe/backend/cuda/routing.cuh>

// Routings and plans of the CPU backend and of the emulated device side by side.
namespace tests {

/// A routing in device memory, every token with `width` slots; unused ones hold nonsense.
template <class R>
struct SlotsOnDevice {
  int tokens, experts, width;
  std::vector<int> count_numbers, expert_numbers;
  std::vector<R> weight_numbers;
  OnDevice<int> count, expert;
  OnDevice<R> weight, score;

  SlotsOnDevice(const xmoe::Routing<R>& routing, int width_)
      : tokens(static_cast<int>(routing.tokens())),
        experts(static_cast<int>(routing.experts())),
        width(width_),
        count_numbers(counts(routing)),
        expert_numbers(by_slot<int>(routing, width_, routing.view().expert, 1'000'000)),
        weight_numbers(by_slot<R>(routing, width_, routing.view().weight, nonsense())),
        count(count_numbers),
        expert(expert_numbers),
        weight(weight_numbers),
        score(by_slot<R>(routing, width_, routing.view().score, nonsense())) {}

  xmoe::cuda::DeviceRouting<R> view() const {
    xmoe::cuda::DeviceRouting<R> v{tokens, experts, width};
    v.count = count.data();
    v.expert = expert.data();
    v.weight = weight.data();
    v.score = score.data();
    return v;
  }

 private:
  static R nonsense() { return std::numeric_limits<R>::quiet_NaN(); }
  static std::vector<int> counts(const xmoe::Routing<R>& routing) {
    std::vector<int> result;
    const auto v = routing.view();
    for (index t = 0; t < v.tokens; ++t) {
      result.push_back(static_cast<int>(v.end(t) - v.begin(t)));
    }
    return result;
  }
  template <class T>
  static std::vector<T> by_slot(const xmoe::Routing<R>& routing, int width, const auto* numbers,
                                T unused) {
    const auto v = routing.view();
    std::vector<T> result(static_cast<std::size_t>(v.tokens * width), unused);
    for (index t = 0; t < v.tokens; ++t) {
      for (index a = v.begin(t); a < v.end(t); ++a) {
        result[static_cast<std::size_t>(t * width + a - v.begin(t))] = numbers[a];
      }
    }
    return result;
  }
};

/// A plan as vectors; what is not used is -1.
struct PlanNumbers {
  std::vector<int> offsets, token, slot, row;
  int wanted = 0;
  bool operator==(const PlanNumbers&) const = default;
};

template <class R>
PlanNumbers numbers_of(const xmoe::PlanView& plan, const xmoe::RoutingView<R>& routing, int width) {
  PlanNumbers result;
  for (index e = 0; e <= plan.experts; ++e) {
    result.offsets.push_back(static_cast<int>(plan.expert_offsets[e]));
  }
  result.row.assign(static_cast<std::size_t>(routing.tokens * width), -1);
  for (index m = 0; m < plan.kept; ++m) {
    const index t = plan.token[m];
    const index slot = t * width + plan.assignment[m] - routing.begin(t);
    result.token.push_back(static_cast<int>(t));
    result.slot.push_back(static_cast<int>(slot));
    result.row[static_cast<std::size_t>(slot)] = static_cast<int>(m);
  }
  result.wanted = static_cast<int>(plan.wanted);
  return result;
}

/// Room for a plan on the device.
struct PlanOnDevice {
  int tokens, experts, width, most_rows;
  OnDevice<int> offsets, token, slot, row, wanted;

  PlanOnDevice(int tokens_, int experts_, int width_, int most_rows_)
      : tokens(tokens_),
        experts(experts_),
        width(width_),
        most_rows(most_rows_),
        offsets(junk(experts_ + 1)),
        token(junk(most_rows_)),
        slot(junk(most_rows_)),
        row(junk(tokens_ * width_)),
        wanted(junk(1)) {}

  xmoe::cuda::DevicePlan view() const {
    return {tokens,       experts,     width,      most_rows,    offsets.data(),
            token.data(), slot.data(), row.data(), wanted.data()};
  }
  PlanNumbers numbers() const {
    PlanNumbers n{offsets.numbers(), token.numbers(), slot.numbers(), row.numbers(),
                  wanted.numbers()[0]};
    const int kept = n.offsets.back();
    REQUIRE((kept >= 0 && kept <= most_rows));
    n.token.resize(static_cast<std::size_t>(kept));
    n.slot.resize(static_cast<std::size_t>(kept));
    return n;
  }

 private:
  static std::vector<int> junk(int count) {
    return std::vector<int>(static_cast<std::size_t>(count), -99);
  }
};

/// Requires the plan, and that each of its arrays would have been noticed one number off.
inline void require_plan(const PlanNumbers& got, const PlanNumbers& want) {
  REQUIRE(got.offsets == want.offsets);
  REQUIRE(got.token == want.token);
  REQUIRE(got.slot == want.slot);
  REQUIRE(got.row == want.row);
  REQUIRE(got == want);
  for (const auto member :
       {&PlanNumbers::offsets, &PlanNumbers::token, &PlanNumbers::slot, &PlanNumbers::row}) {
    PlanNumbers off = want;
    if (!(off.*member).empty()) {
      ++(off.*member)[(off.*member).size() / 2];
      REQUIRE_FALSE(got == off);
    }
  }
}

}  // namespace tests
