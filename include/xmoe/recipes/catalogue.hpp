// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/recipes/adaptive_gating.hpp>
#include <xmoe/recipes/block_ffn.hpp>
#include <xmoe/recipes/capacity_aware.hpp>
#include <xmoe/recipes/composition.hpp>
#include <xmoe/recipes/dbrx.hpp>
#include <xmoe/recipes/deepseek_moe.hpp>
#include <xmoe/recipes/deepseek_v2.hpp>
#include <xmoe/recipes/deepseek_v3.hpp>
#include <xmoe/recipes/demix.hpp>
#include <xmoe/recipes/dense_as_experts.hpp>
#include <xmoe/recipes/dense_to_sparse.hpp>
#include <xmoe/recipes/dit_moe.hpp>
#include <xmoe/recipes/dots1.hpp>
#include <xmoe/recipes/dpsl.hpp>
#include <xmoe/recipes/dsti.hpp>
#include <xmoe/recipes/dynamic_dino.hpp>
#include <xmoe/recipes/dynamic_skipping.hpp>
#include <xmoe/recipes/dynamic_top_p.hpp>
#include <xmoe/recipes/ernie_4_5.hpp>
#include <xmoe/recipes/expert_choice.hpp>
#include <xmoe/recipes/glm4_moe.hpp>
#include <xmoe/recipes/gpt_oss.hpp>
#include <xmoe/recipes/granite_moe.hpp>
#include <xmoe/recipes/grin.hpp>
#include <xmoe/recipes/gshard.hpp>
#include <xmoe/recipes/gw_moe.hpp>
#include <xmoe/recipes/hash_layers.hpp>
#include <xmoe/recipes/hunyuan_large.hpp>
#include <xmoe/recipes/jamba.hpp>
#include <xmoe/recipes/kimi_k2.hpp>
#include <xmoe/recipes/ladimo.hpp>
#include <xmoe/recipes/limoe.hpp>
#include <xmoe/recipes/longcat_flash.hpp>
#include <xmoe/recipes/mask_moe.hpp>
#include <xmoe/recipes/mixtral.hpp>
#include <xmoe/recipes/mote.hpp>
#include <xmoe/recipes/mowe.hpp>
#include <xmoe/recipes/nllb_moe.hpp>
#include <xmoe/recipes/noisy_top_k.hpp>
#include <xmoe/recipes/olmoe.hpp>
#include <xmoe/recipes/phi_3_5_moe.hpp>
#include <xmoe/recipes/qwen2_moe.hpp>
#include <xmoe/recipes/qwen3_moe.hpp>
#include <xmoe/recipes/remoe.hpp>
#include <xmoe/recipes/sam.hpp>
#include <xmoe/recipes/self_contrast.hpp>
#include <xmoe/recipes/sigma_moe.hpp>
#include <xmoe/recipes/skillnet_modalities.hpp>
#include <xmoe/recipes/skillnet_nlu.hpp>
#include <xmoe/recipes/smoe_dropout.hpp>
#include <xmoe/recipes/sparse_mixer.hpp>
#include <xmoe/recipes/sparsemax.hpp>
#include <xmoe/recipes/st_moe.hpp>
#include <xmoe/recipes/switch_max.hpp>
#include <xmoe/recipes/switch_transformer.hpp>
#include <xmoe/recipes/thor.hpp>
#include <xmoe/recipes/usmoe.hpp>
#include <xmoe/recipes/x_moe_cosine.hpp>
#include <xmoe/recipes/xmoe.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// One published system: who, and how to make its layer.
///
///   make()   Published<Layer>: sizes and hyper-parameters
///   losses   std::tuple of the terms that its router is trained with
template <class Losses, class Make>
struct Recipe {
  using losses = Losses;
  using layer = typename std::invoke_result_t<Make>::layer;
  Citation citation;
  Make make;

  std::string router() const { return type_name<decltype(layer::Config::router)>(); }
  std::string expert() const { return type_name<decltype(layer::Config::expert)>(); }
  std::string dispatch() const { return type_name<decltype(layer::Config::dispatch)>(); }
};

