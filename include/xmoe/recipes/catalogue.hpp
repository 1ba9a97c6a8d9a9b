// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/recipes/composition.hpp>
#include <xmoe/recipes/dense_as_experts.hpp>
#include <xmoe/recipes/gshard.hpp>
#include <xmoe/recipes/mixtral.hpp>
#include <xmoe/recipes/switch_transformer.hpp>
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
  one(std::type_identity<dense_as_experts::Losses>{}, dense_as_experts::citation,
      [] { return dense_as_experts::defaults<Traits>(); });
  one(std::type_identity<gshard::Losses>{}, gshard::citation,
      [] { return gshard::defaults<Traits>(); });
  one(std::type_identity<mixtral::Losses>{}, mixtral::citation,
      [] { return mixtral::defaults<Traits>(); });
  one(std::type_identity<switch_transformer::Losses>{}, switch_transformer::citation,
      [] { return switch_transformer::defaults<Traits>(); });
  one(std::type_identity<xmoe_language_model::Losses>{}, xmoe_language_model::citation,
      [] { return xmoe_language_model::defaults<Traits>(); });
}

}  // namespace xmoe::inline XMOE_ABI::recipes
