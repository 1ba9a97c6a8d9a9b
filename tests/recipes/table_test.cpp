// SPDX-License-Identifier: Apache-2.0
// The published systems that the library is to express, and which recipe does.
#include <xmoe/recipes/catalogue.hpp>

#include <map>
#include <string>

#include <xmoe/xmoe.hpp>

#include "support/catch.hpp"

namespace xmoe {
namespace {

/// A system, and its recipe or what is missing for one.
struct Row {
  const char* system;
  const char* recipe;
  const char* missing = "";
};

constexpr Row table[] = {
    {"capacity-aware inference", "Capacity-aware inference"},
    {"M6-T", "", "a softmax inside each group"},
    {"Expert Choice", "Expert Choice"},
    {"MoEC", "", "the variance loss over clusters"},
    {"task-aware gating", "", "a query of token and task"},
    {"SAM", "SAM"},
    {"CNN MoE", "", "a pooled query"},
    {"SMoE-Dropout", "SMoE-Dropout"},
    {"X-MoE", "X-MoE"},
    {"MoTE", "MoTE"},
    {"HoME", "", "a hierarchy of layers"},
    {"adaptive gating", "Adaptive gating"},
    {"DSTI", "DSTI"},
    {"stratified", "", "a layer that is run again"},
    {"dense-to-sparse gate", "Dense-to-sparse gate"},
    {"LaDiMo", "LaDiMo"},
    {"GRIN", "GRIN"},
    {"COMET", "", "trees"},
    {"DSelect-k", "", "trees"},
    {"XMoE", "XMoE"},
    {"XMoE for dense models", "XMoE for dense models"},
    {"self-contrast", "Self-contrast MoE"},
    {"LIMoE", "LIMoE"},
    {"noisy top-k", "Noisy top-k"},
    {"USMoE", "USMoE"},
    {"MaskMoE", "MaskMoE"},
    {"DynMoE", "", "straight-through gradients to levels"},
    {"PEER", "", "product keys"},
    {"task-level skills", "", "a query of tasks"},
    {"graph of tokens", "", "scores mixed over tokens"},
    {"DiT-MoE", "DiT-MoE"},
    {"VQMoE", "", "a code book"},
    {"Switch", "Switch Transformer"},
    {"Switch NTLB", "", "overflow to the next best"},
    {"Switch max", "Switch, kept by probability"},
    {"GShard", "GShard"},
    {"ST-MoE", "ST-MoE"},
    {"V-MoE", "", "the load loss"},
    {"sMLP", "", "a layer over channels"},
    {"Autonomy of Experts", "", "scores from the experts"},
    {"sparsemax", "Sparsemax router"},
    {"Dynamic-DINO", "Dynamic-DINO"},
    {"THOR", "THOR"},
    {"DPSL", "DPSL"},
    {"S2MoE", "", "noise on the input"},
    {"BASE", "", "sigmoid weights of an assignment on logits"},
    {"S-BASE", "", "its recipe"},
    {"Soft MoE", "", "soft slots"},
    {"CompeteSMoE v1", "", "scores from the experts"},
    {"CompeteSMoE v2", "", "scores from the experts"},
    {"BlockFFN", "BlockFFN"},
    {"ReMoE", "ReMoE"},
    {"Sparse-MLP", "", "a layer over channels"},
    {"dynamic top-p", "Dynamic top-p routing"},
    {"SkillNet", "SkillNet"},
    {"SkillNet-NLU", "SkillNet-NLU"},
    {"MoWE", "MoWE"},
    {"hash layers", "Hash layers"},
    {"DEMix", "DEMix"},
    {"Mowst", "", "a layer that switches over"},
    {"Nexus", "", "keys from domains"},
    {"task-level MoE", "", "a query of tasks"},
    {"sigma-MoE", "sigma-MoE"},
    {"DeepSeekMoE", "DeepSeekMoE"},
    {"DeepSeek-V3", "DeepSeek-V3"},
    {"DeepSeek-V2", "DeepSeek-V2"},
    {"SparseMixer", "SparseMixer"},
    {"vision routers", "", "sparse transport"},
    {"dynamic skipping", "Dynamic skipping"},
    {"GW-MoE", "GW-MoE"},
    {"MoSA", "", "attention heads as experts"},
    {"Mixtral", "Mixtral"},
    {"Qwen2-MoE", "Qwen2-MoE"},
    {"Qwen3-MoE", "Qwen3-MoE"},
    {"OLMoE", "OLMoE"},
    {"Jamba", "Jamba"},
    {"Granite", "Granite MoE"},
    {"gpt-oss", "gpt-oss"},
    {"DBRX", "DBRX"},
    {"Llama 4", "", "weights on the experts' input"},
    {"GLM-4.5", "GLM-4.5"},
    {"dots.llm1", "dots.llm1"},
    {"Kimi K2", "Kimi K2"},
    {"ERNIE 4.5", "ERNIE 4.5"},
    {"Hunyuan-Large", "Hunyuan-Large"},
    {"NLLB-MoE", "NLLB-MoE"},
    {"LongCat-Flash", "LongCat-Flash"},
    {"Phi-3.5-MoE", "Phi-3.5-MoE"},
};

TEST_CASE("table: every system has its recipe, or says what is missing", "[recipes]") {
  std::map<std::string, int> recipes;
  recipes::for_each([&](const auto& recipe) { recipes[recipe.citation.system] = 0; });
  int missing = 0;
  for (const Row& row : table) {
    INFO(row.system);
    const std::string recipe = row.recipe;
    if (recipe.empty()) {
      CHECK(std::string(row.missing).size() > 3);
      ++missing;
    } else {
      REQUIRE(recipes.count(recipe) == 1);
      ++recipes[recipe];
    }
  }
  for (const auto& [recipe, rows] : recipes) {
    INFO(recipe);
    CHECK(rows == 1);  // in the table, once
  }
  CHECK(missing == 30);  // falls with every policy that is built
}

}  // namespace
}  // namespace xmoe
