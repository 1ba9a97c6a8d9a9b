// SPDX-License-Identifier: Apache-2.0
// The gradient of the whole model, every tensor of it, against central differences in double.
#include "variants.hpp"

#include <cstdio>

namespace lm {
namespace {

/// Largest relative error over some numbers of every tensor.
template <class Traits>
double check(const char* name, typename Traits::Layer::Config config, xmoe::Sizes sizes) {
  using Model = Transformer<double, typename Traits::Layer>;
  const Shape shape{.units = 23, .dim = 20, .blocks = 2, .heads = 2, .context = 9};
  Model model(shape, sizes, config, xmoe::cpu::Backend(2));
  model.initialize(3);
  Batch batch{.sequences = 3, .length = 9};
  const xmoe::Random random{5, 1};
  std::uint64_t position = 0;
  for (index i = 0; i < batch.tokens(); ++i) {
    batch.input.push_back(static_cast<std::int32_t>(random.block(position++).word[0] % 23));
    batch.target.push_back(static_cast<std::int32_t>(random.block(position++).word[0] % 23));
  }
  const Parameters parameters = model.parameters();
  for (const xmoe::Parameter& p : parameters) {  // away from the zeros and ones of the start
    Panels<double>& tensor = p.as<double>();
    for (index n = 0; n < tensor.count(); ++n) {
      for (index i = 0; i < tensor.rows(); ++i) {
        for (index j = 0; j < tensor.cols(); ++j) {
          tensor.at(n, i, j) += 0.1 * random.normal(position++);
        }
      }
    }
  }
  const double balance = 0.05;
  const auto total = [&] {
    model.forward(batch, false);
    const double loss = model.loss(batch) / static_cast<double>(batch.tokens());
    return loss + model.backward(batch, balance);
  };
  model.zero_gradients();
  total();
  const Parameters gradients = model.gradients();
  std::vector<std::vector<double>> expected;
  for (const xmoe::Parameter& p : gradients) {
    const auto values = p.as<double>().values();
    expected.emplace_back(values.begin(), values.end());
  }
  double worst = 0;
  for (std::size_t n = 0; n < parameters.size(); ++n) {
    Panels<double>& tensor = parameters[n].as<double>();
    for (int sample = 0; sample < 12; ++sample) {
      const xmoe::Random::Block bits = random.block(position++);
      const index place = tensor.offset(bits.word[0] % tensor.count(), bits.word[1] % tensor.rows(),
                                        bits.word[2] % tensor.cols());
      double& value = tensor.values()[place];
      const double kept = value, step = 1e-6;
      value = kept + step;
      const double above = total();
      value = kept - step;
      const double below = total();
      value = kept;
      const double slope = (above - below) / (2 * step);
      const double error = std::abs(slope - expected[n][size(place)]) /
                           std::max(1e-4, std::abs(slope) + std::abs(expected[n][size(place)]));
      if (error > 1e-4) {
        std::printf("  %s[%td]: %.9g by backward, %.9g by differences\n",
                    parameters[n].name.c_str(), place, expected[n][size(place)], slope);
      }
      worst = std::max(worst, error);
    }
  }
  std::printf("%-8s worst relative error %.1e\n", name, worst);
  return worst;
}

}  // namespace
}  // namespace lm

int main() {
  using namespace lm;
  double worst = 0;
  worst = std::max(worst, check<Coarse<double>>("coarse", Coarse<double>::config({}),
                                                {.model_dim = 20, .experts = 4, .expert_dim = 12}));
  worst = std::max(worst, check<Fine<double>>("fine", Fine<double>::config({}),
                                              {.model_dim = 20, .experts = 8, .expert_dim = 6}));
  worst = std::max(worst, check<Control<double>>("control", Control<double>::config({}),
                                                 {.model_dim = 20, .experts = 8, .expert_dim = 6}));
  return worst < 1e-4 ? 0 : 1;
}