/// visit(recipe) for every system of the library, in the order of the alphabet of their headers.
template <class Traits = Cpu<float>, class Visit>
void for_each(Visit&& visit) {
  const auto one = [&]<class Losses>(std::type_identity<Losses>, const Citation& citation,
                                     auto make) {
    visit(Recipe<Losses, decltype(make)>{citation, make});
  };
  one(std::type_identity<adaptive_gating::Losses>{}, adaptive_gating::citation,
      [] { return adaptive_gating::defaults<Traits>(); });
  one(std::type_identity<block_ffn::Losses>{}, block_ffn::citation,
      [] { return block_ffn::defaults<Traits>(); });
  one(std::type_identity<capacity_aware::Losses>{}, capacity_aware::citation,
      [] { return capacity_aware::defaults<Traits>(); });
  one(std::type_identity<dbrx::Losses>{}, dbrx::citation, [] { return dbrx::defaults<Traits>(); });
  one(std::type_identity<deepseek_moe::Losses>{}, deepseek_moe::citation,
      [] { return deepseek_moe::defaults<Traits>(); });
  one(std::type_identity<deepseek_v2::Losses>{}, deepseek_v2::citation,
      [] { return deepseek_v2::defaults<Traits>(); });
  one(std::type_identity<deepseek_v3::Losses>{}, deepseek_v3::citation,
      [] { return deepseek_v3::defaults<Traits>(); });
  one(std::type_identity<demix::Losses>{}, demix::citation,
      [] { return demix::defaults<Traits>(); });
  one(std::type_identity<dense_as_experts::Losses>{}, dense_as_experts::citation,
      [] { return dense_as_experts::defaults<Traits>(); });
  one(std::type_identity<dense_to_sparse::Losses>{}, dense_to_sparse::citation,
      [] { return dense_to_sparse::defaults<Traits>(); });
  one(std::type_identity<dit_moe::Losses>{}, dit_moe::citation,
      [] { return dit_moe::defaults<Traits>(); });
  one(std::type_identity<dots1::Losses>{}, dots1::citation,
      [] { return dots1::defaults<Traits>(); });
  one(std::type_identity<dpsl::Losses>{}, dpsl::citation, [] { return dpsl::defaults<Traits>(); });
  one(std::type_identity<dsti::Losses>{}, dsti::citation, [] { return dsti::defaults<Traits>(); });
  one(std::type_identity<dynamic_dino::Losses>{}, dynamic_dino::citation,
      [] { return dynamic_dino::defaults<Traits>(); });
  one(std::type_identity<dynamic_skipping::Losses>{}, dynamic_skipping::citation,
      [] { return dynamic_skipping::defaults<Traits>(); });
  one(std::type_identity<dynamic_top_p::Losses>{}, dynamic_top_p::citation,
      [] { return dynamic_top_p::defaults<Traits>(); });
  one(std::type_identity<ernie_4_5::Losses>{}, ernie_4_5::citation,
      [] { return ernie_4_5::defaults<Traits>(); });
  one(std::type_identity<expert_choice::Losses>{}, expert_choice::citation,
      [] { return expert_choice::defaults<Traits>(); });
  one(std::type_identity<glm4_moe::Losses>{}, glm4_moe::citation,
      [] { return glm4_moe::defaults<Traits>(); });
  one(std::type_identity<gpt_oss::Losses>{}, gpt_oss::citation,
      [] { return gpt_oss::defaults<Traits>(); });
  one(std::type_identity<granite_moe::Losses>{}, granite_moe::citation,
      [] { return granite_moe::defaults<Traits>(); });
  one(std::type_identity<grin::Losses>{}, grin::citation, [] { return grin::defaults<Traits>(); });
  one(std::type_identity<gshard::Losses>{}, gshard::citation,
      [] { return gshard::defaults<Traits>(); });
  one(std::type_identity<gw_moe::Losses>{}, gw_moe::citation,
      [] { return gw_moe::defaults<Traits>(); });
  one(std::type_identity<hash_layers::Losses>{}, hash_layers::citation,
      [] { return hash_layers::defaults<Traits>(); });
  one(std::type_identity<hunyuan_large::Losses>{}, hunyuan_large::citation,
      [] { return hunyuan_large::defaults<Traits>(); });
  one(std::type_identity<jamba::Losses>{}, jamba::citation,
      [] { return jamba::defaults<Traits>(); });
  one(std::type_identity<kimi_k2::Losses>{}, kimi_k2::citation,
      [] { return kimi_k2::defaults<Traits>(); });
  one(std::type_identity<ladimo::Losses>{}, ladimo::citation,
      [] { return ladimo::defaults<Traits>(); });
  one(std::type_identity<limoe::Losses>{}, limoe::citation,
      [] { return limoe::defaults<Traits>(); });
  one(std::type_identity<longcat_flash::Losses>{}, longcat_flash::citation,
      [] { return longcat_flash::defaults<Traits>(); });
  one(std::type_identity<mask_moe::Losses>{}, mask_moe::citation,
      [] { return mask_moe::defaults<Traits>(); });
  one(std::type_identity<mixtral::Losses>{}, mixtral::citation,
      [] { return mixtral::defaults<Traits>(); });
  one(std::type_identity<mote::Losses>{}, mote::citation, [] { return mote::defaults<Traits>(); });
  one(std::type_identity<mowe::Losses>{}, mowe::citation, [] { return mowe::defaults<Traits>(); });
  one(std::type_identity<nllb_moe::Losses>{}, nllb_moe::citation,
      [] { return nllb_moe::defaults<Traits>(); });
  one(std::type_identity<noisy_top_k::Losses>{}, noisy_top_k::citation,
      [] { return noisy_top_k::defaults<Traits>(); });
  one(std::type_identity<olmoe::Losses>{}, olmoe::citation,
      [] { return olmoe::defaults<Traits>(); });
  one(std::type_identity<phi_3_5_moe::Losses>{}, phi_3_5_moe::citation,
      [] { return phi_3_5_moe::defaults<Traits>(); });
  one(std::type_identity<qwen2_moe::Losses>{}, qwen2_moe::citation,
      [] { return qwen2_moe::defaults<Traits>(); });
  one(std::type_identity<qwen3_moe::Losses>{}, qwen3_moe::citation,
      [] { return qwen3_moe::defaults<Traits>(); });
  one(std::type_identity<remoe::Losses>{}, remoe::citation,
      [] { return remoe::defaults<Traits>(); });
  one(std::type_identity<sam::Losses>{}, sam::citation, [] { return sam::defaults<Traits>(); });
  one(std::type_identity<self_contrast::Losses>{}, self_contrast::citation,
      [] { return self_contrast::defaults<Traits>(); });
  one(std::type_identity<sigma_moe::Losses>{}, sigma_moe::citation,
      [] { return sigma_moe::defaults<Traits>(); });
  one(std::type_identity<skillnet_modalities::Losses>{}, skillnet_modalities::citation,
      [] { return skillnet_modalities::defaults<Traits>(); });
  one(std::type_identity<skillnet_nlu::Losses>{}, skillnet_nlu::citation,
      [] { return skillnet_nlu::defaults<Traits>(); });
  one(std::type_identity<smoe_dropout::Losses>{}, smoe_dropout::citation,
      [] { return smoe_dropout::defaults<Traits>(); });
  one(std::type_identity<sparse_mixer::Losses>{}, sparse_mixer::citation,
      [] { return sparse_mixer::defaults<Traits>(); });
  one(std::type_identity<sparsemax::Losses>{}, sparsemax::citation,
      [] { return sparsemax::defaults<Traits>(); });
  one(std::type_identity<st_moe::Losses>{}, st_moe::citation,
      [] { return st_moe::defaults<Traits>(); });
  one(std::type_identity<switch_max::Losses>{}, switch_max::citation,
      [] { return switch_max::defaults<Traits>(); });
  one(std::type_identity<switch_transformer::Losses>{}, switch_transformer::citation,
      [] { return switch_transformer::defaults<Traits>(); });
  one(std::type_identity<thor::Losses>{}, thor::citation, [] { return thor::defaults<Traits>(); });
  one(std::type_identity<usmoe::Losses>{}, usmoe::citation,
      [] { return usmoe::defaults<Traits>(); });
  one(std::type_identity<x_moe_cosine::Losses>{}, x_moe_cosine::citation,
      [] { return x_moe_cosine::defaults<Traits>(); });
  one(std::type_identity<xmoe_language_model::Losses>{}, xmoe_language_model::citation,
      [] { return xmoe_language_model::defaults<Traits>(); });
}

}  // namespace xmoe::inline XMOE_ABI::recipes
