// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "corpus.hpp"
#include "settings.hpp"
#include "work.hpp"

#include <memory>
#include <optional>
#include <span>

namespace lm {

/// What trainer, sampler and reports need to know of a model, whatever its MoE layers are. Each
/// kind is compiled in a file of its own: coarse.cpp, fine.cpp, control.cpp.
class LanguageModel {
 public:
  virtual ~LanguageModel() = default;

  /// Sets the weights at the start of a training run.
  virtual void initialize(std::uint64_t seed) = 0;
  virtual Parameters parameters() = 0;
  virtual Parameters gradients() = 0;

  /// Replaces gradients() by those of this batch; returns the mean of -log p(target).
  virtual double learn(const Batch& batch, double balance, Work& work) = 0;
  /// The sum of -log p(target).
  virtual double evaluate(const Batch& batch, Work& work) = 0;
  /// Logits [V] of the unit that follows the given ones.
  virtual std::span<const float> next(std::span<const std::int32_t> past) = 0;

  /// How experts are chosen from now on. `choice`: another threshold (fine) or number of experts
  /// (coarse, control) than in the settings; `limited`: whether capacity drops what is too much.
  virtual void configure(std::optional<double> choice, bool limited) = 0;
};

/// `vocabulary`: units in all, V.
std::unique_ptr<LanguageModel> make_coarse(const Settings&, index vocabulary, xmoe::cpu::Backend);
std::unique_ptr<LanguageModel> make_fine(const Settings&, index vocabulary, xmoe::cpu::Backend);
std::unique_ptr<LanguageModel> make_control(const Settings&, index vocabulary, xmoe::cpu::Backend);

inline std::unique_ptr<LanguageModel> make_model(Kind kind, const Settings& settings,
                                                 index vocabulary, xmoe::cpu::Backend backend) {
  switch (kind) {
    case Kind::coarse:
      return make_coarse(settings, vocabulary, backend);
    case Kind::fine:
      return make_fine(settings, vocabulary, backend);
    case Kind::control:
      break;
  }
  return make_control(settings, vocabulary, backend);
}

}  // namespace lm
