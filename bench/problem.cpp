// SPDX-License-Identifier: Apache-2.0
#include "limits.hpp"
#include "sides.hpp"

#include <cmath>

namespace xmoe_bench {

namespace {

/// Uniform numbers of mean 0 and variance 1/fan_in; quick, for there may be half a billion.
xmoe::Buffer<float> numbers(index count, index fan_in, std::uint32_t seed) {
  xmoe::Buffer<float> result(count, xmoe::uninitialized);
  const float bound = std::sqrt(3.f / static_cast<float>(fan_in));
  for (index i = 0; i < count; ++i) {
    std::uint32_t h = static_cast<std::uint32_t>(i) * 0x9e3779b9u + seed;
    h = (h ^ (h >> 16)) * 0x7feb352du;
    h = (h ^ (h >> 15)) * 0x846ca68bu;
    h ^= h >> 16;
    result[i] = bound * (static_cast<float>(static_cast<std::int32_t>(h)) * 0x1p-31f);
  }
  return result;
}

}  // namespace

Bank::Bank(const Shape& s)
    : shape(s),
      up(numbers(s.experts() * s.up_rows() * s.model_dim, s.model_dim, 3)),
      down(numbers(s.experts() * s.model_dim * s.expert_dim, s.expert_dim, 4)) {}

Problem::Problem(const Bank& weights, const Shape& s, Skew skew, index count)
    : bank(weights),
      shape(s),
      x(numbers(s.tokens * s.model_dim, 1, 1)),
      dy(numbers(s.tokens * s.model_dim, 1, 2)) {
  for (index i = 0; i < count; ++i) {
    routings.push_back(make_routing(s, skew, static_cast<std::uint64_t>(i + 1)));
  }
}

double Problem::flops() const {
  double assignments = 0.0;
  for (const auto& routing : routings) {
    assignments += static_cast<double>(routing.assignments());
  }
  return 2.0 * static_cast<double>(shape.expert_size()) * assignments /
         static_cast<double>(routings.size());
}

double Problem::engaged_weights() const {
  double engaged = 0.0;
  for (const auto& routing : routings) {
    std::vector<bool> seen(static_cast<std::size_t>(shape.experts()));
    for (const std::int32_t e : routing.expert()) {
      seen[static_cast<std::size_t>(e)] = true;
    }
    engaged += static_cast<double>(std::count(seen.begin(), seen.end(), true));
  }
  return static_cast<double>(shape.expert_size()) * engaged / static_cast<double>(routings.size());
}

void Side::take(const Problem& problem) {
  problem_ = &problem;
  y = xmoe::Buffer<float>(problem.x.size());
  dx = xmoe::Buffer<float>(problem.x.size());
  index most = 0;
  for (const auto& r : problem.routings) {
    most = std::max(most, r.assignments());
  }
  dweight.assign(static_cast<std::size_t>(most), 0.f);
}

void Side::record(index) { throw std::logic_error("this side does not train"); }
void Side::backward(index) { throw std::logic_error("this side does not train"); }
std::vector<float> Side::project_gradients() { return {}; }

double Side::time(Pass pass, index repeats) {
  const double total = seconds([&] {
    for (index repeat = 0; repeat < repeats; ++repeat) {
      for (index i = 0; i < calls(); ++i) {
        pass == Pass::backward ? backward(i) : forward(i);
      }
    }
  });
  return total / static_cast<double>(calls() * repeats);
}

}  // namespace xmoe_bench
