// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "language_model.hpp"

#include <cmath>

namespace lm {

/// Continues a text, unit by unit, each drawn from the model's own probabilities.
class Sampler {
 public:
  /// `temperature`: below 1 the probable becomes more so; 0 always takes the most probable.
  Sampler(LanguageModel& model, index context, double temperature, std::uint64_t seed)
      : model_(model), context_(context), temperature_(temperature), random_{seed, 77} {}

  void extend(std::vector<std::int32_t>& units) {
    const std::size_t seen = std::min(units.size(), size(context_));
    const std::span<const float> logits = model_.next(std::span(units).last(seen));
    const float highest = *std::max_element(logits.begin(), logits.end());
    std::vector<double> sums;  // running sums of the unnormalised probabilities
    for (const float logit : logits) {
      const double distance = static_cast<double>(logit - highest);
      const double mass = temperature_ > 0 ? std::exp(distance / temperature_) : distance == 0;
      sums.push_back(mass + (sums.empty() ? 0 : sums.back()));
    }
    const double place = static_cast<double>(random_.uniform(position_++)) * sums.back();
    const auto found = std::upper_bound(sums.begin(), sums.end(), place);
    units.push_back(static_cast<std::int32_t>(found - sums.begin()));
  }

 private:
  LanguageModel& model_;
  index context_;
  double temperature_;
  xmoe::Random random_;
  std::uint64_t position_ = 0;
};

}  // namespace lm
