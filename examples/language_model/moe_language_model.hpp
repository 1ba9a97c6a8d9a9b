// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "language_model.hpp"
#include "variants.hpp"

namespace lm {

/// A Transformer over one of the variants, behind the common face.
template <class Variant>
class MoeLanguageModel final : public LanguageModel {
 public:
  MoeLanguageModel(const Settings& settings, index vocabulary, xmoe::cpu::Backend backend)
      : settings_(settings),
        transformer_(settings.shape(vocabulary), Variant::sizes(settings),
                     Variant::config(settings), backend) {}

  void initialize(std::uint64_t seed) override { transformer_.initialize(seed); }
  Parameters parameters() override { return transformer_.parameters(); }
  Parameters gradients() override { return transformer_.gradients(); }

  double learn(const Batch& batch, double balance, Work& work) override {
    transformer_.zero_gradients();
    work = transformer_.forward(batch, false);
    const double sum = transformer_.loss(batch);
    transformer_.backward(batch, balance);
    return sum / static_cast<double>(batch.tokens());
  }

  double evaluate(const Batch& batch, Work& work) override {
    work = transformer_.forward(batch, true);
    return transformer_.loss(batch);
  }

  std::span<const float> next(std::span<const std::int32_t> past) override {
    Batch batch{.sequences = 1, .length = static_cast<index>(past.size())};
    batch.input.assign(past.begin(), past.end());
    transformer_.forward(batch, false);
    const Matrix<float>& logits = transformer_.logits();
    return {logits.row(logits.rows() - 1).data(), size(logits.cols())};
  }

  void configure(std::optional<double> choice, bool limited) override {
    transformer_.for_each_layer([&](auto& layer) {
      layer.config() = Variant::config(settings_);
      if (choice) {
        Variant::choose(layer.config(), *choice);
      }
      if (!limited) {  // room for every token in every expert
        layer.config().dispatch.limit = xmoe::dispatch::Limit::none;
      }
    });
  }

 private:
  Settings settings_;
  Transformer<float, typename Variant::Layer> transformer_;
};

}  // namespace lm
