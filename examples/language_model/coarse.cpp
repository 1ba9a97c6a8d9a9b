// SPDX-License-Identifier: Apache-2.0
#include "moe_language_model.hpp"

std::unique_ptr<lm::LanguageModel> lm::make_coarse(const Settings& settings, index vocabulary,
                                                   xmoe::cpu::Backend backend) {
  return std::make_unique<MoeLanguageModel<Coarse<float>>>(settings, vocabulary, backend);
}
